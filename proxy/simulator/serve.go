package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Serve accepts connections from ln and answers them: HTTP/1, HTTP/2 with
// prior knowledge, and what TLS negotiates if ln is a TLS listener. It returns
// when Close is called, with nil, or when ln fails. It may be called for
// several listeners at once.
func (s *Simulator) Serve(ln net.Listener) error {
	server := &http.Server{
		Handler:                      http.HandlerFunc(s.serveCounted),
		ReadHeaderTimeout:            time.Minute,
		IdleTimeout:                  10 * time.Minute,
		MaxHeaderBytes:               maxHead,
		DisableGeneralOptionsHandler: true, // OPTIONS * is echoed as well
		ErrorLog:                     log.New(io.Discard, "", 0),
		ConnState:                    func(_ net.Conn, state http.ConnState) { s.tally.connection(state) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if !s.enter(server) {
		ln.Close()
		return nil
	}
	err := server.Serve(tappingListener{ln})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// enter registers a server with the simulator, unless that is closed.
func (s *Simulator) enter(server *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.servers[server] = true
	return true
}

// serveCounted makes Close wait for the requests of our own servers.
func (s *Simulator) serveCounted(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	if t, ok := r.Context().Value(connKey{}).(*tappedConn); ok {
		t.tap.next()
	}
	s.ServeHTTP(w, r)
}

// Close ends every Serve, breaks off every connection, and waits until no
// request is left. A Simulator that is only used as a handler has nothing to
// close but what waits inside it.
func (s *Simulator) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	var errs []error
	for server := range s.servers { // nothing enters any more
		errs = append(errs, server.Close())
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

// connKey finds the connection in a request's context.
type connKey struct{}

// A tappingListener puts a tap on the connections that it accepts. Those under
// TLS stay as they are: net/http looks for their type to negotiate HTTP/2.
type tappingListener struct{ net.Listener }

func (l tappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := c.(*tls.Conn); ok {
		return c, nil
	}
	return &tappedConn{Conn: c, tap: new(tap)}, nil
}

type tappedConn struct {
	net.Conn
	tap *tap
}

// NetConn is the connection under the tap.
func (c *tappedConn) NetConn() net.Conn { return c.Conn }

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.feed(b[:n])
	return n, err
}
