//go:build !unix

package egress

import (
	"errors"
	"io"
	"os"
	"time"
)

// probeWait is how long a probe waits where a non-blocking read is not to be
// had: long enough for the system to hand over what has already arrived.
const probeWait = time.Millisecond

func (w *wireConn) probeRead(p []byte) (int, error) {
	if err := w.Conn.SetReadDeadline(time.Now().Add(probeWait)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errQuiet
	}
	if err == io.EOF {
		w.gotFIN.Store(true)
	}
	if reset := w.Conn.SetReadDeadline(time.Time{}); reset != nil {
		return n, reset
	}
	return n, err
}

func (w *wireConn) probeFD(uintptr) bool { return true }
