//go:build unix

package egress

import (
	"io"
	"syscall"
)

// probeRead reads what is there without waiting. Sockets of package net are
// non-blocking, so the plain system call answers EAGAIN on a quiet connection.
// It really reads, where a peek would do for plain HTTP, because TLS needs the
// bytes to tell a session ticket from a farewell.
func (w *wireConn) probeRead(p []byte) (int, error) {
	w.probeBuf = p
	err := w.raw.Read(w.probeFn)
	w.probeBuf = nil
	if err != nil {
		return 0, err
	}
	return w.probeN, w.probeErr
}

func (w *wireConn) probeFD(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), w.probeBuf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			w.probeN, w.probeErr = 0, errQuiet
		case err != nil:
			w.probeN, w.probeErr = 0, err
		case n == 0:
			w.gotFIN.Store(true)
			w.probeN, w.probeErr = 0, io.EOF
		default:
			w.probeN, w.probeErr = n, nil
		}
		return true
	}
}
