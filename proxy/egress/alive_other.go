//go:build !unix

package egress

import (
	"errors"
	"io"
	"os"
	"time"
)

// probeWait is how long a connection is listened to where a non-blocking read is
// not to be had: long enough for the system to hand over what has already arrived.
const probeWait = time.Millisecond

// readOrAsk reads what is there, and asks where nothing is, before it waits. A
// cancelation that comes while it listens is noticed by who is asked.
func (w *wireConn) readOrAsk(p []byte) (int, error) {
	if w.raw != nil {
		if err := w.Conn.SetReadDeadline(time.Now().Add(probeWait)); err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(p)
		if reset := w.Conn.SetReadDeadline(time.Time{}); reset != nil {
			return n, reset
		}
		if err == io.EOF {
			w.gotFIN.Store(true)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	if err := w.ask(); err != nil {
		return 0, err
	}
	return w.Read(p)
}

func (w *wireConn) readFD(uintptr) bool { return true }
