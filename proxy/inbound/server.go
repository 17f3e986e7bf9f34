package inbound

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/proxy/framing"
)

// newTime is how long a connection that was opened shortly before Shutdown may
// take for its first request.
const newTime = 5 * time.Second

// Settings wire a Server.
type Settings struct {
	// Handler serves the requests. It gets those that were refused as well: see
	// [Violation].
	Handler http.Handler
	// Base ends all calls with it, and has values for their contexts. nil is
	// context.Background.
	Base context.Context
	// ConnContext gives the context of a connection's calls more values. It is called from the
	// goroutine of the connection, and so by several at once. It may be nil.
	ConnContext func(ctx context.Context, conn net.Conn) context.Context
	// HeadTimeout is how long a head may take, from its first byte, and how long a
	// new connection may say nothing. 0: without end.
	HeadTimeout time.Duration
	// IdleTimeout is how long a connection is kept between two requests, less a
	// hundredth at most. 0: without end.
	IdleTimeout time.Duration
	// WriteTimeout bounds each write for which a handler has set no deadline, among
	// them the last of a small answer. It may be early by a hundredth. 0: without end.
	WriteTimeout time.Duration
	Limits       framing.Limits
	// ErrorLog hears of panics in handlers and of listeners that stutter. nil: nobody does.
	ErrorLog *log.Logger
}

// A Server serves HTTP/1.
type Server struct {
	Settings
	draining  atomic.Bool // no further requests
	ended     atomic.Bool // nor those under way: Base has ended, or Close was called
	buffers   buffers
	outputs   outputs
	young     young
	following sync.Once // of Base

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	empty     chan struct{} // closed when the last connection is gone; nil: nobody waits
}

// New makes a server.
func New(s Settings) *Server {
	if s.Base == nil {
		s.Base = context.Background()
	}
	return &Server{Settings: s, listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{})}
}

// Serve takes connections from a listener until it fails. After Shutdown or Close
// the error is http.ErrServerClosed. It may return before the server knows of the connection
// that was accepted last: after Shutdown or Close that one is closed then, and else served.
func (s *Server) Serve(listener net.Listener) error {
	if !s.listen(listener) {
		_ = listener.Close()
		return http.ErrServerClosed
	}
	s.following.Do(func() { context.AfterFunc(s.Base, s.endCalls) })
	failed := make(chan error, 1)
	go s.accept(listener, failed)
	return <-failed
}

// accept takes the next connection and serves it, after it has left the listener to another
// goroutine: so the first request is read at once, where it would have to wait until the
// goroutine that accepts has found nothing more and rests, had the connection got a new one.
// How the last of these goroutines has failed is sent to failed.
func (s *Server) accept(listener net.Listener, failed chan<- error) {
	var pause time.Duration
	for {
		wire, err := listener.Accept()
		switch {
		case err == nil:
			go s.accept(listener, failed)
			if c := newConn(s, wire); s.add(c) {
				c.serve()
			} else {
				_ = wire.Close()
			}
			return
		case s.draining.Load():
			failed <- http.ErrServerClosed
			return
		case passes(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log("a connection could not be accepted; trying again in %v: %v", pause, err)
			time.Sleep(pause)
		default:
			failed <- err
			return
		}
	}
}

// passes reports whether a listener may do better later: when files are given
// back, for instance.
func passes(err error) bool {
	temporary, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && temporary.Temporary()
}

func (s *Server) log(format string, values ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, values...)
	}
}

func (s *Server) listen(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[listener] = struct{}{}
	return true
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// forget is called when a connection is no longer the server's.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// endCalls ends the contexts of all calls, also of those that are about to begin.
func (s *Server) endCalls() {
	s.ended.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.endCall()
	}
}

// Shutdown takes no further connections and requests, and waits until those under
// way have been answered, or ctx ends. Connections that were detached are not
// waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	s.closeListeners()
	for c := range s.conns {
		c.drain()
	}
	empty := make(chan struct{})
	if len(s.conns) == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	s.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
		select {
		case <-empty: // as well, so that nothing is cut off
		default:
			return ctx.Err()
		}
	}
	return nil
}

// Close closes all listeners and connections, and ends the contexts of the calls.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	s.ended.Store(true)
	s.closeListeners()
	for c := range s.conns {
		_ = c.wire.Close()
		c.endCall()
	}
	return nil
}

func (s *Server) closeListeners() {
	for listener := range s.listeners {
		_ = listener.Close()
		delete(s.listeners, listener)
	}
}
