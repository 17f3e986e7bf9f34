package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Settings describe a Transport. The zero value is usable: it dials anything,
// trusts the system's certificate authorities and has the defaults below.
type Settings struct {
	CAFile     string // PEM file of roots to trust besides the system's; "": none
	ClientCert string // PEM file of the client certificate chain; "": none
	ClientKey  string // PEM file of its key; "": in ClientCert
	Guard      *Guard // what may be dialled; nil: any address

	// Proxy chooses the way to each target. https goes by CONNECT; http in
	// absolute-form, or by CONNECT if it is an upgrade or its Host is another.
	// nil: all directly.
	Proxy ProxyFunc

	DialTimeout           time.Duration // name resolution and TCP connect, and a proxy's answer to CONNECT; 0: 10 s each
	TLSTimeout            time.Duration // TLS handshake, and that with a proxy; 0: 10 s each
	IdleConnTimeout       time.Duration // an unused connection is kept for; 0: 90 s
	ExpectContinueTimeout time.Duration // wait for 100 (Continue) before sending the body anyway (RFC 9110 §10.1.1), or a quarter of a call's time if that is less; 0: 1 s, as curl has it
	ReadIdleTimeout       time.Duration // silence of an HTTP/2 connection before it is pinged; 0: 30 s
	MaxIdlePerHost        int           // unused HTTP/1.1 connections kept per authority; 0: 1024
	MaxIdle               int           // … and in all; 0: 4096
	MaxHTTP2PerHost       int           // HTTP/2 connections per authority, when one has too few streams; 0: 16
	MaxHeaderBytes        int           // of a response's header section, and of its trailers; 0: 1 MiB

	Open  *atomic.Int64   // counts the connections that are open, busy or not; nil: nobody asks
	Short func(err error) // hears of dials that failed for SocketsExhausted; nil: nobody does

	// Dial replaces the network, and with it Guard; nil: TCP with happy
	// eyeballs. It is meant for tests and in-memory networks. With a Proxy it
	// is asked for the proxy's address.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	defaultDialTimeout           = 10 * time.Second
	defaultTLSTimeout            = 10 * time.Second
	defaultIdleConnTimeout       = 90 * time.Second
	defaultExpectContinueTimeout = time.Second
	defaultReadIdleTimeout       = 30 * time.Second
	defaultMaxIdlePerHost        = 1024 // those of a peak: the last used goes first, the others' time runs out
	defaultMaxIdle               = 4096
	defaultMaxHTTP2PerHost       = 16
	defaultMaxHeaderBytes        = 1 << 20
)

// A Transport sends requests. It implements http.RoundTripper and is safe for
// concurrent use. A RoundTrip is at most one request on the wire: whatever
// happens, nothing is sent a second time.
type Transport struct {
	settings Settings
	tls      *tls.Config                      // cloned for each dial
	http2    func() (*http2.Transport, error) // gives the one there is
	names    names                            // of response fields
	made     time.Time                        // what now counts from
	latest   atomic.Pointer[authority]        // the one that was called last; nil: it is forgotten. Changed with mu held

	mu          sync.Mutex
	authorities map[key]*authority // authority → its connections
	idle        int                // HTTP/1.1 connections in all authorities' pools
	sweeper     *time.Timer        // runs while idle > 0
	sweepAt     time.Duration      // when it will fire
	sweeping    bool               // it is armed
	busy        []*conn            // where there are, or were lately, young calls: see late
	follower    *time.Timer        // lets those that are not young any more follow their context
	following   bool               // it is armed
	closed      bool
}

// New builds a Transport. It reads the certificate files and returns an error
// that names the one at fault; it starts no goroutine.
func New(s Settings) (*Transport, error) {
	s = s.withDefaults()
	cfg, err := tlsConfig(s)
	if err != nil {
		return nil, err
	}
	t := &Transport{settings: s, tls: cfg, authorities: make(map[key]*authority), made: time.Now()}
	// Of thousands of upstreams many speak HTTP/1.1 only.
	t.http2 = sync.OnceValues(func() (*http2.Transport, error) { return newHTTP2(t.settings) })
	return t, nil
}

