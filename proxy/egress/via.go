package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
)

// route finds the proxy for the request, and whether it has to be a tunnel
// although the target is plain HTTP: an upgrade, which no proxy need pass on,
// and a Host that names another than the connection leads to, for a proxy goes
// by the authority in the target and puts that into Host (RFC 9112 §3.2.2).
func (ex *exchange) route() {
	k := &ex.key
	k.via = ex.t.settings.Proxy(&url.URL{Scheme: ex.req.URL.Scheme, Host: k.addr()})
	if k.via == nil || k.tls {
		return
	}
	k.tunnel = ex.upgrade || hostKey(ex.host, false) != withoutZone(k.host)
}

// dialProxy connects to the key's proxy, if the guard permits the target.
func (k key) dialProxy(ctx context.Context, s *Settings) (net.Conn, error) {
	progressOf(ctx).reach(asking) // all of it: the name and the connect are not the target's
	if s.Dial == nil {
		if err := s.Guard.checkTarget(ctx, k.addr()); err != nil {
			return nil, &Error{Kind: AddressDenied, Addr: k.addr(), Err: err}
		}
	}
	nc, err := s.dialRaw(ctx, s.Guard.open(), "tcp", k.via.addr)
	e, failed := errors.AsType[*Error](err)
	switch {
	case !failed:
		return nc, nil
	case e.Kind == DialFailed:
		return nil, k.via.fault(ctx, k.addr(), e.Err)
	}
	if e.Addr = k.addr(); e.Kind == Canceled {
		e.While = whileAsking
	}
	return nil, e
}

// through leads nc, a connection to the proxy, on to the target: in TLS if the
// proxy wants that, and by CONNECT unless it reads the requests itself. It
// leaves nc open on error.
func (k key) through(ctx context.Context, s *Settings, nc net.Conn) (net.Conn, error) {
	var err error
	if k.via.overTLS {
		if nc, err = k.via.handshake(ctx, nc, s.TLSTimeout); err != nil {
			return nil, k.via.fault(ctx, k.addr(), err)
		}
	}
	if k.forwarded() {
		return nc, nil
	}
	if nc, err = k.via.tunnel(ctx, nc, withoutZone(k.addr()), s.DialTimeout); err != nil {
		return nil, k.via.fault(ctx, k.addr(), err)
	}
	return nc, nil
}

// fault is the error of a call for addr that did not get past the proxy.
func (p *Proxy) fault(ctx context.Context, addr string, err error) error {
	if ctx.Err() != nil {
		return &Error{Kind: Canceled, Addr: addr, While: whileAsking, Err: causeOf(ctx)}
	}
	if _, ok := errors.AsType[*ProxyError](err); !ok {
		err = &ProxyError{Proxy: p.addr, Err: err}
	}
	return &Error{Kind: ProxyFailed, Addr: addr, Err: err}
}

// carrier is a TLS connection to a proxy under the TLS of a target. It
// remembers that it came to an end: crypto/tls would take that for the target's
// own farewell.
type carrier struct {
	net.Conn
	ended atomic.Bool
}

func (c *carrier) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

// cutOff reports, after io.EOF, that nobody has said goodbye: in TLS anybody on
// the way can end the connection, and does not end the message by it.
func (c *conn) cutOff() bool {
	if c.carrier != nil && c.carrier.ended.Load() {
		return true
	}
	secure := c.tls != nil || c.key.via != nil && c.key.via.overTLS
	return secure && c.wire.gotFIN.Load()
}
