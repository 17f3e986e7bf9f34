//go:build unix

package egress

import (
	"io"
	"net"
	"os"
	"syscall"
)

// readOrAsk reads what is there, and asks where nothing is, before it waits.
// Sockets of package net are non-blocking, so the plain system call answers
// EAGAIN on a quiet connection, and the runtime's poller is told of what comes
// from then on: no further call is needed to find that the answer is not there
// yet. It really reads, where a peek would do for plain HTTP, because TLS needs
// the bytes to tell a session ticket from a farewell.
func (w *wireConn) readOrAsk(p []byte) (int, error) {
	if w.raw == nil {
		if err := w.ask(); err != nil {
			return 0, err
		}
		return w.Read(p)
	}
	w.into = p
	err := w.raw.Read(w.readFn)
	w.into = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// readFD reports false to wait until there is something to read.
func (w *wireConn) readFD(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), w.into)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if w.asker == nil {
				return false
			}
			if err = w.ask(); err == nil {
				return false
			}
			w.n, w.err = 0, err
		case err != nil:
			w.n, w.err = 0, &net.OpError{
				Op: "read", Net: "tcp", Source: w.LocalAddr(), Addr: w.RemoteAddr(), Err: os.NewSyscallError("read", err),
			}
		case n == 0:
			w.gotFIN.Store(true)
			w.n, w.err = 0, io.EOF
		default:
			w.n, w.err = n, nil
		}
		return true
	}
}
