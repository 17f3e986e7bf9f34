package egress

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
)

// A Dialer opens connections whose bytes are somebody else's: tunnels. The zero
// value connects directly, to any address.
type Dialer struct {
	Guard *Guard          // what may be dialled; nil: any address
	Proxy ProxyFunc       // nil: direct. It is asked for https://addr, whatever the tunnel will hold
	Short func(err error) // hears of dials that failed for SocketsExhausted; nil: nobody does
}

// Dial connects to addr ("host:port") over network ("tcp", "tcp4" or "tcp6")
// with happy eyeballs (RFC 8305), asking the guard about every address before it
// is connected. Direct, the connection is a *net.TCPConn, so that io.Copy
// between two of them can splice. Through a proxy it is one made with CONNECT,
// whose first byte is the target's, and network does not matter. Either has
// CloseWrite. Connecting, TLS to the proxy and its answer take each 10 s at
// most. The error is an *Error of kind DialFailed, SocketsExhausted, AddressDenied,
// ProxyFailed, InvalidRequest or Canceled.
func (d Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var p *Proxy
	if d.Proxy != nil {
		p = d.Proxy(&url.URL{Scheme: "https", Host: addr})
	}
	s := Settings{Guard: d.Guard, Short: d.Short}.withDefaults()
	if p == nil {
		return s.dialRaw(ctx, d.Guard, network, addr)
	}
	target, err := authorityOf(addr, true)
	if err == nil {
		err = checkHostPort(target)
	}
	if err != nil {
		return nil, &Error{Kind: InvalidRequest, Err: err}
	}
	k := key{tls: true, host: hostKey(target, true), via: p}
	raw, err := k.dialProxy(ctx, &s)
	if err != nil {
		return nil, err
	}
	nc, err := k.through(ctx, &s, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return nc, nil
}

var (
	errDialTimeout       = errors.New("no connection within the dial timeout")
	errTLSTimeout  error = lateError("no TLS handshake within its timeout")
)

// A lateError is a context.DeadlineExceeded in words of ours: whoever asks what broke a
// handshake off has to be able to tell a host that is silent from one that is not trusted.
type lateError string

// Error implements error.
func (e lateError) Error() string { return string(e) }

// Is makes it a context.DeadlineExceeded for errors.Is.
func (e lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// dialRaw opens a connection, asking guard, which is that of the settings or the one for
// their proxy.
func (s *Settings) dialRaw(ctx context.Context, guard *Guard, network, addr string) (net.Conn, error) {
	dctx, cancel := context.WithTimeoutCause(ctx, s.DialTimeout, errDialTimeout)
	defer cancel()
	dial, judged := s.Dial, judge{guard: guard, progress: progressOf(ctx)}
	if dial == nil {
		var d net.Dialer
		if guard != nil { // else nobody sees where the lookup ends
			judged.progress.reach(lookingUp)
			d.ControlContext = judged.control
		}
		dial = d.DialContext
	}
	nc, err := dial(dctx, network, addr)
	switch {
	case err == nil:
		return nc, nil
	case ctx.Err() != nil:
		return nil, &Error{Kind: Canceled, Addr: addr, While: judged.progress.String(), Err: causeOf(ctx)}
	case dctx.Err() != nil:
		return nil, &Error{Kind: DialFailed, Addr: addr, Err: errDialTimeout}
	}
	if denied, ok := errors.AsType[*DeniedError](err); ok && judged.permitted.Load() {
		return nil, &Error{Kind: DialFailed, Addr: addr, Err: errors.New("no permitted address took the connection, and " + denied.Error())}
	} else if ok {
		return nil, &Error{Kind: AddressDenied, Addr: addr, Err: denied}
	}
	if isShortage(err) {
		if s.Short != nil {
			s.Short(err)
		}
		return nil, &Error{Kind: SocketsExhausted, Addr: addr, Err: err}
	}
	return nil, &Error{Kind: kindOf(err, DialFailed), Addr: addr, Err: err}
}

// A judge is the guard for one dial. Of several addresses net.Dialer reports the
// first one's error: if that is a refusal, and another was permitted and is
// down, it is the host that failed and not the guard that refused.
type judge struct {
	guard     *Guard
	progress  *progress
	permitted atomic.Bool
}

func (j *judge) control(ctx context.Context, network, address string, raw syscall.RawConn) error {
	j.progress.reach(connecting)
	err := j.guard.control(ctx, network, address, raw)
	if err == nil {
		j.permitted.Store(true)
	}
	return err
}

// dial opens one connection to the authority and, for https, does the
// handshake. Over TLS the protocol is what ALPN chose.
func (t *Transport) dial(ctx context.Context, k key, allowHTTP2 bool) (*conn, error) {
	c, err := t.dialPlain(ctx, k)
	if err != nil || !k.tls {
		return c, err
	}
	cfg := t.tls.Clone()
	cfg.ServerName = serverName(k.addr())
	if !allowHTTP2 {
		cfg.NextProtos = []string{"http/1.1"}
	}
	tc := secured(c.nc, cfg)
	progress := progressOf(ctx)
	progress.reach(securing)
	hctx, cancel := context.WithTimeoutCause(ctx, t.settings.TLSTimeout, errTLSTimeout)
	defer cancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		c.wire.Close()
		switch {
		case ctx.Err() != nil:
			return nil, &Error{Kind: Canceled, Addr: k.addr(), While: progress.String(), Err: causeOf(ctx)}
		case hctx.Err() != nil:
			err = errTLSTimeout
		}
		return nil, &Error{Kind: TLSFailed, Addr: k.addr(), Err: err}
	}
	c.secure(tc)
	return c, nil
}

// dialPlain opens one connection to the authority, whatever it is to carry.
func (t *Transport) dialPlain(ctx context.Context, k key) (*conn, error) {
	s := &t.settings
	if k.via == nil {
		raw, err := s.dialRaw(ctx, s.Guard, "tcp", k.addr())
		if err != nil {
			return nil, err
		}
		c := newConn(t, k, raw)
		t.opened(c)
		return c, nil
	}
	raw, err := k.dialProxy(ctx, s)
	if err != nil {
		return nil, err
	}
	c := newConn(t, k, raw)
	t.opened(c)
	nc, err := k.through(ctx, s, c.wire)
	if err != nil {
		c.abort()
		return nil, err
	}
	if k.tls && k.via.overTLS {
		c.carrier = &carrier{Conn: nc}
		nc = c.carrier
	}
	c.nc = nc
	return c, nil
}

// serverName is what the certificate must be for: the host, without port,
// brackets and zone. For an IP address crypto/tls sends no SNI and checks the
// certificate's addresses.
func serverName(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if i := strings.IndexByte(host, '%'); i > 0 && strings.Contains(host, ":") {
		return host[:i]
	}
	return host
}
