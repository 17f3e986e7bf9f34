package limit_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// Callers who want more than there is get the same, however many calls they have in
// line, whatever those cost, and however they come. The index is that of R. Jain,
// D. Chiu and W. Hawe (1984): 1 is the same for all.
func TestCallersGetTheSameShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(tenPerSecond())
		s.MaxWait, s.MaxQueue = time.Hour, 10000
		g := newGroup(t, s, nil)
		w := newWire()
		var mu sync.Mutex               // guards got
		got := make(map[string]float64) // caller → what it spent
		send := func(caller string, cost int) {
			c := costing(t, g, w, cost)
			if r := c.call(as(t.Context(), caller, 0), caller); r.err == nil && r.at <= 10*time.Minute {
				mu.Lock()
				defer mu.Unlock()
				got[caller] += float64(cost)
			}
		}
		for i := range 3000 {
			go send("batch", 1)
			if i < 2000 {
				go send("larger calls", 3)
			}
		}
		for range 10 { // each sends the next when the one before has its answer
			for _, name := range []string{"loop", "loop of larger calls"} {
				go func() {
					for time.Since(w.start) < 10*time.Minute {
						send(name, len(name)/4)
					}
				}()
			}
		}
		time.Sleep(time.Hour)

		var sum, squares float64
		for _, spent := range got {
			sum += spent
			squares += spent * spent
		}
		if index := sum * sum / (4 * squares); len(got) != 4 || index < 0.999 {
			t.Errorf("the index is %v: %v", index, got)
		}
		if sum < 0.97*6000 {
			t.Errorf("%v were spent of 6000", sum)
		}
	})
}

// Whatever the load of higher priorities, who waits at the head of a low class goes
// in the last third of MaxWait at the latest: then the others have only their turns.
func TestLowCallGoesWithinItsTime(t *testing.T) {
	for _, callers := range []int{1, 5, 9} {
		synctest.Test(t, func(t *testing.T) {
			s := claiming(tenPerSecond())
			s.MaxWait = 3 * time.Second
			w := newWire()
			c := newCaller(t, newGroup(t, s, nil), w)
			for i := range callers {
				go func() {
					for range 2000 { // 10 times what there is, as soon as it can wait
						go c.call(as(t.Context(), fmt.Sprint("high", i), limit.High), "high")
						time.Sleep(time.Duration(callers) * 10 * time.Millisecond)
					}
				}()
			}
			time.Sleep(5 * time.Second)
			if r := c.call(as(t.Context(), "low", limit.Low), "low"); r.err != nil || r.at > 8*time.Second {
				t.Errorf("beside %d callers: ended at %v: %v", callers, r.at, r.err)
			}
			time.Sleep(time.Hour)
		})
	}
}
