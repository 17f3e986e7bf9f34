package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// hour is s for those who have much time.
func hour(s limit.Settings) limit.Settings {
	s.MaxWait, s.MaxQueue = time.Hour, 10000
	return s
}

func TestLanesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, tenPerSecond(), hour(limit.Settings{Count: 1000, Per: time.Second, Burst: 1000}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		one.startAll(t.Context(), "first a1 a2 a3 a4")
		both.startAll(t.Context(), "b1 b2 b3")
		time.Sleep(time.Minute)
		wantNames(t, w, "first a1 b1 a2 b2 a3 b3 a4")
		wantTimes(t, w, ms(0, 100, 200, 300, 400, 500, 600, 700)...)
	})
}

func TestHigherPriorityGoesFirstInAnotherLaneToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, claiming(tenPerSecond()), hour(limit.Settings{Count: 1000, Per: time.Second, Burst: 1000}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		one.startAll(as(t.Context(), "x", 0), "first a1 a2")
		both.startAll(as(t.Context(), "x", limit.High), "b1 b2")
		one.startAll(as(t.Context(), "x", limit.High), "a0")
		time.Sleep(time.Minute)
		wantNames(t, w, "first b1 a0 b2 a1 a2")
	})
}

// A lane that another quota had stopped for ten seconds gets its share from then on,
// and not what it did not use.
func TestLaneHasNoClaimForThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := hour(limit.Settings{Count: 10, Per: 10 * time.Second, Kind: pace.Window})
		groups := newGroups(t, hour(tenPerSecond()), window)
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		both.startAll(t.Context(), strings.Repeat("b ", 10))
		time.Sleep(time.Second)
		both.startAll(t.Context(), strings.Repeat("b ", 10))
		for range 200 {
			one.start(t.Context(), "a")
		}
		time.Sleep(9050 * time.Millisecond) // the window is open again
		before := len(w.times())
		time.Sleep(time.Second)
		if got := strings.Join(strings.Fields(w.names())[before:], " "); got != "a b a b a b a b a b" && got != "b a b a b a b a b a" {
			t.Errorf("sent %s", got)
		}
		time.Sleep(time.Minute)
	})
}

// What a call of one lane needs at the end of a window is kept for it, but not what has
// come back by then, or shortly after: the last of the others costs it 50 ms, and not
// the rate half a call.
func TestOthersSpendWhatTheHeadOfALaneDoesNotNeedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, tenPerSecond(), onePerTenSeconds())
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		both.startAll(t.Context(), "b1 b2")
		time.Sleep(9850 * time.Millisecond)
		one.startAll(t.Context(), "a1 a2 a3")
		time.Sleep(time.Minute)
		wantNames(t, w, "b1 a1 a2 b2 a3")
		wantTimes(t, w, ms(0, 9850, 9950, 10050, 10150)...)
	})
}

// A call that costs much saves up, though another lane would spend each token.
func TestDearCallIsNotStarvedByAnotherLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hour(tenPerSecond())
		s.Burst = 10
		groups := newGroups(t, s, hour(limit.Settings{Concurrency: 100}))
		w := newWire()
		way := limit.Way{Cost: 10, Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}, {Table: 1, Key: byHost}}}
		dear := &caller{t: t, wire: w, rt: groups[0].Quotas.Wrap(way)(w)}
		cheap := newCaller(t, groups[0], w)
		cheap.startAll(t.Context(), strings.Repeat("c ", 20))
		go func() {
			for range 200 { // three times what there is
				time.Sleep(33 * time.Millisecond)
				cheap.start(t.Context(), "c")
			}
		}()
		// The others have nine turns, until they have had as much as it asks for. Then it
		// saves ten tokens.
		if r := dear.call(t.Context(), "dear"); r.err != nil || r.at != 1900*time.Millisecond {
			t.Errorf("ended at %v: %v", r.at, r.err)
		}
		time.Sleep(time.Hour)
	})
}

// The slot is taken whenever a token is there, and the token when the slot is free:
// somebody who needs both would never go.
func TestCallThatNeedsASlotAndATokenGetsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, hour(limit.Settings{Concurrency: 1}), hour(tenPerSecond()))
		w := newWire()
		w.answer = func(name string) *http.Response {
			if name == "slot" {
				time.Sleep(150 * time.Millisecond)
			}
			return nil
		}
		slot, token, both := newCaller(t, groups[0], w), newCaller(t, groups[1], w), through(t, w, groups...)
		for range 100 {
			slot.start(t.Context(), "slot")
			token.start(t.Context(), "token")
		}
		r := <-both.start(t.Context(), "both")
		// One more turn of each of the others, and then the slot is kept.
		if r.err != nil || r.at > 500*time.Millisecond {
			t.Errorf("ended at %v: %v", r.at, r.err)
		}
		time.Sleep(time.Hour)
		if sent := len(w.times()); sent != 201 {
			t.Errorf("%d were sent", sent)
		}
	})
}

