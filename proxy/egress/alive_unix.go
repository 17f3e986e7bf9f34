//go:build unix

package egress

import (
	"io"
	"net"
	"os"
	"syscall"

	"outrider/proxy/socket"
)

// readOrAsk asks, and then reads: what is no system socket does not say that nothing is there.
func (w *wireConn) readOrAsk(p []byte) (int, error) {
	if err := w.ask(); err != nil {
		return 0, err
	}
	return w.Read(p)
}

// readFD reads what is there, and asks where nothing is, before it waits: then
// it reports false. Sockets of package net are non-blocking, so the plain system
// call answers EAGAIN on a quiet connection, and the runtime's poller is told of
// what comes from then on: no further call is needed to find that the answer is
// not there yet. It really reads, where a peek would do for plain HTTP, because
// TLS needs the bytes to tell a session ticket from a farewell.
func (w *wireConn) readFD(fd uintptr) bool {
	for {
		n, errno := socket.Read(fd, w.into)
		switch w.n, w.err = n, nil; {
		case n > 0:
		case errno == syscall.EAGAIN:
			if w.asker == nil {
				return false
			}
			w.err = w.ask()
			return w.err != nil
		case errno == syscall.EINTR:
			continue
		default:
			w.err = w.ended(errno)
		}
		return true
	}
}

// ended is why a read gave nothing, as the connection itself returns it. No error of the
// system is the end.
func (w *wireConn) ended(errno syscall.Errno) error {
	if errno == 0 {
		w.gotFIN.Store(true)
		return io.EOF
	}
	return &net.OpError{
		Op: "read", Net: "tcp", Source: w.LocalAddr(), Addr: w.RemoteAddr(), Err: os.NewSyscallError("read", errno),
	}
}
