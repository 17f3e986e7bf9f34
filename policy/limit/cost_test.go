package limit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// costing sends calls of one cost through a limit.
func costing(t testing.TB, g *group, w *wire, cost int) *caller {
	return &caller{t: t, wire: w, rt: g.wrapCosting(cost)(w)}
}

func TestCallSpendsWhatItCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Burst = 5
		w := newWire()
		g := newGroup(t, s, nil)
		costing(t, g, w, 5).startAll(t.Context(), "a b")
		newCaller(t, g, w).startAll(t.Context(), "c d")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 500, 600, 700)...)
	})
}

func TestCallSpendsOneSlotWhateverItCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := costing(t, newGroup(t, twoAtOnce(), nil), w, 5)
		c.open(t.Context(), "a")
		c.open(t.Context(), "b")
		wantTimes(t, w, ms(0, 0)...)
	})
}

// x/time/rate never lets anybody have more than its burst.
func TestCostBeyondTheBurstIsPaidByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, tenPerSecond(), nil)
		c := newCaller(t, g, w)
		heavy := costing(t, g, w, 5)
		heavy.startAll(t.Context(), "a")
		if q := g.Snapshot()[0]; q.Tokens != 0 || q.Wait != 500*time.Millisecond {
			t.Errorf("%+v", q)
		}
		c.startAll(t.Context(), "b")
		heavy.startAll(t.Context(), "c")
		if got := g.Estimate("api.example"); got != 1100*time.Millisecond {
			t.Errorf("the next would wait %v", got)
		}
		c.startAll(t.Context(), "d")
		time.Sleep(time.Minute) // The bucket does not hold more than one afterwards.
		c.startAll(t.Context(), "e f")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 500, 600, 1100, 60000, 60100)...)
	})
}

func TestWindowIsSpentByCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 10, Per: 10 * time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
		w := newWire()
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		heavy := costing(t, g, w, 4)
		heavy.startAll(t.Context(), "a b")
		heavy.startAll(t.Context(), "c")
		c.startAll(t.Context(), "d") // would still fit, but does not overtake
		heavy.startAll(t.Context(), "e")
		costing(t, g, w, 100).startAll(t.Context(), "f") // a window is all that there is
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 10000, 10000, 10000, 20000)...)
	})
}

func TestRefusedBelowGivesBackWhatItCost(t *testing.T) {
	for _, s := range []limit.Settings{
		tenPerSecond(),
		{Count: 10, Per: time.Second, Kind: pace.Window, Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			below := newCaller(t, newGroup(t, limit.Settings{Count: 1, Per: time.Hour, Burst: 1}, nil), w)
			below.call(t.Context(), "spends the hour")
			g := newGroup(t, s, nil)
			c := &caller{t: t, wire: w, rt: g.wrapCosting(7)(below.rt)}
			for range 3 {
				wantRefusal(t, c.call(t.Context(), "x"), 0, limit.QueueTimeout, time.Hour)
			}
			if q := g.Snapshot()[0]; q.Tokens != q.Room || q.Active != 0 {
				t.Errorf("left %+v", q)
			}
		})
	}
}