// While the rule's calls wait for their rate, the slots are the others'.
func TestNoSlotIsKeptForACallThatWaitsForARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, limit.Settings{Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100}, onePerTenSeconds())
		w := newWire()
		w.answer = func(string) *http.Response { time.Sleep(time.Second); return nil }
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		both.startAll(t.Context(), "b1 b2")
		one.startAll(t.Context(), "a1 a2 a3")
		time.Sleep(8500 * time.Millisecond)
		one.startAll(t.Context(), "a4 a5 a6") // a5 is on its way when b2 is due
		time.Sleep(time.Minute)
		wantNames(t, w, "b1 a1 a2 a3 a4 a5 b2 a6")
		wantTimes(t, w, ms(0, 1000, 2000, 3000, 8500, 9500, 10500, 11500)...)
	})
}

// Nor for one that has missed a slot, when its provider says to wait.
func TestNoSlotIsKeptForACallBehindAGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, limit.Settings{Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100}, learning())
		w := newWire()
		w.answer = func(name string) *http.Response {
			if strings.HasPrefix(name, "slot") {
				time.Sleep(time.Second)
			}
			return throttles(10, "x")(name)
		}
		slot, gated, both := newCaller(t, groups[0], w), newCaller(t, groups[1], w), through(t, w, groups...)
		slot.start(t.Context(), "slot1")
		both.start(t.Context(), "both")
		time.Sleep(500 * time.Millisecond)
		gated.start(t.Context(), "x")
		slot.start(t.Context(), "slot2")
		time.Sleep(time.Minute)
		wantNames(t, w, "slot1 x slot2 both")
		wantTimes(t, w, ms(0, 500, 1000, 10500)...)
	})
}

// Two kinds of slots: the one that is free is kept for the call that waits for the other.
func TestSlotsAreKeptOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := limit.Settings{Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100}
		groups := newGroups(t, one, one)
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(map[string]time.Duration{"a": time.Second, "b": 1500 * time.Millisecond}[name])
			return nil
		}
		a, b, both := newCaller(t, groups[0], w), newCaller(t, groups[1], w), through(t, w, groups...)
		a.start(t.Context(), "a")
		b.start(t.Context(), "b")
		both.start(t.Context(), "both")
		a.startAll(t.Context(), "a a")
		b.startAll(t.Context(), "b b")
		time.Sleep(time.Minute)
		if got := w.names(); !strings.HasPrefix(got, "a b both ") {
			t.Errorf("sent %s", got)
		}
		wantTimes(t, w, ms(0, 0, 1500, 1500, 1500, 2500, 3000)...)
	})
}

func TestForecastCountsThoseInOtherLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, claiming(tenPerSecond()), hour(limit.Settings{Count: 1000, Per: time.Second, Burst: 1000}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		one.startAll(as(t.Context(), "x", 0), "first a1 a2 a3")
		both.startAll(as(t.Context(), "x", 0), "b1 b2 b3")
		both.startAll(as(t.Context(), "x", limit.High), "high")
		if got, _ := groups[0].Forecast("api.example", limit.Claim{Caller: "x"}, 1); got != 800*time.Millisecond {
			t.Errorf("the next of the one lane would wait %v, want 800ms", got)
		}
		ctx, cancel := context.WithTimeout(as(t.Context(), "x", 0), 800*time.Millisecond)
		defer cancel()
		wantRefusal(t, one.call(ctx, "late"), 0, limit.QueueTimeout, 800*time.Millisecond)
		if r := one.call(as(t.Context(), "x", 0), "a4"); r.at != 800*time.Millisecond {
			t.Errorf("sent at %v, want 800ms", r.at)
		}
		wantNames(t, w, "first high a1 b1 a2 b2 a3 b3 a4")
	})
}

