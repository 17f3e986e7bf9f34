package proxy

import (
	"context"
	"net"
	"time"

	"outrider/policy"
)

// established is the answer to CONNECT (RFC 9110 section 9.3.6): no field of it
// would reach anything but the client's proxy code.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// tunnelsRetry is when it is worth asking again for a tunnel, where there are too
// many: when one ends, which nobody knows.
const tunnelsRetry = 5 * time.Second

// connect serves CONNECT. A connection to a host that an upstream names is
// opened; every other is a tunnel.
func (s *Server) connect(set *policy.Set, at *address, x *exchange) {
	authority := x.r.RequestURI
	x.outcome.Host = authority
	u, listed := set.ByHost(authority)
	if listed {
		x.call.Upstream = u.Config.Name
	}
	switch {
	case at.self(authority):
		x.refuse(&problem{slug: "proxy-loop", detail: "CONNECT to Outrider's own port; call its base URL without a proxy, or set NO_PROXY"})
		return
	case !listed && set.File.Forward.Unlisted == "deny":
		x.refuse(hostDenied(authority))
		return
	}
	release, ok := s.tunnels.hold(set.File.Forward.MaxTunnels)
	switch {
	case !ok:
		x.refuse(&problem{slug: "too-many-tunnels", retryAfter: tunnelsRetry, detail: "forward.max_tunnels connections are open"})
	case listed && set.Intercepts(u):
		s.capture(set, x, release)
	case listed && plainPort(u, authority):
		s.capturePlain(set, x, u, release)
	default:
		defer release()
		s.tunnel(set, x, authority, u, nil, nil)
	}
}

// plainPort reports whether plain HTTP is to be expected at a port: Node's fetch
// opens a connection to port 80 where other clients would have sent an
// absolute-form request.
func plainPort(u *policy.Upstream, authority string) bool {
	_, port, _ := net.SplitHostPort(authority)
	return port == "80" || u.Config.URL.Scheme == "http" && port == u.Config.URL.Port()
}

// capturePlain serves plain HTTP inside of a CONNECT, to an upstream whose TLS is
// not to be opened, and passes everything else through.
func (s *Server) capturePlain(set *policy.Set, x *exchange, u *policy.Upstream, release func()) {
	client, early, err := s.accept(x)
	if err != nil {
		release()
		return
	}
	authority := x.r.RequestURI
	abandon := context.AfterFunc(s.base, func() { _ = client.Close() })
	early, _ = firstBytes(client, early)
	abandon()
	switch {
	case len(early) == 0:
		x.outcome.Passing = true
		_ = client.Close()
		release()
	case speaksHTTP(early):
		x.outcome.Passing = true
		s.inner.hand(&innerConn{Conn: client, early: early, authority: authority, release: release})
	default:
		defer release()
		s.tunnel(set, x, authority, u, client, early)
	}
}

// tunnel dials, tells the client, and passes bytes both ways. client and early
// are given when the client has been told already.
//
// A host that an upstream names may be private: whoever wrote the configuration
// sends calls there. Any other (u is nil) is judged as whatever a client may ask
// for.
func (s *Server) tunnel(set *policy.Set, x *exchange, authority string, u *policy.Upstream, client net.Conn, early []byte) {
	upstream, err := s.dial(x.ctx, set, u, authority)
	if err == nil {
		if u == nil && set.File.Forward.Unlisted == "observe" {
			s.observed.connected(authority)
		}
		s.join(x, client, early, upstream, set.File.Forward.IdleTimeout)
		return
	}
	if client != nil {
		_ = client.Close() // the answer to CONNECT is gone: all that is left to say is no
		x.wrote = true
	}
	x.refuse(err)
}

func (s *Server) dial(ctx context.Context, set *policy.Set, u *policy.Upstream, authority string) (net.Conn, error) {
	outside, _, err := s.outside.get(set.File, s.Outside)
	if err != nil {
		return nil, err
	}
	if u != nil {
		return outside.DialUpstream(ctx, u.Config, "tcp", authority)
	}
	return outside.Dial(ctx, "tcp", authority)
}

func (s *Server) join(x *exchange, client net.Conn, early []byte, upstream net.Conn, idle time.Duration) {
	defer func() { _ = upstream.Close() }()
	if client == nil {
		var err error
		if client, early, err = s.accept(x); err != nil {
			return
		}
	}
	defer s.tunnels.add(client, upstream)()
	x.outcome.RequestBytes, x.outcome.ResponseBytes = relay(client, early, upstream, idle)
}
