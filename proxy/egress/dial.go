package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"
)

// Dial connects to addr ("host:port") over network ("tcp", "tcp4" or "tcp6")
// with happy eyeballs (RFC 8305), asking guard about every address before it is
// connected; a nil guard permits all. The connection is a *net.TCPConn, so that
// io.Copy between two of them can splice. It waits DialTimeout's default at
// most. The error is an *Error of kind DialFailed, AddressDenied or Canceled.
func Dial(ctx context.Context, guard *Guard, network, addr string) (net.Conn, error) {
	return dialRaw(ctx, nil, guard, defaultDialTimeout, network, addr)
}

var (
	errDialTimeout = errors.New("no connection within the dial timeout")
	errTLSTimeout  = errors.New("no TLS handshake within its timeout")
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func dialRaw(ctx context.Context, hook dialFunc, guard *Guard, timeout time.Duration, network, addr string) (net.Conn, error) {
	dctx, cancel := context.WithTimeoutCause(ctx, timeout, errDialTimeout)
	defer cancel()
	dial := hook
	if dial == nil {
		var d net.Dialer
		if guard != nil {
			d.ControlContext = guard.control
		}
		dial = d.DialContext
	}
	nc, err := dial(dctx, network, addr)
	switch {
	case err == nil:
		return nc, nil
	case ctx.Err() != nil:
		return nil, &Error{Kind: Canceled, Addr: addr, Err: causeOf(ctx)}
	case dctx.Err() != nil:
		return nil, &Error{Kind: DialFailed, Addr: addr, Err: errDialTimeout}
	}
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		return nil, &Error{Kind: AddressDenied, Addr: addr, Err: denied}
	}
	return nil, &Error{Kind: kindOf(err, DialFailed), Addr: addr, Err: err}
}

// dial opens one connection to the authority and, for https, does the
// handshake. Over TLS the protocol is what ALPN chose.
func (t *Transport) dial(ctx context.Context, k key, allowHTTP2 bool) (*conn, error) {
	raw, err := dialRaw(ctx, t.settings.Dial, t.settings.Guard, t.settings.DialTimeout, "tcp", k.addr)
	if err != nil {
		return nil, err
	}
	c := newConn(t, k, raw)
	t.opened(c)
	if !k.tls {
		return c, nil
	}
	cfg := t.tls.Clone()
	cfg.ServerName = serverName(k.addr)
	if !allowHTTP2 {
		cfg.NextProtos = []string{"http/1.1"}
	}
	tc := tls.Client(c.wire, cfg)
	hctx, cancel := context.WithTimeoutCause(ctx, t.settings.TLSTimeout, errTLSTimeout)
	defer cancel()
	if err := tc.HandshakeContext(hctx); err != nil {
		c.wire.Close()
		switch {
		case ctx.Err() != nil:
			return nil, &Error{Kind: Canceled, Addr: k.addr, Err: causeOf(ctx)}
		case hctx.Err() != nil:
			err = errTLSTimeout
		}
		return nil, &Error{Kind: TLSFailed, Addr: k.addr, Err: err}
	}
	c.secure(tc)
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
