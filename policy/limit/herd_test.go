package limit_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// A call once waited at one quota at a time: when it had its turn there, it tried the
// others, and gave it back where one stopped it. Where thousands waited, each that gave
// a turn back woke the next to do the same: of 1,000 calls that passed two quotas, beside
// 2,000 that passed one of them, up to two were sent a second, where 50 were allowed,
// and a processor did nothing else.
func TestHerdAtTwoQuotasUsesAllThatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := limit.Settings{Count: 100, Per: time.Second, Burst: 1, MaxWait: time.Hour, MaxQueue: 10000}
		slow := fast
		slow.Count = 50
		groups := newGroups(t, fast, slow)
		var one, both atomic.Int64
		counting := func(n *atomic.Int64) *wire {
			w := newWire()
			w.answer = func(string) *http.Response { n.Add(1); return nil }
			return w
		}
		onlyFast, throughBoth := newCaller(t, groups[0], counting(&one)), through(t, counting(&both), groups...)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { throughBoth.call(t.Context(), "both") })
		}
		for range 2000 {
			all.Go(func() { onlyFast.call(t.Context(), "one") })
		}
		synctest.Wait()
		time.Sleep(5 * time.Millisecond)
		sentOne, sentBoth, passes := one.Load(), both.Load(), groups[0].Passes()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if a, b := one.Load()-sentOne, both.Load()-sentBoth; a != 500 || b != 500 {
			t.Errorf("in 10 s %d calls of one quota and %d of both were sent, want 500 and 500", a, b)
		}
		if n := groups[0].Passes() - passes; n > 1000 {
			t.Errorf("the line was looked at %d times for 1000 calls", n)
		}
		all.Wait()
	})
}

// Twice as many calls come as may be sent, on two ways. None is refused for others that
// would not have gone before it, and no token is lost while one is kept: all that there
// is of the faster quota is used. Of the slower one, which saves up nothing beyond one
// call, a call each 40 ms is, since the faster has a turn each 10 ms.
func TestOverloadOfTwoLanesWastesNothing(t *testing.T) {
	for _, priority := range []limit.Priority{limit.Low, limit.Normal, limit.High} {
		synctest.Test(t, func(t *testing.T) {
			fast := claiming(limit.Settings{Count: 100, Per: time.Second, Burst: 1, MaxWait: 2 * time.Second, MaxQueue: 10000})
			slow := fast
			slow.Count = 30
			groups := newGroups(t, fast, slow)
			w, both := newWire(), newWire()
			one, twice := newCaller(t, groups[0], w), through(t, both, groups...)
			for range 600 {
				go one.call(t.Context(), "one")
				go twice.call(as(t.Context(), "", priority), "both")
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			steady := func(w *wire) (sent int) {
				for _, at := range w.times() {
					if at >= 3*time.Second && at < 6*time.Second {
						sent++
					}
				}
				return sent
			}
			if sent, slower := steady(w)+steady(both), steady(both); sent < 299 || slower < 72 {
				t.Errorf("priority %d: in 3 s %d were sent of 300, and %d of both quotas", priority, sent, slower)
			}
		})
	}
}
