package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"outrider/policy"
)

// respondUpgrade passes a 101 on, and then bytes both ways until both sides
// have finished.
func respondUpgrade(w http.ResponseWriter, resp *http.Response, traceID string, call *policy.Call, tunnels *tunnels) (up, down int64, err error) {
	upstream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return 0, 0, errors.New("the transport gave no connection with its 101")
	}
	defer func() { _ = upstream.Close() }()
	client, early, err := hijack(w)
	if err != nil {
		return 0, 0, err
	}
	defer tunnels.add(client, upstream)()

	upgrade := resp.Header["Upgrade"]
	header := resp.Header.Clone()
	stripHop(header)
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = upgrade
	ownResponseHeaders(header, call, traceID)
	head := bufio.NewWriter(client)
	_, _ = head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = header.Write(head)
	_, _ = head.WriteString("\r\n")
	if err := head.Flush(); err != nil {
		return 0, 0, &clientError{err}
	}
	up, down = relay(client, early, upstream)
	return up, down, nil
}

// relay passes bytes both ways, each until its sender has finished, and closes
// each direction when it has: a half-closed connection stays useful.
func relay(client net.Conn, early []byte, upstream io.ReadWriteCloser) (up, down int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if len(early) > 0 {
			n, err := upstream.Write(early)
			up += int64(n)
			if err != nil {
				_ = upstream.Close()
				return
			}
		}
		n, err := io.Copy(upstream, client)
		up += n
		finish(upstream, err)
	}()
	down, err := io.Copy(client, upstream)
	finish(client, err)
	<-done
	return up, down
}

// finish ends one direction: cleanly, or by closing the connection when its
// source broke, so that nobody takes a broken stream for a whole one.
func finish(to io.Closer, err error) {
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

// tunnels are the connections that net/http no longer knows of.
type tunnels struct {
	mu   sync.Mutex
	open map[*tunnel]struct{}
	idle chan struct{} // closed when the last one ends while draining
}

// A tunnel is its two ends. Only with both closed it ends for certain: a write to
// one of them that does not read is not woken by the end of the other.
type tunnel struct{ client, upstream io.Closer }

func (t *tunnel) close() {
	_ = t.client.Close()
	_ = t.upstream.Close()
}

// add notes a tunnel. The function that it returns closes and forgets it.
func (t *tunnels) add(client, upstream io.Closer) (done func()) {
	one := &tunnel{client, upstream}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*tunnel]struct{})
	}
	t.open[one] = struct{}{}
	return func() {
		one.close()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, one)
		if t.idle != nil && len(t.open) == 0 {
			close(t.idle)
			t.idle = nil
		}
	}
}

// drain waits until the tunnels have ended, and closes those that are left when
// ctx ends. That is no failure: clients keep tunnels open for what may come, and
// nobody can see from outside whether one is in use.
func (t *tunnels) drain(ctx context.Context) {
	t.mu.Lock()
	if len(t.open) == 0 {
		t.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	t.idle = idle
	t.mu.Unlock()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, one := range left {
		one.close()
	}
	<-idle
}
