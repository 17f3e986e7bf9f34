package framing

import (
	"io"
	"net"
	"time"
)

// fail ends the connection for reading. The raw bytes stay: Detach may still
// find that they are not HTTP at all.
func (c *Conn) fail(fault *Error) {
	c.fault = fault
	if c.scanner.phase != inHead {
		return
	}
	begin := c.ok + c.scanner.skip
	method := "GET"
	if string(c.buf[begin:min(begin+5, len(c.buf))]) == "HEAD " {
		method = "HEAD" // no body in the answer
	}
	c.standIn = standIn(c.buf[begin:c.out], method, fault)
}

// ended is called with an error of a read that gave nothing. A head of which the
// server has the first bytes is refused when it breaks off or the deadline
// passes: left alone, net/http would take those bytes for a whole request line.
// (The deadline by which net/http stops its background read is no such case: that
// read ends with the first byte.)
func (c *Conn) ended(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	if c.scanner.phase != inHead || c.out <= c.ok+c.scanner.skip {
		return err
	}
	switch timeout, ok := err.(net.Error); {
	case err == io.EOF:
		c.fail(errCutOff)
	case ok && timeout.Timeout():
		c.fail(errSlow)
	default:
		return err
	}
	return nil
}

// After a violation, and after the answer to it, that much and that long is read
// and thrown away: closing a socket with unread bytes makes the kernel send a
// reset, which can overtake the answer (RFC 9112 §9.6).
const (
	maxDrain = 1 << 20
	linger   = 500 * time.Millisecond
)

// refuse is Read after a violation. Behind a stand-in it waits rather than
// returns io.EOF, which would cancel the context of the request that stands in.
func (c *Conn) refuse() (int, error) {
	if c.scanner.phase != inHead {
		c.refused.Store(true)
		return 0, c.fault
	}
	if c.held == nil {
		c.hold(nil)
	}
	for c.drained < maxDrain {
		n, err := c.netConn.Read(*c.held)
		if err != nil {
			return 0, err
		}
		c.drained += n
	}
	return 0, io.EOF
}

// Refused returns the violation that Read has met inside a body, if any. It may
// be called at any time: net/http cancels the context of a request when a Read
// fails, and whoever hears of that first can learn here why.
func (c *Conn) Refused() (*Error, bool) {
	if !c.refused.Load() {
		return nil, false
	}
	return c.fault, true
}

// Write writes to the connection inside.
func (c *Conn) Write(p []byte) (int, error) {
	if c.refused.Load() {
		c.answered.Store(true)
	}
	return c.netConn.Write(p)
}

// Linger makes Close read on for a moment, as it does after the answer to a
// violation. It is for an answer that overtakes its request: the client is still
// sending. It may be called at any time.
func (c *Conn) Linger() { c.lingers.Store(true) }

// Close closes the connection. After the answer to a violation, and after
// Linger, it gives the client up to half a second to read what it was answered.
func (c *Conn) Close() error {
	if c.closing.CompareAndSwap(false, true) && (c.answered.Load() || c.lingers.Load()) && c.CloseWrite() == nil {
		c.linger()
	}
	return c.netConn.Close()
}

// linger throws away what comes, until the client closes or the time is over.
func (c *Conn) linger() {
	_ = c.netConn.SetReadDeadline(time.Now().Add(linger))
	_, _ = io.Copy(io.Discard, c.netConn)
}
