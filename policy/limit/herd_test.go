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
