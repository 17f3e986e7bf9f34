package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/egress"
)

// silentPeer is a network in memory whose peers read everything and say nothing.
func silentPeer() egress.Settings {
	return egress.Settings{Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		return ours, nil
	}}
}

// Calls that are young do not follow their context. One that ends then is
// noticed soon after; a deadline, which is known, is kept to the moment.
func TestTheEndOfAContextIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline bool
		end      time.Duration // of the context, after the call's begin
		noticed  time.Duration
	}{
		{"a deadline at once", true, 3 * time.Millisecond, 3 * time.Millisecond},
		{"a deadline soon", true, 150 * time.Millisecond, 150 * time.Millisecond},
		{"a deadline", true, time.Second, time.Second},
		{"a cancelation at once", false, 3 * time.Millisecond, 100 * time.Millisecond},
		{"a cancelation", false, time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTransport(t, silentPeer())
				ctx, cancel := context.WithCancel(t.Context())
				if c.deadline {
					ctx, cancel = context.WithTimeout(t.Context(), c.end)
				} else {
					time.AfterFunc(c.end, cancel)
				}
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.test/", nil)
				began := time.Now()
				_, err := tr.RoundTrip(req)
				wantError(t, err, egress.Canceled, true)
				if took := time.Since(began); took != c.noticed {
					t.Errorf("noticed after %v, want %v", took, c.noticed)
				}
			})
		})
	}
}

// earlier is a context that ends by a clock of its own, which its deadline does not tell.
type earlier struct {
	context.Context
	at time.Time
}

func (e earlier) Earliest() time.Time { return e.at }

// A clock that may be put off is no deadline, and is kept to the moment all the same.
func TestTheEndOfAContextByItsOwnClockIsNoticed(t *testing.T) {
	for _, end := range []time.Duration{3 * time.Millisecond, 150 * time.Millisecond, time.Second} {
		for _, deadline := range []time.Duration{time.Hour, 0} { // 0: none
			synctest.Test(t, func(t *testing.T) {
				tr := newTransport(t, silentPeer())
				ctx, cancel := context.WithCancel(t.Context())
				if deadline > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), deadline)
				}
				defer cancel()
				time.AfterFunc(end, cancel)
				began := time.Now()
				req, _ := http.NewRequestWithContext(earlier{ctx, began.Add(end)}, "GET", "http://api.test/", nil)
				_, err := tr.RoundTrip(req)
				wantError(t, err, egress.Canceled, true)
				if took := time.Since(began); took != end {
					t.Errorf("with a deadline of %v: noticed after %v, want %v", deadline, took, end)
				}
			})
		}
	}
}

// A call that finds its connection dead, and waits for another, has less time left then than
// when it was looked at first.
func TestDeadlineThatComesNearWhileConnecting(t *testing.T) {
	tr := newTransport(t, silentPeer())
	began := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), began.Add(time.Hour))
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.test/", nil)
	for _, c := range []struct {
		at   []time.Duration
		want bool
	}{
		{[]time.Duration{0}, false},
		{[]time.Duration{0, time.Minute}, false},
		{[]time.Duration{0, time.Hour - 100*time.Millisecond}, true},
		{[]time.Duration{time.Hour - 100*time.Millisecond, time.Hour}, true},
	} {
		if got := tr.Follows(req, began, c.at...); got != c.want {
			t.Errorf("with a connection after %v: follows is %t", c.at, got)
		}
	}
}

// One call after the other, each at another age when the followers look: none
// is forgotten, and none is taken for another.
func TestEachCallFollowsItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTransport(t, silentPeer())
		why := errors.New("why")
		ends := make(chan time.Duration, 9)
		began := time.Now()
		for i := range 9 {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second+time.Duration(i)*time.Minute, func() { cancel(why) })
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.test/", nil)
			go func() {
				_, err := tr.RoundTrip(req)
				if !errors.Is(err, why) {
					t.Error(err)
				}
				ends <- time.Since(began)
			}()
			time.Sleep(3 * time.Millisecond)
		}
		for i := range 9 {
			want := time.Second + time.Duration(i)*time.Minute + time.Duration(i)*3*time.Millisecond
			if took := <-ends; took != want {
				t.Errorf("call %d ended after %v, want %v", i, took, want)
			}
		}
	})
}
