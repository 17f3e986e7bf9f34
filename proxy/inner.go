package proxy

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"

	"outrider/proxy/framing"
	"outrider/proxy/inbound"
)

// firstBytesTimeout is how long a client that opened a connection to a host of
// ours may take to say what it speaks.
const firstBytesTimeout = 30 * time.Second

// firstBytes waits until the client has said enough to tell its protocol. The
// error is why it said no more; what it said before that counts.
func firstBytes(client net.Conn, early []byte) ([]byte, error) {
	_ = client.SetReadDeadline(time.Now().Add(firstBytesTimeout))
	defer func() { _ = client.SetReadDeadline(time.Time{}) }()
	buffer := make([]byte, 4096)
	for len(early) < len("OPTIONS ") && !bytes.ContainsAny(early, " \r\n") {
		if len(early) > 0 && (early[0] < 'A' || early[0] > 'Z') {
			break
		}
		n, err := client.Read(buffer)
		early = append(early, buffer[:n]...)
		if err != nil {
			return early, err
		}
	}
	return early, nil
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

// speaksTLS reports whether bytes begin like a TLS handshake: the content type
// of a record (RFC 8446 section 5.1). No text protocol begins with it.
func speaksTLS(b []byte) bool { return len(b) > 0 && b[0] == 22 }

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
	secure    bool // TLS was opened on it
	release   func()
}

func (c *innerConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil // and its buffer with it
		}
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

func (c *innerConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// NetConn is the socket.
func (c *innerConn) NetConn() net.Conn { return c.Conn }

// beneath finds the connection of a type in the layers of one: TLS, CONNECT, …
func beneath[C net.Conn](conn net.Conn) (found C, ok bool) {
	for {
		if found, ok = conn.(C); ok {
			return found, true
		}
		layer, more := conn.(interface{ NetConn() net.Conn })
		if !more {
			return found, false
		}
		conn = layer.NetConn()
	}
}

// serveInner is one call inside a connection that a client opened by CONNECT.
// It goes where the connection goes, and nowhere else: with another Host it
// could take the credential of one upstream to another.
func (s *Server) serveInner(w http.ResponseWriter, r *http.Request) {
	inner, ok := beneath[*innerConn](connOf(r))
	if !ok {
		panic("a request inside of a CONNECT that there was none of")
	}
	form := formForward
	if inner.secure {
		form = formIntercepted
	}
	r = inner.originForm(r)
	x := s.begin(w, r, form)
	defer x.end()
	x.inside = inner.secure
	set := s.Live.Load()
	u, listed := set.ByHost(inner.authority)
	if listed {
		x.call.Upstream = u.Config.Name
	}
	if violation, bad := violates(r); bad {
		x.refuse(violation)
		return
	}
	if absolute(r) || r.Method == http.MethodConnect || !inner.serves(r) {
		x.refuse(&problem{slug: "authority-mismatch", detail: "the connection is to " + quote(inner.authority) + ", the request is for " + quote(r.Host)})
		return
	}
	if !listed { // a reload took the upstream away
		x.refuse(&problem{slug: "unknown-upstream", status: http.StatusForbidden, last: true,
			detail: "no [upstream] names the host " + quote(inner.authority) + " any longer; what becomes of it now, a new connection shows"})
		return
	}
	if inner.secure && !set.Intercepts(u) {
		x.last = true // a reload has this host passed through: from the next connection on
	}
	t := splitTarget(r.RequestURI)
	scheme, host := u.Origin(inner.authority)
	to := route{form: form, upstream: u, plan: u.Plan(r.Method, t.path), scheme: scheme, host: host, target: t, asked: inner.authority}
	if err := s.exchange(set, x, &to); err != nil {
		x.refuse(err)
	}
}

// violates holds a request of HTTP/2, which did not come through the strict
// server, to the same rules as one that did, as far as net/http leaves it open.
func violates(r *http.Request) (*framing.Error, bool) {
	if violation, bad := inbound.Violation(r); bad {
		return violation, true
	}
	if r.ProtoMajor < 2 || absolute(r) || r.Method == http.MethodConnect {
		return nil, false
	}
	violation := framing.CheckTarget(r.RequestURI)
	return violation, violation != nil
}

// originForm gives a request whose target repeats where the connection leads as
// one that does not: a server has to take it (RFC 9112 section 3.2.2), and PHP's
// streams send it. Any other absolute target stays, and is refused for it.
func (c *innerConn) originForm(r *http.Request) *http.Request {
	scheme, standard := "http", "80"
	if c.secure {
		scheme, standard = "https", "443"
	}
	if r.ProtoMajor != 1 || !absolute(r) || r.URL.Scheme != scheme || !sameAuthority(r.URL.Host, c.authority, standard) {
		return r
	}
	origin := r.WithContext(r.Context()) // a request that came in is not written to
	origin.RequestURI = originForm(r.RequestURI)
	target := *r.URL
	target.Scheme, target.Host = "", ""
	origin.URL = &target
	return origin
}

// serves reports whether a request is for the host and port that the connection
// is to. Over HTTP/2 a Host may stand beside :authority (RFC 9113 section 8.3.1),
// and has to say the same.
func (c *innerConn) serves(r *http.Request) bool {
	standard := "80"
	if c.secure {
		standard = "443"
	}
	if !sameAuthority(r.Host, c.authority, standard) {
		return false
	}
	for _, host := range r.Header["Host"] {
		if !sameAuthority(host, c.authority, standard) {
			return false
		}
	}
	delete(r.Header, "Host")
	return true
}

// sameAuthority compares a Host, in which the standard port may be left out, with
// the host and port of a CONNECT.
func sameAuthority(host, authority, standard string) bool {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		port = standard
	}
	_, connected, _ := net.SplitHostPort(authority)
	return hostOf(host) == hostOf(authority) && port == connected
}
