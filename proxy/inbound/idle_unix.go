//go:build unix

package inbound

import (
	"io"
	"net"
	"syscall"
)

// rawConn is the socket under a connection, if it is nothing more than that.
func rawConn(wire net.Conn) syscall.RawConn {
	socket, ok := wire.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readReady reads what is there into a buffer that it borrows for that. It
// reports that the wait is over: with bytes, at the end, or by an error. What is
// not there is waited for without a buffer, which is most of what an idle
// connection would hold.
func (c *conn) readReady(fd uintptr) bool {
	b := c.input.pool.get()
	for {
		n, err := syscall.Read(int(fd), b.bytes)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.input.pool.put(b)
			return false
		case n > 0:
			c.input.hold(b, &c.scanner)
			c.input.to = n
			return true
		case err == nil:
			err = io.EOF
		}
		c.input.pool.put(b)
		c.later = err
		return true
	}
}
