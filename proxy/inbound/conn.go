package inbound

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"outrider/proxy/framing"
	"outrider/proxy/socket"
)

// What a connection is doing, as far as Shutdown has to know.
const (
	stateNew    int32 = iota // waiting for its first request
	stateIdle                // waiting for another one
	stateActive              // in the middle of a request
	stateOver                // about to be closed
)

// A conn is one connection of a client.
//
// Its goroutine reads a head, calls the handler and ends the answer, again and
// again. Beside it there may be a handler's goroutine that reads the body, and
// the one of its watch: see the locks.
type conn struct {
	server *Server
	wire   net.Conn
	raw    syscall.RawConn // to wait without a buffer; nil: wire is no socket
	ctx    context.Context // values for its calls, it does not end
	opened time.Time
	state  atomic.Int32
	call   atomic.Pointer[call] // the one under way; nil: none is

	scanner framing.Scanner
	host    string // of the last request
	input   input
	ready   func(fd uintptr) bool // made once: see reader
	later   error                 // came with the last bytes that were read, or in place of more
	writes  deadline
	small   *socket.Writer // writes what is no more than a buffer to wire

	mu      sync.Mutex
	reads   deadline      // guarded by mu
	bound   time.Duration // of reads of a body, as deadlines count; guarded by mu
	reading bool          // one of them is at the connection; guarded by mu
	watch   watch
	rested  sync.Cond // the watch has ended; on mu
}

func newConn(s *Server, wire net.Conn) *conn {
	c := &conn{server: s, wire: wire, opened: time.Now()}
	c.input.pool, c.rested.L = &s.buffers, &c.mu
	if socket.Quick {
		c.raw, c.ready = socket.Raw(wire), c.reader()
	}
	c.small = socket.NewWriter(wire, c.raw)
	ctx := context.WithValue(context.WithoutCancel(s.Base), http.LocalAddrContextKey, wire.LocalAddr())
	if s.ConnContext != nil {
		ctx = s.ConnContext(ctx, wire)
	}
	c.ctx = ctx
	return c
}

// serve serves a connection until it ends. It stays shallow: most of the time,
// most connections wait here, each with its stack.
func (c *conn) serve() {
	defer c.end()
	for first := true; c.await(); first = false {
		if first {
			Deepen()
		}
		if !c.exchange() {
			return
		}
	}
}

// end closes the connection. A panic is a defect of ours, which must cost this
// connection only.
func (c *conn) end() {
	if defect := recover(); defect != nil {
		c.server.log("the server met a defect: %v\n%s", defect, debug.Stack())
	}
	c.input.release(&c.scanner)
	if c.state.Load() != stateOver { // else it was closed already, or is somebody else's
		_ = c.wire.Close()
	}
	c.server.forget(c)
}

// await waits for the first bytes of a request. It reports that there are some.
func (c *conn) await() bool {
	if c.input.some() {
		return true
	}
	if c.later != nil {
		return false
	}
	if c.state.Load() != stateNew {
		c.readUntil(c.server.IdleTimeout)
		if c.state.CompareAndSwap(stateActive, stateIdle) && c.server.draining.Load() {
			return false
		}
		if c.server.draining.Load() {
			c.drain()
		}
	} else if c.raw == nil { // else when it has to wait: see reader
		c.greet()
	}
	if err := c.first(); err != nil || !c.input.some() {
		return false
	}
	return c.state.CompareAndSwap(stateIdle, stateActive) || c.state.CompareAndSwap(stateNew, stateActive)
}

// greet bounds the wait for the first request.
func (c *conn) greet() {
	c.readUntil(c.server.HeadTimeout)
	if c.server.draining.Load() {
		c.drain()
	}
}

// drain ends a connection that has no request under way. A new one gets a moment:
// who opened it is about to send one.
func (c *conn) drain() {
	switch {
	case c.state.CompareAndSwap(stateIdle, stateOver):
		_ = c.wire.Close()
	case c.state.Load() == stateNew:
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.moveReadDeadline(newTime)
	}
}

// fill reads more bytes behind those that are there.
func (c *conn) fill() error {
	if c.later != nil {
		return c.later
	}
	n, err := c.wire.Read(c.input.room(&c.scanner))
	c.input.to += n
	if n > 0 {
		c.later = err
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// endCall ends the context of the call under way.
func (c *conn) endCall() {
	if k := c.call.Load(); k != nil {
		k.end()
	}
}

// linger is how long, after an answer that its client may still be sending
// against, what comes is read and thrown away: closing a socket with unread bytes
// makes the kernel send a reset, which can overtake the answer (RFC 9112 §9.6).
const linger = 500 * time.Millisecond

// depart closes the connection behind an answer that the client is to read.
func (c *conn) depart() {
	if half, ok := c.wire.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.wire.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, c.wire)
	}
}
