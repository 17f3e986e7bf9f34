package egress

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// oneRecord is the most that TLS puts into one record (RFC 8446 §5.1).
const oneRecord = 16 << 10

// A secureConn is TLS whose records of one Write reach the socket in one write.
// By itself crypto/tls writes each on its own, and of a frame of HTTP/2, which
// with its header is a little larger than a record, the last bytes too.
type secureConn struct {
	*tls.Conn
	beneath *gatherer
	large   sync.Mutex // held by a Write that has the gatherer hold
}

// secured is a TLS client over nc.
func secured(nc net.Conn, cfg *tls.Config) *secureConn {
	g := &gatherer{Conn: nc}
	return &secureConn{Conn: tls.Client(g, cfg), beneath: g}
}

// Write implements io.Writer. What did not get away is an error, and then it is
// not known how much of p did.
func (s *secureConn) Write(p []byte) (int, error) {
	if len(p) <= oneRecord {
		return s.Conn.Write(p)
	}
	return s.writeLarge(p)
}

// writeLarge is Write of more than a record.
func (s *secureConn) writeLarge(p []byte) (int, error) {
	s.large.Lock()
	defer s.large.Unlock()
	s.beneath.hold()
	n, err := s.Conn.Write(p)
	if flushed := s.beneath.flush(); err == nil && flushed != nil {
		return 0, flushed
	}
	return n, err
}

// farewell is how long a connection that is closed may take to say so, to a peer
// that does not read. crypto/tls would take five seconds, and the HTTP/2 library
// cuts short only what is crypto/tls itself.
const farewell = 250 * time.Millisecond

// Close implements io.Closer.
func (s *secureConn) Close() error {
	cut := time.AfterFunc(farewell, func() { _ = s.beneath.Close() })
	defer cut.Stop()
	return s.Conn.Close()
}

// enough is how much is held before it is written, in bytes: a piece of a body
// with what frames it. A server may take frames of HTTP/2 that are much larger.
const enough = sendBuffer + 1<<10

var gatherPool = sync.Pool{New: func() any { b := make([]byte, 0, enough+oneRecord+1<<10); return &b }}

// A gatherer is the connection beneath TLS. It keeps records while it holds. Some
// of them may be TLS's own, from the goroutine that reads: they stay in order.
type gatherer struct {
	net.Conn
	holding atomic.Bool // held is there; changed with mu held
	mu      sync.Mutex
	held    *[]byte // nil: it does not hold
}

// Write implements io.Writer. TLS writes one record after the other, so that none
// can pass another that is about to be held.
func (g *gatherer) Write(p []byte) (int, error) {
	if !g.holding.Load() {
		return g.Conn.Write(p)
	}
	return g.keep(p)
}

// keep is Write while it holds, or did until just now.
func (g *gatherer) keep(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		return g.Conn.Write(p)
	}
	*g.held = append(*g.held, p...)
	if len(*g.held) <= enough {
		return len(p), nil
	}
	if err := g.writeHeld(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (g *gatherer) writeHeld() error {
	_, err := g.Conn.Write(*g.held)
	*g.held = (*g.held)[:0]
	return err
}

func (g *gatherer) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = gatherPool.Get().(*[]byte)
	g.holding.Store(true)
}

// flush writes what is held, and holds no more.
func (g *gatherer) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	if len(*g.held) > 0 {
		err = g.writeHeld()
	}
	gatherPool.Put(g.held)
	g.held = nil
	g.holding.Store(false)
	return err
}
