package egress_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/egress"
)

// sizedConn notes how large each write is.
type sizedConn struct {
	net.Conn
	mu     *sync.Mutex
	writes *[]int
}

func (c sizedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	*c.writes = append(*c.writes, len(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// Of a body over TLS, the records of what was read in one piece are written in
// one piece. Each was a system call, and of a frame of HTTP/2 the last nine bytes
// were another.
func TestRecordsOfOneWriteGoOutTogether(t *testing.T) {
	for _, c := range []struct {
		protocol string
		piece    int // of the body in each write, at least
	}{
		{"http/1.1", 32 << 10},
		{"h2", 16 << 10},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			const size = 20 * 32 << 10
			got := make(chan int64, 1)
			url := serveHTTP(t, serverTLS(c.protocol), func(_ http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				got <- n
			})
			var mu sync.Mutex
			var writes []int
			tr := newTransport(t, egress.Settings{CAFile: caFile(t), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				return sizedConn{nc, &mu, &writes}, err
			}})
			req := newRequest(t, "PUT", url, io.NopCloser(bytes.NewReader(make([]byte, size))))
			req.ContentLength = size
			fetch(t, tr, req)
			if n := <-got; n != size {
				t.Errorf("%d bytes arrived, want %d", n, size)
			}
			mu.Lock()
			defer mu.Unlock()
			if most := size/c.piece + 12; len(writes) > most { // twelve for handshake, settings and the like
				t.Errorf("%d writes, want %d at most: %v", len(writes), most, writes)
			}
		})
	}
}

// A request that is small is one write, however young its connection: crypto/tls
// would make records of a packet's size at first.
func TestSmallRequestIsOneWrite(t *testing.T) {
	s := serveTLS(t, serverTLS("http/1.1"), func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			p.body(8 << 10)
			p.say(hello)
		}
	})
	var mu sync.Mutex
	var writes []int
	tr := newTransport(t, egress.Settings{CAFile: caFile(t), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return sizedConn{nc, &mu, &writes}, err
	}})
	before := 0
	for range 3 {
		fetch(t, tr, newRequest(t, "POST", "https://"+s.addr+"/", strings.NewReader(strings.Repeat("x", 8<<10))))
		mu.Lock()
		if n := len(writes); before > 0 && n != before+1 || writes[n-1] < 8<<10 {
			t.Errorf("writes of %v bytes", writes[before:])
		}
		before = len(writes)
		mu.Unlock()
	}
}
