package framing_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"unsafe"

	"outrider/proxy/framing"
)

// A loop is an inner connection that gives the same bytes again and again, at
// most one repetition in a read.
type loop struct {
	wire
	unit string
}

func (l *loop) Read(p []byte) (int, error) {
	if l.in == "" {
		l.in = l.unit
	}
	return l.wire.Read(p)
}

var get = head("GET /v1/customers?limit=100 HTTP/1.1", "Host: 127.0.0.1:8080",
	"User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*",
	"Connection: keep-alive", "Authorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc",
	"Idempotency-Key: 7f9c24e8-3b12-4fef-91f0-56a1d5a4c2f1")

// units are what one client repeats on one connection.
var units = []struct{ name, raw string }{
	{"get", get},
	{"pipelined", strings.Repeat(get, 8)},
	{"post", strings.Replace(get, "GET", "POST", 1)[:len(get)-1] + "Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)},
	{"chunked", strings.Replace(get, "GET", "POST", 1)[:len(get)-1] + "Transfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 16) + "0\r\n\r\n"},
}

// take reads one unit from c with the buffer sizes of net/http: 4 KiB at a time,
// after a background read of one byte when background is set.
func take(t testing.TB, c *framing.Conn, p []byte, size int, background bool) {
	n := 0
	if background {
		n, _ = c.Read(p[:1])
	}
	for n < size {
		m, err := c.Read(p)
		if n += m; err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	for _, u := range units {
		for _, background := range []bool{false, true} {
			c := framing.NewConn(&loop{unit: u.raw}, framing.Limits{})
			p := make([]byte, 4096)
			n := testing.AllocsPerRun(1000, func() { take(t, c, p, len(u.raw), background) })
			// The race detector makes sync.Pool drop some of what it is given.
			if n > 0 && !raceEnabled {
				t.Errorf("%s, background %v: %v allocations", u.name, background, n)
			}
		}
	}
}

func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(framing.Conn{}); n > 320 {
		t.Errorf("a Conn takes %d bytes", n)
	}
}

// BenchmarkRead is the cost of the checks alone: no socket, no parsing.
func BenchmarkRead(b *testing.B) {
	for _, u := range units {
		b.Run(u.name, func(b *testing.B) {
			c := framing.NewConn(&loop{unit: u.raw}, framing.Limits{})
			p := make([]byte, 4096)
			b.SetBytes(int64(len(u.raw)))
			b.ReportAllocs()
			for b.Loop() {
				take(b, c, p, len(u.raw), false)
			}
		})
	}
}

// BenchmarkServer is one keep-alive call over a loopback socket through
// net/http's server, with and without the checks.
func BenchmarkServer(b *testing.B) {
	for _, checked := range []bool{false, true} {
		name := map[bool]string{false: "bare", true: "checked"}[checked]
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			addr := l.Addr().String()
			if checked {
				l = framing.NewListener(l, framing.Limits{})
			}
			hs := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
			go func() { _ = hs.Serve(l) }()
			defer hs.Close()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			br := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = io.WriteString(c, get)
				for {
					line, err := br.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
				if _, err := br.Discard(2); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