func TestCallThatAnotherLaneMakesTooLateIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, claiming(tenPerSecond()), hour(limit.Settings{Count: 1000, Per: time.Second, Burst: 1000}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		done := one.startAll(ctx, "first a1 a2") // a2 at 200 ms
		time.Sleep(50 * time.Millisecond)
		both.startAll(as(t.Context(), "x", limit.High), "b")
		wantRefusal(t, <-done[2], 50*time.Millisecond, limit.QueueTimeout, 250*time.Millisecond)
		time.Sleep(time.Minute)
		wantNames(t, w, "first b a1")
	})
}

func TestCallThatAnotherMovesUpBeforeIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(limit.Settings{Count: 1, Per: time.Second, Burst: 1, MaxWait: 30 * time.Second, MaxQueue: 100})
		groups := newGroups(t, s, hour(limit.Settings{Concurrency: 100}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		one.startAll(t.Context(), "first")
		both.startAll(as(t.Context(), "x", limit.Low), "low")
		one.startAll(as(t.Context(), "x", limit.High), strings.Repeat("high ", 14))
		time.Sleep(9 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 7500*time.Millisecond)
		defer cancel()
		last := one.startAll(ctx, "n1 n2")[1] // at 16 s
		wantRefusal(t, <-last, 10*time.Second, limit.QueueTimeout, 7*time.Second)
		time.Sleep(time.Minute)
	})
}

// Reads are not refused for the writes, of a higher priority even, that wait for a limit
// of their own.
func TestThoseWhoWaitForAnotherQuotaDoNotMakeATurnLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := hour(onePerTenSeconds())
		groups := newGroups(t, claiming(hour(tenPerSecond())), window)
		w := newWire()
		read, write := newCaller(t, groups[0], w), through(t, w, groups...)
		for range 100 {
			write.start(as(t.Context(), "w", limit.High), "write")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		done := read.startAll(ctx, "r1 r2 r3")
		for i, r := range done {
			if got, want := (<-r).at, time.Duration(i+1)*100*time.Millisecond; got != want {
				t.Errorf("read %d ended at %v, want %v", i, got, want)
			}
		}
		time.Sleep(time.Hour)
	})
}

func TestFullQueueRefusesWhoeverGoesLastInAnyLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(tenPerSecond())
		s.MaxQueue = 3
		groups := newGroups(t, s, hour(limit.Settings{Count: 1000, Per: time.Second, Burst: 1000}))
		w := newWire()
		one, both := newCaller(t, groups[0], w), through(t, w, groups...)
		one.startAll(t.Context(), "first")
		low := one.startAll(as(t.Context(), "x", limit.Low), "low1 low2")
		both.startAll(as(t.Context(), "x", limit.High), "high1")
		synctest.Wait()
		both.startAll(as(t.Context(), "x", limit.High), "high2")
		wantRefusal(t, <-low[1], 0, limit.QueueFull, 400*time.Millisecond)
		time.Sleep(time.Minute)
		wantNames(t, w, "first high1 high2 low1")
	})
}

// A call that one quota had no place for took the place of another one first, at the quota
// before: both were refused, and what was kept for that one stayed so until an old timer.
func TestCallThatIsRefusedTakesNobodysPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t,
			limit.Settings{Count: 2, Per: time.Second, Burst: 2, Concurrency: 2, MaxQueue: 1, MaxWait: 30 * time.Second},
			limit.Settings{Concurrency: 10, MaxWait: 30 * time.Second})
		w := newWire()
		heavy, both := costing(t, groups[0], w, 2), through(t, w, groups...)
		heavy.startAll(t.Context(), "a b")
		wantRefusal(t, both.call(t.Context(), "c"), 0, limit.QueueFull, 500*time.Millisecond)
		if problems := groups[0].Problems(); problems != nil {
			t.Error(problems)
		}
		time.Sleep(time.Minute)
		wantNames(t, w, "a b")
		wantTimes(t, w, ms(0, 1000)...)
	})
}

// The name of the quota that a refusal tells of.
func TestRefusalNamesTheQuotaThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := newGroups(t, tenPerSecond(), onePerTenSeconds())
		named := func(name string) func(*http.Request) string { return func(*http.Request) string { return name } }
		way := limit.Way{Stops: []limit.Stop{{Table: 0, Key: named("rate")}, {Table: 1, Key: named("window")}}}
		w := newWire()
		c := &caller{t: t, wire: w, rt: groups[0].Quotas.Wrap(way)(w)}
		c.call(t.Context(), "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var refused *limit.RefusedError
		if r := c.call(ctx, "b"); !errors.As(r.err, &refused) || refused.Key != "window" || refused.RetryAfter != 10*time.Second {
			t.Errorf("refused with %v", r.err)
		}
		stops, wait := groups[0].Quotas.Forecast(way, httptest.NewRequest("GET", "/b", nil), limit.Claim{})
		got := fmt.Sprintf("%s %v, %s %v: %v", stops[0].Key, stops[0].Wait, stops[1].Key, stops[1].Wait, wait)
		if want := "rate 100ms, window 10s: 10s"; got != want {
			t.Errorf("the forecast is %s", got)
		}
	})
}

