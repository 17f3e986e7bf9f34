package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/framing"
)

// firstBytesTimeout is how long a client that opened a connection to a host of
// ours on port 80 may take to say what it speaks.
const firstBytesTimeout = 30 * time.Second

// established is the answer to CONNECT (RFC 9110 section 9.3.6): no field of it
// would reach anything but the client's proxy code.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// connect serves CONNECT: bytes pass untouched between the client and the host.
// One case is different: Node's fetch opens a connection to port 80 for plain
// HTTP, where other clients would have sent an absolute-form request. For a host
// that an upstream names it is served as such.
func (s *Server) connect(set *policy.Set, at address, x *exchange) {
	authority := x.r.RequestURI
	x.outcome.Host = authority
	u, listed := set.ByHost(authority)
	_, port, _ := net.SplitHostPort(authority)
	switch {
	case at.self(authority):
		x.refuse(&problem{slug: "proxy-loop", detail: "CONNECT to Outrider's own port; call its base URL without a proxy, or set NO_PROXY"})
	case !listed && set.File.Forward.Unlisted == "deny":
		x.refuse(hostDenied(authority))
	case listed && (port == "80" || u.Config.URL.Scheme == "http" && port == u.Config.URL.Port()):
		x.call.Upstream = u.Config.Name
		s.connectPlain(set, x, authority)
	default:
		if listed {
			x.call.Upstream = u.Config.Name
		}
		s.tunnel(set, x, authority, listed, nil, nil)
	}
}

// tunnel dials, tells the client, and passes bytes both ways. client and early
// are given when the client has been told already.
//
// A host that an upstream names may be private: whoever wrote the configuration
// sends calls there. Any other is judged as whatever a client may ask for.
func (s *Server) tunnel(set *policy.Set, x *exchange, authority string, listed bool, client net.Conn, early []byte) {
	outside, err := s.outside.get(set.File, s.Outside)
	if err == nil {
		dial := outside.Dial
		if listed {
			dial = outside.DialListed
		}
		var upstream net.Conn
		if upstream, err = dial(x.ctx, "tcp", authority); err == nil {
			s.join(x, client, early, upstream)
			return
		}
	}
	if client != nil {
		_ = client.Close() // the answer to CONNECT is gone: all that is left to say is no
		x.wrote = true
	}
	x.refuse(err)
}

func (s *Server) join(x *exchange, client net.Conn, early []byte, upstream net.Conn) {
	defer func() { _ = upstream.Close() }()
	x.outcome.Status, x.outcome.Class, x.wrote = http.StatusOK, policy.ClassOK, true
	if client == nil {
		var err error
		if client, early, err = hijack(x.w); err != nil {
			x.broken(err)
			return
		}
		if _, err := io.WriteString(client, established); err != nil {
			x.broken(&clientError{err})
			_ = client.Close()
			return
		}
	}
	defer s.tunnels.add(client, upstream)()
	x.outcome.RequestBytes, x.outcome.ResponseBytes = relay(client, early, upstream)
}

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

// hijack takes the connection away from net/http, with what the client sent
// beyond its request.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	framed, ok := framing.From(conn)
	if !ok {
		_ = conn.Close()
		return nil, nil, errors.New("the connection did not come through the strict reader")
	}
	early, raw := framed.Detach()
	return raw, early, nil
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
