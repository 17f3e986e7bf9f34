package limit_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// What comes back to a bucket that was full is known when the first call has been answered:
// those who wait go by that, and not when it was told at the latest.
func TestWaitersGoByTheFirstAnswerOfABurst(t *testing.T) {
	for took, want := range map[time.Duration][]time.Duration{
		30 * time.Millisecond: {130 * time.Millisecond, 230 * time.Millisecond},
		time.Second:           {200 * time.Millisecond, 300 * time.Millisecond}, // for five guards
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			w.answer = func(string) *http.Response { time.Sleep(took); return nil }
			s := limit.Settings{Count: 10, Per: time.Second, Burst: 2, Kind: pace.Smooth, Guard: 20 * time.Millisecond, MaxWait: time.Minute, MaxQueue: 10}
			newCaller(t, newGroup(t, s, nil), w).startAll(t.Context(), "a b c d")
			time.Sleep(time.Minute)
			wantTimes(t, w, append([]time.Duration{0, 0}, want...)...)
		})
	}
}

// The second of two calls a second arrived 80 ms late, and so the fourth waits for as long.
func TestNextCallWaitsForOneThatCameLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			if name == "b" {
				time.Sleep(80 * time.Millisecond)
			}
			return nil
		}
		s := limit.Settings{Count: 2, Per: time.Second, Burst: 2, Kind: pace.Even, Guard: 20 * time.Millisecond, MaxWait: time.Minute, MaxQueue: 10}
		newCaller(t, newGroup(t, s, nil), w).startAll(t.Context(), "a b c d e")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 1020, 1080, 2040)...)
	})
}

// A call turned out to have arrived 150 ms later, and so the next turn came later. Who could not have its
// turn in time any more was not told, and waited for nothing until its time was over.
func TestWhoIsTooLateByALateAnswerIsRefused(t *testing.T) {
	for name, kind := range map[string]pace.Kind{"window": pace.Window, "even": pace.Even} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				w.answer = func(string) *http.Response { time.Sleep(150 * time.Millisecond); return nil }
				s := limit.Settings{Count: 1, Per: time.Second, Burst: 1, Kind: kind, Guard: 20 * time.Millisecond, MaxWait: time.Minute, MaxQueue: 10}
				c := newCaller(t, newGroup(t, s, nil), w)
				c.start(t.Context(), "a")
				ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
				defer cancel()
				wantRefusal(t, c.call(ctx, "b"), 1020*time.Millisecond, limit.QueueTimeout, 130*time.Millisecond)
			})
		})
	}
}
