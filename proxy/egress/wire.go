package egress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"outrider/proxy/socket"
)

// wireConn is the socket under everything, TLS included. It counts what the
// kernel took, so that "was a byte of this request sent" has an exact answer,
// and it remembers whether the peer's FIN was seen, because crypto/tls reports
// a FIN without close_notify as a clean end.
type wireConn struct {
	net.Conn
	raw     syscall.RawConn // nil: not a system socket
	out     *socket.Writer
	remote  remoteAddr
	written atomic.Int64
	gotFIN  atomic.Bool
	onClose atomic.Pointer[func()] // called once, when the connection closes

	// asker is asked by Read, once, when there is nothing to read, and before
	// Read waits. nil: it waits at once. It is the reader's alone, as what follows.
	asker  asker
	into   []byte
	n      int
	err    error
	readFn func(fd uintptr) bool
}

// An asker says what there is to answer. An error ends the Read that asked it.
type asker interface{ ask() error }

func (w *wireConn) ask() error {
	a := w.asker
	w.asker = nil
	return a.ask()
}

func newWire(nc net.Conn) *wireConn {
	w := &wireConn{Conn: nc}
	if remote := nc.RemoteAddr(); remote != nil {
		w.remote = remoteAddr{remote, remote.String()}
	}
	w.raw, w.readFn = socket.Raw(nc), w.readFD
	w.out = socket.NewWriter(nc, w.raw)
	return w
}

// A remoteAddr has its text at hand: each call that uses the connection wants it.
type remoteAddr struct {
	net.Addr
	text string
}

func (a *remoteAddr) String() string { return a.text }

// RemoteAddr implements net.Conn.
func (w *wireConn) RemoteAddr() net.Addr {
	if w.remote.Addr == nil {
		return nil
	}
	return &w.remote
}

func (w *wireConn) Read(p []byte) (int, error) {
	if socket.Quick && w.raw != nil && len(p) > 0 {
		w.into = p
		err := w.raw.Read(w.readFn)
		w.into = nil
		if err != nil {
			return 0, err
		}
		return w.n, w.err
	}
	if w.asker != nil {
		return w.readOrAsk(p)
	}
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		w.gotFIN.Store(true)
	}
	return n, err
}

// Write is for one goroutine at a time: crypto/tls sees to that where it is above, and
// of a plain connection one goroutine writes, which is the call's or its sender's.
func (w *wireConn) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	if n > 0 {
		w.written.Add(int64(n))
	}
	return n, err
}

func (w *wireConn) Close() error {
	err := w.Conn.Close()
	if fn := w.onClose.Swap(nil); fn != nil {
		(*fn)()
	}
	return err
}

// errQuiet is what is read from a connection that is open and has nothing to
// say, where nobody waits. Temporary keeps crypto/tls from remembering it.
var errQuiet net.Error = quietError{}

type quietError struct{}

func (quietError) ask() error      { return errQuiet }
func (quietError) Error() string   { return "nothing to read" }
func (quietError) Timeout() bool   { return true }
func (quietError) Temporary() bool { return true }

// conn is one HTTP/1.1 connection, or one that is about to be given to HTTP/2.
type conn struct {
	t    *Transport
	key  key
	home *authority // where it is counted while it is open
	wire *wireConn
	nc   net.Conn             // wire itself, or what was built on it: TLS, a way through a proxy
	tls  *tls.ConnectionState // of the target; nil: plain

	carrier *carrier // TLS to a proxy below that of the target; nil: none

	uses      int               // requests so far
	taken     time.Duration     // when the call that uses it got it; as the times below by Transport.now
	young     *exchange         // that call, until it is found to be as old as late, or over; guarded by Transport.mu
	lookedAt  bool              // it is in Transport.busy; guarded as well
	rested    bool              // it has been in the pool
	idleSince time.Duration     // when it went there, or a little before: when its last call took it, if that was young
	expires   time.Duration     // when it must leave it
	keepFor   time.Duration     // how long the peer keeps it, 0: it did not say
	h2        *http2.ClientConn // set once ALPN has chosen HTTP/2
	dead      bool              // the socket is closed; guarded by Transport.mu
	one       [1]byte
}

func newConn(t *Transport, k key, raw net.Conn) *conn {
	c := &conn{t: t, key: k, wire: newWire(raw)}
	c.nc = c.wire
	return c
}

func (c *conn) secure(tc *secureConn) {
	c.nc = tc
	state := tc.ConnectionState()
	c.tls = &state
}

func (c *conn) isHTTP2() bool { return c.tls != nil && c.tls.NegotiatedProtocol == "h2" }

// alive reports whether the connection can take a request: the peer has not
// closed it and has said nothing since the last response. The read passes
// through TLS, so that a late session ticket is digested and a plaintext byte
// left in the TLS buffer is found.
func (c *conn) alive() bool {
	if c.wire.raw == nil {
		return true
	}
	c.wire.asker = quietError{}
	n, err := c.nc.Read(c.one[:])
	c.wire.asker = nil
	return n == 0 && err == error(errQuiet)
}

// close ends the connection politely: over TLS with a close_notify.
func (c *conn) close() {
	c.nc.Close()
	c.wire.Close() // a TLS Close that could not write its alert leaves it open
}

// abort ends the connection at once. It never writes, so it never blocks.
func (c *conn) abort() { c.wire.Close() }

// CloseWrite sends a FIN.
func (w *wireConn) CloseWrite() error {
	if cw, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}
