package breaker_test

import (
	"testing"
	"time"
)

// TestClosedIsWhereEveryCallPasses: also not while calls come back after a probe, and by
// an order about circuits that there are not yet.
func TestClosedIsWhereEveryCallPasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		s.Ramp = 10 * time.Second
		r := newRig(t, s, failed, times(-1, fine))
		want := func(want bool) {
			t.Helper()
			if got := r.group.Closed("api.test"); got != want {
				t.Errorf("at %v closed: %t, want %t", time.Since(r.begun), got, want)
			}
		}
		want(true) // there is none
		r.open()
		want(false)
		time.Sleep(time.Minute)
		want(false) // and it was not asked for a probe
		r.wantState("open")
		r.do()
		r.wantState("closed")
		want(false)
		time.Sleep(10 * time.Second)
		want(true)

		r.order(r.group.Open("", time.Now().Add(time.Hour)))
		want(false)
		if r.group.Closed("another.test") {
			t.Error("one to come is closed against the order")
		}
		r.order(r.group.Close("api.test"))
		want(true)
		time.Sleep(time.Hour)
		if !r.group.Closed("another.test") {
			t.Error("one to come is open after the time of the order")
		}
	})
}
