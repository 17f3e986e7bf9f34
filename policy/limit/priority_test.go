package limit_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

type claimKey struct{}

// as is the context of a call that makes a claim.
func as(ctx context.Context, caller string, priority limit.Priority) context.Context {
	return context.WithValue(ctx, claimKey{}, limit.Claim{Priority: priority, Caller: caller})
}

// claiming is s for callers who make claims.
func claiming(s limit.Settings) limit.Settings {
	s.Claim = func(ctx context.Context) limit.Claim {
		claim, _ := ctx.Value(claimKey{}).(limit.Claim)
		return claim
	}
	return s
}

func wantNames(t *testing.T, w *wire, want string) {
	t.Helper()
	if got := w.names(); got != want {
		t.Errorf("sent  %s\nwant  %s", got, want)
	}
}

func TestHigherPriorityGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, claiming(tenPerSecond()), nil)
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "first")
		c.startAll(as(t.Context(), "x", limit.Low), "low1 low2")
		c.startAll(as(t.Context(), "x", limit.Normal), "normal1 normal2")
		c.startAll(as(t.Context(), "x", limit.High), "high1 high2")
		if got, want := g.Snapshot()[0].Line, (limit.Line{High: 2, Normal: 2, Low: 2}); got != want {
			t.Errorf("%+v wait, want %+v", got, want)
		}
		for priority, want := range map[limit.Priority]time.Duration{limit.High: 300, limit.Normal: 500, limit.Low: 700} {
			if got, _ := g.Forecast("api.example", limit.Claim{Priority: priority, Caller: "x"}, 1); got != want*time.Millisecond {
				t.Errorf("the next of priority %d would wait %v, want %vms", priority, got, int(want))
			}
		}
		time.Sleep(150 * time.Millisecond)
		c.startAll(as(t.Context(), "x", limit.High), "high3")
		time.Sleep(time.Minute)
		wantNames(t, w, "first high1 high2 high3 normal1 normal2 low1 low2")
		wantTimes(t, w, ms(0, 100, 200, 300, 400, 500, 600, 700)...)
	})
}

func TestCallersOfOnePriorityTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, claiming(tenPerSecond()), nil), w)
		c.startAll(t.Context(), "first")
		c.startAll(as(t.Context(), "x", 0), "x1 x2 x3 x4")
		c.startAll(as(t.Context(), "y", 0), "y1 y2 y3")
		c.startAll(as(t.Context(), "z", 0), "z1")
		time.Sleep(time.Minute)
		wantNames(t, w, "first x1 y1 z1 x2 y2 x3 y3 x4")
	})
}

// A nightly batch and somebody at a screen use the same key.
func TestBatchDoesNotHoldUpTheSingleCallOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(tenPerSecond())
		s.MaxWait, s.MaxQueue = time.Hour, 10000
		w := newWire()
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		for i := range 10001 { // of which the first goes at once
			go c.call(as(t.Context(), "batch", 0), fmt.Sprint(i))
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		if got := g.Estimate("api.example"); got != 150*time.Millisecond {
			t.Errorf("a newcomer would wait %v, want 150ms: one call of the batch", got)
		}
		// The line is full: it is the batch that has one too many.
		if r := c.call(as(t.Context(), "screen", 0), "single"); r.at != 200*time.Millisecond {
			t.Errorf("ended at %v, want 200ms: %v", r.at, r.err)
		}
		if waiting := g.Snapshot()[0].Waiting; waiting != 9998 {
			t.Errorf("%d wait", waiting)
		}
	})
}

func TestCallersShareByCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, claiming(tenPerSecond()), nil)
		c := newCaller(t, g, w)
		heavy := &caller{t: t, wire: w, rt: g.wrapCosting(3)(w)}
		c.startAll(t.Context(), "first")
		heavy.startAll(as(t.Context(), "x", 0), "x1 x2 x3")
		c.startAll(as(t.Context(), "y", 0), "y1 y2 y3 y4 y5 y6")
		time.Sleep(time.Minute)
		wantNames(t, w, "first y1 y2 x1 y3 y4 y5 x2 y6 x3")
	})
}

// Without it, who has cancelled nine of ten calls would wait as if they had been sent.
func TestCallerIsNotChargedForWhatItCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, claiming(tenPerSecond()), nil), w)
		c.startAll(t.Context(), "first")
		ctx, cancel := context.WithCancel(as(t.Context(), "x", 0))
		c.startAll(ctx, "a b c d e f")
		c.startAll(as(t.Context(), "x", 0), "x1 x2")
		c.startAll(as(t.Context(), "y", 0), "y1 y2 y3 y4")
		cancel()
		time.Sleep(time.Minute)
		wantNames(t, w, "first x1 y1 x2 y2 y3 y4")
	})
}

// High calls use up the rate. A low one moves up after a third of its MaxWait, and
// again after two, and then takes turns with them.
func TestLowCallMovesUpWithTime(t *testing.T) {
	for _, test := range []struct {
		priority limit.Priority
		want     time.Duration
	}{{limit.Low, 2100}, {limit.Normal, 1100}, {limit.High, 200}} {
		synctest.Test(t, func(t *testing.T) {
			s := claiming(tenPerSecond())
			s.MaxWait = 3 * time.Second
			w := newWire()
			c := newCaller(t, newGroup(t, s, nil), w)
			c.startAll(as(t.Context(), "high", limit.High), "0 1 2")
			low := make(chan result, 1)
			go func() { low <- c.call(as(t.Context(), "other", test.priority), "other") }()
			for i := range 100 {
				time.Sleep(100 * time.Millisecond)
				c.start(as(t.Context(), "high", limit.High), fmt.Sprint(i+3))
			}
			if r := <-low; r.err != nil || r.at != test.want*time.Millisecond {
				t.Errorf("priority %d: sent at %v, want %vms: %v", test.priority, r.at, int(test.want), r.err)
			}
		})
	}
}

func TestCallThatOthersMakeTooLateIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, claiming(tenPerSecond()), nil), w)
		c.startAll(t.Context(), "first")
		hasTime := func(caller string, priority limit.Priority, timeout time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(as(t.Context(), caller, priority), timeout)
			t.Cleanup(cancel)
			return ctx
		}
		low := c.startAll(hasTime("x", limit.Low, 401*time.Millisecond), "low1 low2")
		hurried := c.start(hasTime("y", limit.Normal, 300*time.Millisecond), "hurried") // goes at 100 ms
		time.Sleep(50 * time.Millisecond)
		c.startAll(as(t.Context(), "z", limit.High), "high1")
		// Now at 200 ms, and low1 at 300 ms.
		c.startAll(as(t.Context(), "z", limit.High), "high2")
		wantRefusal(t, <-hurried, 50*time.Millisecond, limit.QueueTimeout, 250*time.Millisecond)
		// With that one gone, low2 has its turn at 400 ms.
		c.startAll(as(t.Context(), "z", limit.High), "high3")
		wantRefusal(t, <-low[1], 50*time.Millisecond, limit.QueueTimeout, 450*time.Millisecond)
		time.Sleep(time.Minute)
		wantNames(t, w, "first high1 high2 high3 low1")
		wantTimes(t, w, ms(0, 100, 200, 300, 400)...)
	})
}

// The calls of a caller that stood behind ones that left get their better places one
// by one, when each is the next. Whoever that makes too late was left to wait for the
// end of its time.
func TestCallThatABetterPlaceOfAnotherMakesTooLateIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := onePerTenSeconds()
		s.MaxWait = time.Hour
		c := newCaller(t, newGroup(t, claiming(s), nil), w)
		c.startAll(t.Context(), "first")
		leaving, leave := context.WithCancel(as(t.Context(), "x", 0))
		c.startAll(as(t.Context(), "x", 0), "x1")
		c.startAll(leaving, "a b")
		c.startAll(as(t.Context(), "x", 0), "x2")
		c.startAll(as(t.Context(), "y", 0), "y1 y2")
		leave()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(as(t.Context(), "y", 0), 45*time.Second)
		defer cancel()
		y3 := c.start(ctx, "y3") // at 40 s; but x2 goes before y2 when x1 has gone
		wantRefusal(t, <-y3, 10*time.Second, limit.QueueTimeout, 40*time.Second)
		time.Sleep(time.Minute)
		wantNames(t, w, "first x1 y1 x2 y2")
	})
}

func TestFullLineKeepsThoseWhoGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(tenPerSecond())
		s.MaxQueue = 3
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "first")
		low := c.startAll(as(t.Context(), "x", limit.Low), "low1 low2")
		normal := c.startAll(as(t.Context(), "x", limit.Normal), "normal")
		time.Sleep(50 * time.Millisecond)
		c.startAll(as(t.Context(), "x", limit.High), "high1 high2")
		wantRefusal(t, <-low[1], 50*time.Millisecond, limit.QueueFull, 350*time.Millisecond)
		wantRefusal(t, <-low[0], 50*time.Millisecond, limit.QueueFull, 350*time.Millisecond)
		wantRefusal(t, c.call(as(t.Context(), "y", limit.Low), "low3"), 50*time.Millisecond, limit.QueueFull, 350*time.Millisecond)
		if r := <-normal[0]; r.err != nil {
			t.Error(r.err)
		}
		wantNames(t, w, "first high1 high2 normal")
	})
}

func TestClaimIsAskedOfThoseWhoWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := tenPerSecond()
		s.MaxWait = 250 * time.Millisecond
		var g *group
		s.Claim = func(context.Context) limit.Claim {
			g.Estimate("api.example") // no lock is held
			asked++
			return limit.Claim{Priority: 100} // is cut
		}
		g = newGroup(t, s, nil)
		c := newCaller(t, g, newWire())
		c.startAll(t.Context(), "a")
		if asked != 0 {
			t.Error("a call was asked that need not wait")
		}
		c.startAll(t.Context(), "b c")
		if asked != 2 || g.Snapshot()[0].Line.High != 2 {
			t.Errorf("%d were asked, %+v wait", asked, g.Snapshot()[0].Line)
		}
		time.Sleep(time.Minute)
	})
}

// A reload changes how long a step is, with calls of any age in line.
func TestPrioritiesHoldAcrossAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(limit.Settings{Concurrency: 1, MaxWait: 30 * time.Second, MaxQueue: 100})
		w := newWire()
		w.answer = func(string) *http.Response { time.Sleep(10 * time.Second); return nil }
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		for _, name := range strings.Fields("first low1 low2 low3") {
			c.startAll(as(t.Context(), "x", limit.Low), name)
			time.Sleep(time.Second)
		}
		s.MaxWait = time.Hour
		newGroup(t, s, g).Adopt()
		c.startAll(as(t.Context(), "x", 0), "normal")
		c.startAll(as(t.Context(), "x", limit.High), "high")
		time.Sleep(time.Hour)
		wantNames(t, w, "first high normal low1 low2 low3")
	})
}
