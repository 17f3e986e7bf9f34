package inbound_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

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

// A request costs its head as one string, an http.Request, what is ours of the
// call, a header (two), and a context that can end (two).
func TestAllocationsOfARequest(t *testing.T) {
	for name, raw := range map[string]string{"get": get, "post": post} {
		client := newCaller(t, serving(t, true), raw)
		client.call(t)
		got := testing.AllocsPerRun(1000, func() { client.call(t) })
		// The race detector makes sync.Pool drop some of what it is given.
		if got != 7 && !raceEnabled {
			t.Errorf("%s: %v allocations, want 7", name, got)
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
