package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// maxConnectHead bounds each head of a proxy's answer to CONNECT.
const maxConnectHead = 64 << 10

var errConnectTimeout = errors.New("no answer to CONNECT within the dial timeout")

// handshake does TLS with the proxy itself. It leaves nc open on error.
func (p *Proxy) handshake(ctx context.Context, nc net.Conn, timeout time.Duration) (net.Conn, error) {
	hctx, cancel := context.WithTimeoutCause(ctx, timeout, errTLSTimeout)
	defer cancel()
	tc := tls.Client(nc, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		ServerName: serverName(p.addr),
		RootCAs:    p.roots,
	})
	if err := tc.HandshakeContext(hctx); err != nil {
		return nil, overdue(hctx, err)
	}
	return tc, nil
}

// tunnel asks the proxy for a connection to addr (RFC 9110 §9.3.6). What it
// returns begins with the first byte behind the proxy's answer. It leaves nc
// open on error.
func (p *Proxy) tunnel(ctx context.Context, nc net.Conn, addr string, timeout time.Duration) (net.Conn, error) {
	tctx, cancel := context.WithTimeoutCause(ctx, timeout, errConnectTimeout)
	defer cancel()
	unwatch := context.AfterFunc(tctx, func() { _ = nc.SetDeadline(past) })
	early, err := p.connect(nc, addr)
	if !unwatch() && err == nil {
		err = context.Cause(tctx) // the deadline is, or is about to be, in the past
	}
	if err != nil {
		return nil, overdue(tctx, err)
	}
	if len(early) == 0 {
		return nc, nil
	}
	return &earlyConn{Conn: nc, early: early}, nil
}

// connect is the dialogue. It returns the bytes that came behind the answer.
func (p *Proxy) connect(nc net.Conn, addr string) (early []byte, err error) {
	if _, err := nc.Write(p.appendConnect(nil, addr)); err != nil {
		return nil, err
	}
	br := readerPool.Get().(*bufio.Reader)
	br.Reset(nc)
	defer func() {
		br.Reset(nil)
		readerPool.Put(br)
	}()
	status, err := readConnectStatus(br)
	if err != nil {
		return nil, err
	}
	if status < 200 || status > 299 {
		return nil, &ProxyError{Proxy: p.addr, Status: status}
	}
	// Whatever length a 2xx claims: it has no body, the tunnel begins.
	buffered, _ := br.Peek(br.Buffered())
	return append(early, buffered...), nil
}

func (p *Proxy) appendConnect(b []byte, addr string) []byte {
	b = append(b, "CONNECT "...)
	b = append(b, addr...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, addr...)
	b = append(b, '\r', '\n')
	if p.auth != "" {
		b = appendField(b, "Proxy-Authorization", p.auth)
	}
	return append(b, '\r', '\n')
}

// readConnectStatus reads heads up to the final one.
func readConnectStatus(br *bufio.Reader) (int, error) {
	var h head
	var known names
	for range maxInterim {
		s, err := readSection(br, maxConnectHead)
		if err != nil {
			return 0, unexpected(err)
		}
		if err := h.parse(s, &known, nil); err != nil {
			return 0, err
		}
		if h.StatusCode >= 200 || h.StatusCode == http.StatusSwitchingProtocols {
			return h.StatusCode, nil
		}
	}
	return 0, malformed("too many interim responses")
}

// overdue is err, or what the context's end has made of it.
func overdue(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// earlyConn gives what came behind the proxy's answer before what comes next.
type earlyConn struct {
	net.Conn
	early []byte // Read's alone
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite ends our direction.
func (c *earlyConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}
