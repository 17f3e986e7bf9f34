package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/framing"
)

// firstBytesTimeout is how long a client that opened a connection to a host of
// ours on port 80 may take to say what it speaks.
const firstBytesTimeout = 30 * time.Second

// connectPlain tells the client that it is connected, and looks at what it
// says: HTTP is served as a proxy request, anything else is a tunnel.
func (s *Server) connectPlain(set *policy.Set, x *exchange, authority string) {
	client, early, err := hijack(x.w)
	if err != nil {
		x.broken(err)
		return
	}
	x.outcome.Status, x.outcome.Class, x.wrote = http.StatusOK, policy.ClassOK, true
	if _, err := io.WriteString(client, established); err == nil {
		early = firstBytes(client, early)
	}
	switch {
	case len(early) == 0:
		_ = client.Close()
	case speaksHTTP(early):
		s.inner.hand(&innerConn{Conn: client, early: early, authority: authority})
	default:
		s.tunnel(set, x, authority, true, client, early)
	}
}

// firstBytes waits until the client has said enough to tell its protocol.
func firstBytes(client net.Conn, early []byte) []byte {
	_ = client.SetReadDeadline(time.Now().Add(firstBytesTimeout))
	defer func() { _ = client.SetReadDeadline(time.Time{}) }()
	buffer := make([]byte, 4096)
	for len(early) < len("OPTIONS ") && !bytes.ContainsAny(early, " \r\n") {
		n, err := client.Read(buffer)
		early = append(early, buffer[:n]...)
		if err != nil {
			return early // what came before the end
		}
		if early[0] < 'A' || early[0] > 'Z' {
			break
		}
	}
	return early
}

// speaksHTTP reports whether bytes begin like a request line: a method of
// capital letters, and a space.
func speaksHTTP(b []byte) bool {
	n := 0
	for n < len(b) && b[n] >= 'A' && b[n] <= 'Z' {
		n++
	}
	return n > 0 && (n == len(b) || b[n] == ' ')
}

// An innerListener serves connections that came out of a CONNECT, as if they
// had been accepted.
type innerListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newInnerListener() *innerListener {
	return &innerListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *innerListener) hand(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		_ = conn.Close()
	}
}

func (l *innerListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *innerListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *innerListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// An innerConn is what a client sends inside a CONNECT. Its calls are bound to
// the host that the client asked to be connected to.
type innerConn struct {
	net.Conn
	early     []byte
	authority string
}

func (c *innerConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *innerConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

type framedKey struct{}

// connContext remembers the connection that a request comes from.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	if framed, ok := framing.From(conn); ok {
		return context.WithValue(ctx, framedKey{}, framed)
	}
	return ctx
}

// framed is the connection that a request comes from.
func framed(r *http.Request) (*framing.Conn, bool) {
	conn, ok := r.Context().Value(framedKey{}).(*framing.Conn)
	return conn, ok
}

// boundAuthority is the host and port that a connection is bound to.
func boundAuthority(r *http.Request) string {
	if conn, ok := framed(r); ok {
		if inner, ok := conn.NetConn().(*innerConn); ok {
			return inner.authority
		}
	}
	return ""
}

// serveInner is one call inside a connection that a client opened by CONNECT.
// It goes where the connection goes, and nowhere else: with another Host it
// could take the credential of one upstream to another.
func (s *Server) serveInner(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, formForward)
	defer x.end()
	if violation, bad := framing.Violation(r); bad {
		x.refuse(violation)
		return
	}
	authority := boundAuthority(r)
	if absolute(r) || r.Method == http.MethodConnect || !sameAuthority(r.Host, authority) {
		x.refuse(&problem{slug: "authority-mismatch", detail: "the connection is to " + quote(authority) + ", the request is for " + quote(r.Host)})
		return
	}
	set := s.Live.Load()
	u, listed := set.ByHost(authority)
	if !listed { // a reload took the upstream away
		x.refuse(hostDenied(authority))
		return
	}
	t := splitTarget(r.RequestURI)
	scheme, host := u.Origin(authority)
	s.exchange(set, x, route{formForward, u, u.Plan(r.Method, t.path), scheme, host, t})
}

// sameAuthority compares a Host with the host and port of a CONNECT to port 80.
func sameAuthority(host, authority string) bool {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		port = "80"
	}
	_, connected, _ := net.SplitHostPort(authority)
	return hostOf(host) == hostOf(authority) && port == connected
}
