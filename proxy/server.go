package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/framing"
	"outrider/proxy/inbound"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// Bounds of the inbound side. A client that sends its head slowly holds one
// connection, and not for long; everybody else has their own.
const (
	readHeaderTimeout = 30 * time.Second
	keepAliveTimeout  = 3 * time.Minute
	maxHead           = 64 << 10 // the head of a request, in bytes
)

// Settings wire a Server.
type Settings struct {
	Live      *policy.Live
	Telemetry *telemetry.Telemetry
	// Outside makes the way to hosts that no upstream names, as a configuration
	// has it.
	Outside func(file *config.File) (Outside, error)
	// Issuer gives the certificates for the hosts that upstreams name. It is asked
	// at the first connection that is to be opened, and when the names change.
	Issuer func(names []string) (Issuer, error)
	// Outbox keeps calls that are sent later. nil: none is kept.
	Outbox *outbox.Outbox
	// Secret gives the value of a reference, for the access key.
	Secret func(ref config.Reference) (string, error)
	Log    *slog.Logger
}

// Outside is the guarded way to hosts that no upstream names.
type Outside struct {
	Transport http.RoundTripper // for plain HTTP
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	// DialUpstream is Dial for the hosts of an upstream: any address but ours, and
	// by the upstream's own proxy.
	DialUpstream func(ctx context.Context, u *config.Upstream, network, address string) (net.Conn, error)
}

// A Server takes calls in and brings their answers back. It is a strict server for
// HTTP/1, and net/http's for HTTP/2 inside of opened TLS, around one handler per
// address.
type Server struct {
	Settings
	kept       kept
	dedups     dedups
	outside    outside
	tunnels    tunnels
	issuers    issuers
	observed   observed
	complaints complaints
	inner      *innerListener // connections that came out of a CONNECT: HTTP/1, plain or inside of TLS
	innerHTTP2 *innerListener // … HTTP/2 inside of TLS
	servers    []httpServer
	serving    sync.WaitGroup
	calls      underway
	processes  processes
	base       context.Context // of all calls
	breaks     context.CancelFunc
	leaving    context.Context // ended: nobody is to wait for what may take long
	leave      context.CancelFunc
	main       *address // of the port that serves every way in; set before anything is served there
}

// New makes a Server. It serves nothing before Serve is called.
func New(s Settings) *Server {
	server := &Server{Settings: s, inner: newInnerListener(), innerHTTP2: newInnerListener(), main: new(address)}
	server.base, server.breaks = context.WithCancel(context.Background())
	server.leaving, server.leave = context.WithCancel(context.Background())
	server.start(server.inner, server.http1(server.serveInner))
	server.start(server.innerHTTP2, server.http2(server.serveInner))
	return server
}

// Serve answers on a listener until Shutdown. upstream is the name of the
// upstream that owns the port, "" for the port that serves every way in.
// listen is the address as it was configured.
func (s *Server) Serve(listener net.Listener, upstream, listen string) {
	at := &address{upstream: upstream, keyed: s.Live.Load().File.AccessKey != "", socket: listener.Addr().Network() == "unix"}
	if host, _, err := net.SplitHostPort(listen); err == nil && !at.socket {
		at.host = strings.ToLower(host)
		_, at.port, _ = net.SplitHostPort(listener.Addr().String())
	}
	if upstream == "" {
		s.main = at
	}
	s.start(listener, s.http1(func(w http.ResponseWriter, r *http.Request) { s.serve(at, w, r) }))
}

// An httpServer serves one listener.
type httpServer interface {
	Serve(listener net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// http1 is the strict server.
func (s *Server) http1(handler http.HandlerFunc) httpServer {
	return inbound.New(inbound.Settings{
		Handler:      s.calls.count(handler),
		Base:         s.base,
		ConnContext:  s.connContext,
		HeadTimeout:  readHeaderTimeout,
		IdleTimeout:  keepAliveTimeout,
		WriteTimeout: silence,
		Limits:       framing.Limits{MaxHead: maxHead},
		ErrorLog:     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	})
}

// http2 is the server for connections that agreed on HTTP/2.
func (s *Server) http2(handler http.HandlerFunc) httpServer {
	return &http.Server{
		Handler: s.calls.count(func(w http.ResponseWriter, r *http.Request) {
			inbound.Deepen()
			handler(w, r)
		}),
		BaseContext:                  func(net.Listener) context.Context { return s.base },
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  keepAliveTimeout,
		MaxHeaderBytes:               maxHead,
		HTTP2:                        &http.HTTP2Config{WriteByteTimeout: silence},
		DisableGeneralOptionsHandler: true, // OPTIONS * is the upstream's to answer
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext:                  s.connContext,
	}
}

func (s *Server) start(listener net.Listener, server httpServer) {
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		err := server.Serve(listener)
		if !errors.Is(err, http.ErrServerClosed) {
			s.Log.Error("a listener failed", "address", listener.Addr().String(), "error", err)
		}
	})
}

// serve is one call, from the request as the server read it to the last byte.
func (s *Server) serve(at *address, w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, formOf(r))
	defer x.end()
	if err := s.take(at, x); err != nil {
		x.refuse(err)
	}
}

// take sees to a call. An error is why it is refused.
func (s *Server) take(at *address, x *exchange) error {
	r := x.r
	if violation, bad := inbound.Violation(r); bad {
		return violation
	}
	set := s.Live.Load()
	if at.keyed {
		if err := s.checkKey(set, r); err != nil {
			return err
		}
	}
	if r.Method == http.MethodConnect {
		if at.upstream != "" {
			return notAProxy(at.upstream)
		}
		s.connect(set, at, x)
		return nil
	}
	if at.upstream == "" {
		if rest, ok := at.letterOfPath(r); ok {
			s.letters(at, x, rest)
			return nil
		}
	}
	var to route
	if err := to.find(set, at, r); err != nil {
		return err
	}
	return s.exchange(set, x, &to)
}

func formOf(r *http.Request) form {
	switch {
	case r.Method == http.MethodConnect:
		return formConnect
	case absolute(r):
		return formForward
	}
	return formBaseURL
}

// outside keeps the way to unlisted hosts that belongs to a configuration.
type outside struct {
	mu      sync.Mutex
	file    *config.File
	way     Outside
	passage http.RoundTripper // of its calls, through their policies
}

// get gives the way of a configuration. Whoever asks holds the one that is in force.
func (o *outside) get(file *config.File, open func(*config.File) (Outside, error)) (Outside, http.RoundTripper, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != file {
		way, err := open(file)
		if err != nil {
			return Outside{}, nil, err
		}
		o.release()
		o.file, o.way, o.passage = file, way, policy.Passage(way.Transport)
	}
	return o.way, o.passage, nil
}

// release gives the idle connections back.
func (o *outside) release() {
	if closer, ok := o.way.Transport.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
