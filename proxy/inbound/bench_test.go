package inbound_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/proxy/inbound"
)

var get = head("GET /v1/customers?limit=100 HTTP/1.1", "Host: 127.0.0.1:8080",
	"User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*",
	"Connection: keep-alive", "Authorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc",
	"Idempotency-Key: 7f9c24e8-3b12-4fef-91f0-56a1d5a4c2f1")

var post = strings.Replace(get, "GET", "POST", 1)[:len(get)-1] + "Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)

// answering answers like an upstream whose answer is passed on: 1 KiB, and none of
// its header made anew.
func answering() http.Handler {
	kind, length, date := []string{"application/json"}, []string{"1024"}, []string{"Fri, 27 Nov 2026 03:00:00 GMT"}
	data, sink := []byte(strings.Repeat("x", 1024)), make([]byte, 2048)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			for err := error(nil); err == nil; {
				_, err = r.Body.Read(sink)
			}
		}
		header := w.Header()
		header["Content-Type"], header["Content-Length"], header["Date"] = kind, length, date
		_, _ = w.Write(data)
	})
}

// passing does the same with an answer that is passed on.
func passing() http.Handler {
	data := []byte(strings.Repeat("x", 1024))
	another := inbound.Head{
		Status: 200, Pick: everyField, Own: []inbound.Field{{Name: "Outrider-Trace", Value: "0af7651916cd43dd8448eb211c80319c"}},
		Header: http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1024"}, "Date": {"Fri, 27 Nov 2026 03:00:00 GMT"}, "Server": {"nginx"}},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inbound.Pass(w, &another)
		_, _ = w.Write(data)
	})
}

// A caller makes calls over one connection, and allocates nothing.
type caller struct {
	conn net.Conn
	r    *bufio.Reader
	raw  []byte
}

func newCaller(t testing.TB, addr, raw string) *caller {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &caller{conn, bufio.NewReader(conn), []byte(raw)}
}

func (c *caller) call(t testing.TB) {
	_, _ = c.conn.Write(c.raw)
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := c.r.Discard(1024); err != nil {
		t.Fatal(err)
	}
}

// serving serves on a socket of loopback, by our server or by net/http's.
func serving(t testing.TB, ours bool) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if ours {
		start(t, inbound.New(inbound.Settings{Handler: answering(), HeadTimeout: 30e9, IdleTimeout: 180e9}), listener)
		return listener.Addr().String()
	}
	theirs := &http.Server{Handler: answering(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 30e9, IdleTimeout: 180e9}
	go func() { _ = theirs.Serve(listener) }()
	t.Cleanup(func() { _ = theirs.Close() })
	return listener.Addr().String()
}

// A request costs its head as one string, its header (two), and all the rest of the call.
func TestAllocationsOfARequest(t *testing.T) {
	for name, raw := range map[string]string{"get": get, "post": post} {
		client := newCaller(t, serving(t, true), raw)
		client.call(t)
		got := testing.AllocsPerRun(1000, func() { client.call(t) })
		// The race detector makes sync.Pool drop some of what it is given.
		if got != 4 && !raceEnabled {
			t.Errorf("%s: %v allocations, want 4", name, got)
		}
	}
}

// BenchmarkServer is one keep-alive call over a loopback socket, client included.
func BenchmarkServer(b *testing.B) {
	for name, raw := range map[string]string{"get": get, "post": post} {
		for _, ours := range []bool{true, false} {
			b.Run(name+map[bool]string{true: "/inbound", false: "/net-http"}[ours], func(b *testing.B) {
				client := newCaller(b, serving(b, ours), raw)
				b.ReportAllocs()
				for b.Loop() {
					client.call(b)
				}
			})
		}
	}
}

// An endless connection has the same request come again and again, and takes no time.
type endless struct {
	net.Conn
	raw  []byte
	at   int
	left int // requests
	over chan struct{}
}

func (c *endless) Read(p []byte) (int, error) {
	if c.at == 0 {
		if c.left--; c.left < 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, c.raw[c.at:])
	c.at = (c.at + n) % len(c.raw)
	return n, nil
}

func (c *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (c *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *endless) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *endless) SetReadDeadline(time.Time) error  { return nil }
func (c *endless) SetWriteDeadline(time.Time) error { return nil }
func (c *endless) Close() error                     { close(c.over); return nil }

// BenchmarkRequest is what the server does for a call by itself, without a socket.
func BenchmarkRequest(b *testing.B) {
	bare := head("GET / HTTP/1.1", "Host: a")
	for _, c := range []struct {
		name, raw string
		handler   http.Handler
	}{{"get", get, answering()}, {"post", post, answering()}, {"bare", bare, answering()}, {"passed", bare, passing()}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			client := &endless{raw: []byte(c.raw), left: b.N, over: make(chan struct{})}
			server := inbound.New(inbound.Settings{Handler: c.handler, HeadTimeout: 30e9, IdleTimeout: 180e9, WriteTimeout: 300e9})
			_ = server.Serve(&onlyOne{client})
			<-client.over
		})
	}
}