// What a dear call has saved is spent by one that goes before it.
func TestCallThatOvertakesAtOnceIsToldOfNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := claiming(hour(tenPerSecond()))
		s.Burst = 5
		s.OnQueue = func(_ context.Context, _ string, turn time.Time) {
			if !turn.After(time.Now()) {
				t.Error("told of a wait for nothing")
			}
		}
		s.OnWait = func(_ context.Context, _ string, waited time.Duration, _ string) {
			if waited == 0 {
				t.Error("told of a wait of no time")
			}
		}
		groups := newGroups(t, s, hour(limit.Settings{Concurrency: 100}))
		w := newWire()
		way := limit.Way{Cost: 5, Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}, {Table: 1, Key: byHost}}}
		dear := &caller{t: t, wire: w, rt: groups[0].Quotas.Wrap(way)(w)}
		dear.startAll(t.Context(), "dear dear")
		time.Sleep(300 * time.Millisecond)
		newCaller(t, groups[0], w).startAll(as(t.Context(), "x", limit.High), "high")
		time.Sleep(time.Minute)
		wantNames(t, w, "dear high dear")
		wantTimes(t, w, ms(0, 300, 600)...)
	})
}

func TestQuotaThatIsNamedTwiceCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, tenPerSecond(), nil)
		w := newWire()
		through(t, w, g, g).startAll(t.Context(), "a b")
		newCaller(t, g, w).startAll(t.Context(), "c")
		time.Sleep(time.Minute)
		wantNames(t, w, "a b c")
		wantTimes(t, w, ms(0, 100, 200)...)
	})
}

// Whatever panics on the way of a call that waits, nobody else waits for it.
func TestPanicWhileWaitingGivesTheTurnBack(t *testing.T) {
	for _, where := range []string{"Claim", "OnQueue", "OnWait"} {
		synctest.Test(t, func(t *testing.T) {
			s := tenPerSecond()
			s.Concurrency = 1
			panics := func(at string) {
				if at == where {
					panic(at)
				}
			}
			first := true
			s.Claim = func(context.Context) limit.Claim {
				if first {
					first = false
					panics("Claim")
				}
				return limit.Claim{Caller: "x"}
			}
			told := 0
			s.OnQueue = func(context.Context, string, time.Time) {
				if told++; told == 1 {
					panics("OnQueue")
				}
			}
			waits := 0
			s.OnWait = func(context.Context, string, time.Duration, string) {
				if waits++; waits == 1 {
					panics("OnWait")
				}
			}
			g := newGroup(t, s, nil)
			w := newWire()
			c := newCaller(t, g, w)
			c.call(t.Context(), "a")
			panicked := make(chan any)
			go func() {
				defer func() { panicked <- recover() }()
				c.call(t.Context(), "b")
			}()
			if got := <-panicked; got != where {
				t.Errorf("%v panicked", got)
			}
			if r := c.call(t.Context(), "c"); r.err != nil || r.at > 200*time.Millisecond {
				t.Errorf("after a panic in %s the next ended at %v: %v", where, r.at, r.err)
			}
			if q := g.Snapshot()[0]; q.Active != 0 || q.Waiting != 0 {
				t.Errorf("left %+v", q)
			}
		})
	}
}

// A window lets all of its calls go at once: they would be refused at once, if the
// provider counts otherwise.
func TestGateOverAWindowOpensStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 100, Per: 10 * time.Second, Kind: pace.Window, Learn: true, MaxWait: time.Hour, MaxQueue: 100}
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			return throttles(20, "x")(name)
		}
		c := newCaller(t, newGroup(t, s, nil), w)
		c.call(t.Context(), "x")
		c.startAll(t.Context(), strings.Repeat("a ", 7))
		time.Sleep(time.Minute)
		wantTimes(t, w, append(ms(0, 21000, 22000, 22000), slices.Repeat(ms(23000), 4)...)...)
	})
}
