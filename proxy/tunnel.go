package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"outrider/policy"
	"outrider/proxy/framing"
)

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
