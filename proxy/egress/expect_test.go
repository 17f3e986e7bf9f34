package egress_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/egress"
)

// earliest is a context that says when it may end before its deadline, as that of an attempt does.
type earliest struct {
	context.Context
	at time.Time
}

func (c earliest) Earliest() time.Time { return c.at }

// curl announces every body of a MiB, and sends it after a second whatever comes. A provider
// that ignored the announcement cost each of these calls five seconds here, and all of an
// attempt that had only four.
func TestContinueIsNotWaitedForLong(t *testing.T) {
	for _, c := range []struct {
		name           string
		whole, attempt time.Duration // 0: there is no such time
		over           bool          // the attempt may end at any time, by losing to another
		waited         time.Duration
	}{
		{name: "with time enough", waited: time.Second},
		{name: "a call of 60 s, an attempt of 20 s", whole: time.Minute, attempt: 20 * time.Second, waited: time.Second},
		{name: "an attempt of 2 s", whole: time.Minute, attempt: 2 * time.Second, waited: 500 * time.Millisecond},
		{name: "a call of 2 s", whole: 2 * time.Second, attempt: 20 * time.Second, waited: 500 * time.Millisecond},
		{name: "one of two attempts", whole: time.Minute, over: true, waited: time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bodies := make(chan time.Time, 1)
				tr := newTransport(t, egress.Settings{Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						p := newPeer(theirs)
						p.head()
						if p.body(5) == "hello" {
							bodies <- time.Now()
						}
						p.say(empty)
						_, _ = io.Copy(io.Discard, p.br)
					}()
					return ours, nil
				}})
				began := time.Now()
				ctx := t.Context()
				if c.whole > 0 {
					limited, cancel := context.WithTimeout(ctx, c.whole)
					defer cancel()
					ctx = limited
				}
				if c.attempt > 0 || c.over {
					ctx = earliest{ctx, began.Add(c.attempt)}
				}
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://api.test/", strings.NewReader("hello"))
				req.Header.Set("Expect", "100-continue")
				fetch(t, tr, req)
				if waited := (<-bodies).Sub(began); waited != c.waited {
					t.Errorf("the body came after %v, want %v", waited, c.waited)
				}
				tr.CloseIdleConnections()
			})
		})
	}
}

// overdue is a context that does not end at the deadline that it tells, and that may take a
// while to say that it has ended.
type overdue struct {
	context.Context
	at   time.Time
	slow time.Duration
}

func (c overdue) Deadline() (time.Time, bool) { return c.at, true }

func (c overdue) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, func() { time.Sleep(c.slow); f() })
}

// drowsy wakes who reads from it later than it was asked to, as a busy machine does.
type drowsy struct{ net.Conn }

func (c drowsy) SetReadDeadline(at time.Time) error {
	if at.After(time.Now()) {
		at = at.Add(10 * time.Millisecond)
	}
	return c.Conn.SetReadDeadline(at)
}

// A deadline that was over left no time to wait for 100 (Continue), and the body was read and
// sent before the connection had heard that its call had ended.
func TestBodyOfACallThatHasEndedIsNotSent(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline time.Duration
		end      time.Duration // of the context; 0: there is none
		slow     time.Duration // to say so
		waited   time.Duration // for the body; 0: it does not come
	}{
		{name: "the deadline is over", end: time.Millisecond},
		{name: "it passes during the wait", deadline: 8 * time.Millisecond, end: 13 * time.Millisecond},
		{name: "the connection hears late of the end", deadline: time.Hour, end: time.Millisecond, slow: time.Minute},
		{name: "it is put off", waited: time.Second + 10*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTransport(t, egress.Settings{Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						p := newPeer(theirs)
						p.head()
						if p.body(5) == "hello" {
							p.say(empty)
						}
						_, _ = io.Copy(io.Discard, p.br)
					}()
					return drowsy{ours}, nil
				}})
				began, read := time.Now(), time.Time{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.Sleep(c.slow)
				if c.end > 0 {
					time.AfterFunc(c.end, cancel)
				}
				body := readerFunc(func(p []byte) (int, error) {
					read = time.Now()
					return copy(p, "hello"), io.EOF
				})
				req, _ := http.NewRequestWithContext(overdue{ctx, began.Add(c.deadline), c.slow}, "POST", "http://api.test/", body)
				req.ContentLength = 5
				req.Header.Set("Expect", "100-continue")
				resp, err := tr.RoundTrip(req)
				if c.waited > 0 {
					if err != nil || resp.Body.Close() != nil || read.Sub(began) != c.waited {
						t.Errorf("%v; the body was read after %v, want %v", err, read.Sub(began), c.waited)
					}
					return
				}
				wantError(t, err, egress.Canceled, true)
				if !read.IsZero() {
					t.Errorf("the body was read after %v", read.Sub(began))
				}
			})
		})
	}
}

// Over HTTP/2 all calls wait for the same time, if they wait: one that has too little for that
// does not announce its body.
func TestHTTP2ContinueIsNotWaitedForWithoutTime(t *testing.T) {
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // sends 100 to a body that was announced
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for attempt, announced := range map[time.Duration]bool{safety: true, 3 * time.Second: false} {
		var h hooks
		req := h.on(newRequest(t, "POST", url, strings.NewReader("hello")))
		req = req.WithContext(earliest{req.Context(), time.Now().Add(attempt)})
		req.Header.Set("Expect", "100-continue")
		if _, body := fetch(t, tr, req); body != "hello" {
			t.Errorf("%v: %q", attempt, body)
		}
		if got := len(h.interim) > 0; got != announced {
			t.Errorf("with %v left the body was announced: %v, want %v", attempt, got, announced)
		}
		if req.Header.Get("Expect") == "" {
			t.Error("the caller's header was changed")
		}
	}
}
