package inbound

import (
	"io"
	"syscall"

	"outrider/proxy/socket"
)

// first waits for the first bytes of a request, with no buffer until they come.
func (c *conn) first() error {
	if c.raw != nil {
		return c.raw.Read(c.ready)
	}
	// What is under TLS cannot be waited for: bytes that came may be none of the
	// client's, and those of the client may have come before. But it has a buffer
	// of its own, so that a second read for the rest is no system call.
	n, err := c.wire.Read(c.watch.byte[:])
	if n > 0 {
		c.input.take(c.watch.byte[0], &c.scanner)
		c.later = err
		return nil
	}
	return err
}

// reader returns what reads what is there into a buffer that it borrows for that. It
// reports that the wait is over: with bytes, at the end, or by an error. What is
// not there is waited for without a buffer, which is most of what an idle
// connection would hold. It is made once for a connection, where a method that is handed over
// at each wait would be an allocation each. The wait of a new connection is bounded here, and not before: most
// clients have said by then what they want.
func (c *conn) reader() func(fd uintptr) bool {
	return func(fd uintptr) bool {
		b := c.input.pool.get()
		for {
			n, errno := socket.Read(fd, b.bytes)
			switch {
			case errno == syscall.EINTR:
				continue
			case errno == syscall.EAGAIN:
				c.input.pool.put(b)
				if c.state.Load() == stateNew {
					c.greet()
				}
				return false
			case n > 0:
				c.input.hold(b, &c.scanner)
				c.input.to = n
				return true
			}
			c.input.pool.put(b)
			c.later = io.EOF
			if errno != 0 {
				c.later = errno
			}
			return true
		}
	}
}
