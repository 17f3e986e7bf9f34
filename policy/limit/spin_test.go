package limit_test

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// A quota that had been kept named no time at which it comes back, and told each call that
// its turn was now, which it never was. The timer went a nanosecond later, again and again:
// a processor was busy for as long as the call waited. (The fuzzer saw it as a test that
// never ends, since in a bubble a second has a billion nanoseconds.)
func TestTurnThatNeverComesKeepsNoProcessorBusy(t *testing.T) {
	for _, while := range []time.Duration{0, 1, 100} {
		synctest.Test(t, func(t *testing.T) {
			s := unlimited()
			s.MaxWait = time.Second
			w := newWire()
			g := newGroup(t, s, nil)
			c := newCaller(t, g, w)
			c.call(t.Context(), "a")
			g.Mislead(while)
			before := g.Passes()
			wantRefusal(t, c.call(t.Context(), "b"), time.Second, limit.QueueTimeout, while)
			if passes := g.Passes() - before; passes > 1100 {
				t.Errorf("told that a turn is in %v, the dispatcher looked %d times in a second", while, passes)
			}
		})
	}
}

// The rates of many let them go one after the other, and a slot does not: who waits for a
// rate alone is as punctual behind them as ever.
func TestTurnIsInTimeThoughTheTimerHasLetNobodyGoForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		window := onePerTenSeconds()
		window.Guard = 0
		slots := limit.Settings{Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100}
		groups := newGroups(t, window, slots)
		pass := func(stops ...limit.Stop) *caller {
			return &caller{t: t, wire: w, rt: groups[0].Quotas.Wrap(limit.Way{Stops: stops})(w)}
		}
		byPath := limit.Stop{Table: 0, Key: func(req *http.Request) string { return req.URL.Path }}
		slot := limit.Stop{Table: 1, Key: byHost}
		both, alone := pass(byPath, slot), pass(byPath)
		for round := range 2 {
			for i := range 40 {
				both.start(t.Context(), strconv.Itoa(i))
				time.Sleep(time.Microsecond)
			}
			alone.start(t.Context(), "alone")
			if round == 0 {
				pass(slot).open(t.Context(), "holder")
			}
		}
		time.Sleep(20 * time.Second)
		if times := w.times(); len(times) != 43 || times[42] != 10*time.Second+40*time.Microsecond {
			t.Errorf("%d went, the last at %v", len(times), times[len(times)-1])
		}
	})
}
