package inbound_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/inbound"
)

// A mover counts how often a deadline of its reads is moved.
type mover struct {
	*script
	moves int
}

func (m *mover) SetReadDeadline(time.Time) error { m.moves++; return nil }

// A handler bounds each read of a body. To move a deadline costs as much as a small read, and
// is in vain where nobody waits: here the two that are left are those of the wait for the
// first request, and for a third.
func TestBodyThatCameWithItsHeadMovesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := head("POST / HTTP/1.1", "Host: a", "Content-Length: 2") + "hi"
		c := &mover{script: newScript(one+one, nil)}
		server := inbound.New(inbound.Settings{
			HeadTimeout: 30 * time.Second, IdleTimeout: 3 * time.Minute,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				_ = control.SetReadDeadline(time.Now().Add(time.Minute))
				if body, err := io.ReadAll(r.Body); string(body) != "hi" || err != nil {
					t.Errorf("a body of %q, %v", body, err)
				}
				_ = control.SetReadDeadline(time.Time{})
			}),
		})
		_ = server.Serve(&onlyOne{c})
		<-c.closed
		if c.moves != 2 {
			t.Errorf("a deadline was moved %d times", c.moves)
		}
	})
}

// What a handler sets holds for the next read, for one that is under way, and for that alone.
func TestReadsOfABodyAreBounded(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, began := http.NewResponseController(w), time.Now()
		read := func(after time.Duration) {
			t.Helper()
			_, err := r.Body.Read(make([]byte, 1))
			if d := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || d != after {
				t.Errorf("after %v: %v", d, err)
			}
		}
		_ = control.SetReadDeadline(began.Add(time.Minute))
		read(time.Minute)
		_ = control.SetReadDeadline(began.Add(time.Hour))
		time.AfterFunc(10*time.Second, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
		read(70 * time.Second)
		read(70 * time.Second)
		_ = control.SetReadDeadline(time.Time{})
		if body, err := io.ReadAll(r.Body); string(body) != "hi" || err != nil {
			t.Errorf("a body of %q, %v", body, err)
		}
		_ = control.SetReadDeadline(time.Unix(1, 0)) // it has ended: nobody reads
		time.Sleep(time.Minute)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the call has ended: %v", err)
		}
	})
	settings := inbound.Settings{Handler: handler, HeadTimeout: 30 * time.Second, IdleTimeout: 3 * time.Minute}
	bubble(t, settings, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		say(t, conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: 2"))
		time.Sleep(2 * time.Hour)
		say(t, conn, "hi")
		hear(t, bufio.NewReader(conn), "POST")
		if d := ends(t, conn); d != 3*time.Minute {
			t.Errorf("an idle connection ends after %v", d)
		}
	})
}
