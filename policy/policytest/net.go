package policytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
)

// A Net is a network in memory: everything that blocks in it blocks durably in
// the sense of testing/synctest. Its connections are those of net.Pipe, which
// hold no bytes: a write ends when the other end has read it.
type Net struct {
	mu        sync.Mutex
	listeners map[string]*listener // address → listener
}

// NewNet returns a network that nobody listens on.
func NewNet() *Net { return &Net{listeners: make(map[string]*listener)} }

// Listen announces on an address, which is any "host:port".
func (n *Net) Listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, netError("listen", address, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{net: n, address: addr(address), conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dial connects to an address that somebody listens on, and is refused
// otherwise. It is an http.Transport.DialContext.
func (n *Net) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := netError("dial", address, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	if l == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case l.conns <- &pipe{Conn: far, local: l.address, remote: "client.test:1"}:
		return &pipe{Conn: near, local: "client.test:1", remote: l.address}, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, netError("dial", address, context.Cause(ctx))
	}
}

// Serve serves h on an address until the test ends.
func (n *Net) Serve(t testing.TB, address string, h http.Handler) *http.Server {
	t.Helper()
	l, err := n.Listen(address)
	if err != nil {
		t.Fatalf("policytest: %v", err)
	}
	server := &http.Server{Handler: h}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); err != http.ErrServerClosed {
			panic(fmt.Sprintf("policytest: serving %s: %v", address, err))
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return server
}

// Transport returns a transport over n, whose connections are closed when the
// test ends.
func (n *Net) Transport(t testing.TB) *http.Transport {
	transport := &http.Transport{DialContext: n.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// listener hands the far ends of dialled connections to Accept.
type listener struct {
	net     *Net
	address addr
	conns   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, netError("accept", string(l.address), net.ErrClosed)
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, string(l.address))
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.address }

// pipe is an end of a net.Pipe with addresses.
type pipe struct {
	net.Conn
	local, remote addr
}

func (p *pipe) LocalAddr() net.Addr  { return p.local }
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

// addr is a "host:port".
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func netError(op, address string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: addr(address), Err: err}
}