// A FileError is a certificate file that cannot be used.
type FileError struct {
	Setting string // "ca_file", "client_cert" or "client_key", as in the configuration
	Err     error
}

// Error implements error.
func (e *FileError) Error() string { return "using the file of " + e.Setting + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Key names the setting.
func (e *FileError) Key() string { return e.Setting }

func (s Settings) withDefaults() Settings {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	num := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&s.DialTimeout, defaultDialTimeout)
	def(&s.TLSTimeout, defaultTLSTimeout)
	def(&s.IdleConnTimeout, defaultIdleConnTimeout)
	def(&s.ExpectContinueTimeout, defaultExpectContinueTimeout)
	def(&s.ReadIdleTimeout, defaultReadIdleTimeout)
	num(&s.MaxIdlePerHost, defaultMaxIdlePerHost)
	num(&s.MaxIdle, defaultMaxIdle)
	num(&s.MaxHTTP2PerHost, defaultMaxHTTP2PerHost)
	num(&s.MaxHeaderBytes, defaultMaxHeaderBytes)
	return s
}

func tlsConfig(s Settings) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(256),
		// A server can do nothing with the first part of a request: it is to
		// be one record, and one write.
		DynamicRecordSizingDisabled: true,
	}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, &FileError{"ca_file", err}
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the system's roots: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, &FileError{"ca_file", fmt.Errorf("no certificate in %s", s.CAFile)}
		}
		cfg.RootCAs = roots
	}
	if s.ClientKey != "" && s.ClientCert == "" {
		return nil, &FileError{"client_key", errors.New("there is no client certificate for it")}
	}
	if s.ClientCert != "" {
		keyFile := s.ClientKey
		if keyFile == "" {
			keyFile = s.ClientCert
		}
		cert, err := tls.LoadX509KeyPair(s.ClientCert, keyFile)
		if err != nil {
			return nil, &FileError{"client_cert", fmt.Errorf("reading %s with the key in %s: %w", s.ClientCert, keyFile, err)}
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// RoundTrip sends req once and returns the response, whose body the caller
// closes. An error is an *Error. The context governs the whole call: dialling,
// sending, waiting, and reading the body until it ends or is closed.
//
// The request target is, byte for byte, what follows the authority in
// req.URL.Opaque ("//authority/raw/path"; "*"), else req.URL.EscapedPath, with
// req.URL.RawQuery. Header fields go out under the names that the map has, in
// the map's order (unspecified), the values of one name in their order; none
// is added except Host, Content-Length, Transfer-Encoding and Trailer, which
// come from the request's fields of those names, and the Proxy-Authorization
// that a proxy reading the request wants.
//
// req.Body is closed, and not read any more, when RoundTrip has returned an
// error or the response's body has been closed. RoundTrip waits for that: Close
// of a request body must end a Read that is in progress.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ex, err := t.begin(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	for {
		c, h, err := t.acquire(ex)
		if err != nil {
			return nil, ex.giveUp(err)
		}
		if h != nil {
			return ex.roundTripHTTP2(h)
		}
		if err := ex.prepare(c.taken); err != nil {
			t.put(ex)
			return nil, ex.giveUp(err)
		}
		// The body is in memory by now, which may have taken a while: whether
		// the connection is still good is found out immediately before the write.
		resp, err := ex.run()
		if err == errStale {
			continue
		}
		return resp, err
	}
}

// now is the time since the Transport was made: to read one clock takes half as
// long as to read the two that make a time.Time.
func (t *Transport) now() time.Duration { return time.Since(t.made) }

// CloseIdleConnections closes the connections that no call is using.
func (t *Transport) CloseIdleConnections() { t.drain(false) }

// Close closes the unused connections and lets running calls end: each closes
// its connection when it is through with it. A call that begins later still
// works, on a connection of its own.
func (t *Transport) Close() { t.drain(true) }

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
