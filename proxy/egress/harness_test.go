package egress_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/proxy/egress"
)

// No test leaves a goroutine behind: that is part of what is tested.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// safety bounds a test that hangs; it decides nothing.
const safety = 30 * time.Second

// A peer is one connection as a scripted server sees it.
type peer struct {
	net.Conn
	br *bufio.Reader
	n  int // which connection of the server it is, from 0
}

func newPeer(c net.Conn) *peer { return &peer{Conn: c, br: bufio.NewReader(c)} }

// head reads a request's head, without the empty line. "" at the end.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func (p *peer) say(s string) { io.WriteString(p.Conn, s) }

func (p *peer) body(n int) string {
	b := make([]byte, n)
	m, _ := io.ReadFull(p.br, b)
	return string(b[:m])
}

// reset closes with a RST.
func (p *peer) reset() {
	if tc, ok := p.Conn.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	p.Close()
}

type server struct {
	addr     string
	accepted atomic.Int32
}

// serve runs handle for every connection, and closes what is open at the end
// of the test.
func serve(t testing.TB, handle func(p *peer)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, handle)
}

func serveTLS(t testing.TB, cfg *tls.Config, handle func(p *peer)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, tls.NewListener(ln, cfg), handle)
}

func serveOn(t testing.TB, ln net.Listener, handle func(p *peer)) *server {
	s := &server{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(s.accepted.Add(1)) - 1
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				if tc, ok := c.(*tls.Conn); ok && tc.Handshake() != nil {
					return
				}
				handle(&peer{c, bufio.NewReader(c), n})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			if tc, ok := c.(*tls.Conn); ok {
				c = tc.NetConn()
			}
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// answer serves the same response to every request without a body.
func answer(response string) func(*peer) {
	return func(p *peer) {
		for p.head() != "" {
			p.say(response)
		}
	}
}

func newTransport(t testing.TB, s egress.Settings) *egress.Transport {
	t.Helper()
	tr, err := egress.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func newRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), safety)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// fetch makes a call that must succeed and returns the response and its body.
func fetch(t testing.TB, tr http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body: %v after %q", err, b)
	}
	resp.Body.Close()
	return resp, string(b)
}

func get(t testing.TB, tr http.RoundTripper, url string) (*http.Response, string) {
	t.Helper()
	return fetch(t, tr, newRequest(t, "GET", url, nil))
}

// wantError checks kind and sent of an error of this package.
func wantError(t testing.TB, err error, kind egress.Kind, sent bool) *egress.Error {
	t.Helper()
	var e *egress.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want an *egress.Error of kind %v", err, err, kind)
	}
	if e.Kind != kind || e.Sent != sent || e.Unsent() == sent {
		t.Fatalf("error %v: kind %v, sent %v; want %v, %v", e, e.Kind, e.Sent, kind, sent)
	}
	return e
}

// hooks counts what httptrace says.
type hooks struct {
	mu      sync.Mutex
	gotConn []httptrace.GotConnInfo
	interim []int
	wrote   atomic.Int32
	first   atomic.Int32
}

func (h *hooks) on(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			h.mu.Lock()
			h.gotConn = append(h.gotConn, i)
			h.mu.Unlock()
		},
		WroteHeaders:         func() { h.wrote.Add(1) },
		GotFirstResponseByte: func() { h.first.Add(1) },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			h.mu.Lock()
			h.interim = append(h.interim, code)
			h.mu.Unlock()
			return nil
		},
	}))
}

// An authority signs the certificates of a test run.
type testCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	der  []byte
}

var newCA = sync.OnceValue(func() *testCA {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return &testCA{key, cert, der}
})

func (ca *testCA) leaf(names []string, ips ...net.IP) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: ips,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// caFile writes the CA's certificate where Settings.CAFile can point.
func caFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newCA().der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// serverTLS is a server's configuration with a certificate for loopback.
func serverTLS(protos ...string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{newCA().leaf([]string{"localhost", "api.test"}, net.IPv4(127, 0, 0, 1), net.IPv6loopback)},
		NextProtos:   protos,
	}
}
