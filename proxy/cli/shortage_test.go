package cli

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What has no descriptor left fails at everything, thousands of times a second.
func TestShortageIsToldOfOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		s := &shortages{log: slog.New(slog.NewJSONHandler(log, nil))}
		full := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
		failing := &attended{failingListener{full}, s}
		told := func(want int) {
			t.Helper()
			s.dialed(full)
			if _, err := failing.Accept(); !errors.Is(err, syscall.EMFILE) {
				t.Errorf("Accept: %v", err)
			}
			for _, text := range []string{`"level":"WARN","msg":"this machine can open no further`, `"level":"WARN","msg":"connections cannot be accepted`} {
				if n := strings.Count(log.String(), text); n != want {
					t.Errorf("%d lines, want %d: %s in\n%s", n, want, text, log)
				}
			}
		}
		told(1)
		time.Sleep(shortageEvery - 1)
		told(1)
		time.Sleep(1)
		told(2)
		failing.Listener = failingListener{net.ErrClosed}
		time.Sleep(shortageEvery)
		_, _ = failing.Accept()
		if n := strings.Count(log.String(), "accepted"); n != 2 {
			t.Errorf("that a listener was closed is told of:\n%s", log)
		}
	})
}

// failingListener is one whose Accept fails.
type failingListener struct{ err error }

func (l failingListener) Accept() (net.Conn, error) { return nil, l.err }
func (failingListener) Close() error                { return nil }
func (failingListener) Addr() net.Addr              { return &net.TCPAddr{} }
