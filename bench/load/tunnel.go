package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Tunnels are clients of a forward proxy that reach a host by CONNECT.
type Tunnels struct {
	Proxy  string      // address
	Target string      // host and port
	TLS    *tls.Config // of what is inside; nil: that is plain
}

// Small opens tunnels from so many clients at a time, for a while, with a GET of / in each,
// and says how many there were.
func (t Tunnels) Small(ctx context.Context, clients int, duration time.Duration) (int, error) {
	end := time.Now().Add(duration)
	var opened atomic.Int64
	failed := make(chan error, clients)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for time.Now().Before(end) {
				if _, err := t.One(ctx, "/"); err != nil {
					failed <- err
					return
				}
				opened.Add(1)
			}
		})
	}
	all.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return 0, fmt.Errorf("opening tunnels: %w", err)
	}
	return int(opened.Load()), nil
}

// One opens a tunnel, gets path through it, and says how long the body was.
func (t Tunnels) One(ctx context.Context, path string) (int64, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Proxy)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", t.Target, t.Target); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, errors.Join(errors.New("CONNECT is answered with "+resp.Status), resp.Body.Close())
	}
	if t.TLS == nil {
		return get(conn, bufio.NewReaderSize(conn, 64<<10), path, io.Discard)
	}
	inside := tls.Client(conn, t.TLS)
	if err := inside.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	return get(inside, bufio.NewReaderSize(inside, 64<<10), path, io.Discard)
}
