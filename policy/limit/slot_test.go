package limit_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

func twoAtOnce() limit.Settings {
	return limit.Settings{Concurrency: 2, MaxWait: 10 * time.Second, MaxQueue: 100}
}

func TestSlotIsHeldUntilTheBodyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, twoAtOnce(), nil)
		c := newCaller(t, g, w)
		a, b := c.open(t.Context(), "a"), c.open(t.Context(), "b")
		done := c.startAll(t.Context(), "c d")
		if q := g.Snapshot()[0]; q.Active != 2 || q.Waiting != 2 {
			t.Errorf("%+v, want 2 active and 2 waiting", q)
		}

		time.Sleep(time.Second)
		a.resp.Body.Close() // never read
		a.resp.Body.Close() // and once is enough
		if r := <-done[0]; r.at != time.Second {
			t.Errorf("c sent at %v, want 1s", r.at)
		}
		synctest.Wait()
		<-done[1] // c was closed at once
		time.Sleep(time.Second)
		io.Copy(io.Discard, b.resp.Body)
		b.resp.Body.Close()
		wantTimes(t, w, ms(0, 0, 1000, 1000)...)
		if q := g.Snapshot()[0]; q.Active != 0 || q.Waiting != 0 {
			t.Errorf("left %+v", q)
		}
	})
}

func TestBodyClosedTwiceFreesOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, twoAtOnce(), nil), w)
		a, b := c.open(t.Context(), "a"), c.open(t.Context(), "b")
		for range 3 {
			a.resp.Body.Close()
		}
		x := c.open(t.Context(), "c")
		c.start(t.Context(), "d")
		wantTimes(t, w, ms(0, 0, 0)...)
		b.resp.Body.Close()
		x.resp.Body.Close()
	})
}

func TestErrorPanicAndGoexitFreeTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoAtOnce()
		s.Concurrency = 1
		g := newGroup(t, s, nil)
		end := func(how func()) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recover() }()
				req, _ := http.NewRequest("GET", "http://api.example/", nil)
				g.Wrap(byHost)(roundTripper(func(*http.Request) (*http.Response, error) {
					how()
					return nil, errors.New("reset")
				})).RoundTrip(req)
			}()
			<-done
		}
		end(func() {})
		end(func() { panic(http.ErrAbortHandler) })
		end(runtime.Goexit)
		if q := g.Snapshot()[0]; q.Active != 0 {
			t.Errorf("left %+v", q)
		}
	})
}

func TestWaitForASlotEndsAtMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoAtOnce()
		s.Concurrency = 1
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		time.Sleep(time.Second)
		a := c.open(t.Context(), "a")
		done := c.startAll(t.Context(), "b")
		time.Sleep(3 * time.Second)
		done = append(done, c.startAll(t.Context(), "c")...)
		gone := errors.New("too long for me")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, gone)
		defer cancel()
		done = append(done, c.startAll(ctx, "d")...)

		// No call has ended yet: nobody knows when a slot will be free.
		wantRefusal(t, <-done[0], 11*time.Second, limit.QueueTimeout, 0)
		if r := <-done[2]; !errors.Is(r.err, gone) || r.at != 9*time.Second {
			t.Errorf("d ended at %v: %v", r.at, r.err)
		}
		time.Sleep(time.Second)
		a.resp.Body.Close()
		if r := <-done[1]; r.err != nil || r.at != 12*time.Second {
			t.Errorf("c ended at %v: %v", r.at, r.err)
		}
	})
}

func TestWaitForASlotIsEstimatedByTheTimeThatCallsTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoAtOnce()
		s.MaxQueue = 3
		g := newGroup(t, s, nil)
		c := newCaller(t, g, newWire())
		a := c.open(t.Context(), "a")
		time.Sleep(4 * time.Second)
		a.resp.Body.Close()
		if got := g.Estimate("api.example"); got != 0 {
			t.Errorf("with a free slot: %v", got)
		}
		c.open(t.Context(), "b")
		c.open(t.Context(), "c")
		c.startAll(t.Context(), "d e f")
		// Two slots of 4 s each come free every 2 s on average; three are before it.
		if got := g.Estimate("api.example"); got != 8*time.Second {
			t.Errorf("estimated %v, want 8s", got)
		}
		wantRefusal(t, c.call(t.Context(), "g"), 4*time.Second, limit.QueueFull, 8*time.Second)
		time.Sleep(time.Minute)
	})
}

func TestSlotsAndRateHoldBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Concurrency = 1
		w := newWire()
		w.answer = func(string) *http.Response { time.Sleep(250 * time.Millisecond); return nil }
		newCaller(t, newGroup(t, s, nil), w).startAll(t.Context(), "a b c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 250, 500)...)
	})
}

// The slots made the line slower than the rate alone had promised.
func TestSlotsThatUseUpMaxWaitRefuseTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Concurrency, s.MaxWait = 1, 250*time.Millisecond
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		a := c.open(t.Context(), "a")
		done := c.startAll(t.Context(), "b c")
		time.Sleep(220 * time.Millisecond)
		a.resp.Body.Close()
		// c could have gone at 200 ms. Now it could at 320 ms, and may wait until 250 ms.
		wantRefusal(t, <-done[1], 250*time.Millisecond, limit.QueueTimeout, 70*time.Millisecond)
		wantTimes(t, w, ms(0, 220)...)
	})
}

// upgraded is the body of a 101 as net/http gives it.
type upgraded struct {
	*bufio.ReadWriter
	closed, writeClosed int
}

func (u *upgraded) Close() error { u.closed++; return nil }

// tunneled can end its sending side alone.
type tunneled struct{ *upgraded }

func (u tunneled) CloseWrite() error { u.writeClosed++; return nil }

func TestUpgradedBodyKeepsWhatItCanDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent strings.Builder
		inner := &upgraded{ReadWriter: bufio.NewReadWriter(bufio.NewReader(strings.NewReader("pong")), bufio.NewWriterSize(&sent, 0))}
		for _, body := range []io.ReadWriteCloser{inner, tunneled{inner}} {
			w := newWire()
			w.answer = func(string) *http.Response { return &http.Response{StatusCode: 101, Body: body} }
			g := newGroup(t, twoAtOnce(), nil)
			resp := newCaller(t, g, w).open(t.Context(), "a").resp
			conn, ok := resp.Body.(io.ReadWriteCloser)
			if !ok {
				t.Fatalf("a %T cannot be written to", resp.Body)
			}
			io.WriteString(conn, "ping")
			inner.Flush()
			_, can := body.(interface{ CloseWrite() error })
			half, does := resp.Body.(interface{ CloseWrite() error })
			if can != does {
				t.Errorf("CloseWrite of a %T: %v, want %v", resp.Body, does, can)
			}
			if does {
				half.CloseWrite()
			}
			if q := g.Snapshot()[0]; q.Active != 1 {
				t.Errorf("open: %+v", q)
			}
			conn.Close()
			if q := g.Snapshot()[0]; q.Active != 0 {
				t.Errorf("closed: %+v", q)
			}
		}
		if sent.String() != "pingping" || inner.closed != 2 || inner.writeClosed != 1 {
			t.Errorf("wrote %q, closed %d times, the sending side %d times", sent.String(), inner.closed, inner.writeClosed)
		}
	})
}

func TestBodyOfAStreamCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, newGroup(t, twoAtOnce(), nil), newWire())
		if body := c.open(t.Context(), "a").resp.Body; body != nil {
			if _, ok := body.(io.Writer); ok {
				t.Errorf("a %T can", body)
			}
		}
	})
}

func TestWithoutConcurrencyTheBodyIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		resp := respond(200)
		body := resp.Body
		w.answer = func(string) *http.Response { return resp }
		if got := newCaller(t, newGroup(t, tenPerSecond(), nil), w).open(t.Context(), "a"); got.resp.Body != body {
			t.Errorf("it is a %T", got.resp.Body)
		}
	})
}
