package limit_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// anHour is a quota of five in an hour, for which nobody waits long.
func anHour(kind pace.Kind) limit.Settings {
	return limit.Settings{Count: 5, Per: time.Hour, Burst: 5, Kind: kind, MaxWait: time.Second, MaxQueue: 10}
}

// restarted is a group in a process that is told what another kept.
func restarted(t *testing.T, s limit.Settings, kept []limit.Kept) *group {
	t.Helper()
	g := newGroup(t, s, nil)
	g.Restore(kept)
	return g
}

// A restart in the middle of the hour does not believe in a fresh one: what is spent is
// known before the first call, and to the nanosecond.
func TestSpentQuotaIsSpentAfterARestart(t *testing.T) {
	for name, test := range map[string]struct {
		kind       pace.Kind
		retryAfter time.Duration // 20 minutes after the first of five calls
	}{
		"window": {pace.Window, 40 * time.Minute},
		"even":   {pace.Even, 40 * time.Minute},
		"smooth": {pace.Smooth, 4 * time.Minute}, // One has come back after 12, and the next does after 24.
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := anHour(test.kind)
				w := newWire()
				g := newGroup(t, s, nil)
				c := newCaller(t, g, w)
				c.startAll(t.Context(), "a b c d e")
				kept := g.Keep()
				time.Sleep(20 * time.Minute)
				if test.kind == pace.Smooth {
					c.call(t.Context(), "f")
					kept = g.Keep()
				}
				g = restarted(t, s, kept)
				if got := g.Estimate("api.example"); got != test.retryAfter {
					t.Errorf("a call is told to wait for %v, want %v", got, test.retryAfter)
				}
				wantRefusal(t, newCaller(t, g, w).call(t.Context(), "g"), 20*time.Minute, limit.QueueTimeout, test.retryAfter)
				time.Sleep(test.retryAfter)
				if r := newCaller(t, g, w).call(t.Context(), "h"); r.err != nil {
					t.Errorf("at the time that was told: %v", r.err)
				}
			})
		})
	}
}

// The calls before the first answer after a restart are bound by what the last one before
// it told.
func TestWhatAnswersToldIsKnownBeforeTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unlimited()
		s.MaxWait = time.Second
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 5000, 0, time.Hour, "core") }
		g := newGroup(t, s, nil)
		newCaller(t, g, w).call(t.Context(), "repos/a")
		time.Sleep(time.Minute)
		kept := g.Keep()
		g = restarted(t, s, kept)
		c := newCaller(t, g, w)
		time.Sleep(time.Minute)
		wantRefusal(t, c.call(t.Context(), "issues/1"), 2*time.Minute, limit.QuotaExhausted, 58*time.Minute)
		if again := g.Keep(); !reflect.DeepEqual(again, kept) {
			t.Errorf("kept is\n%+v, and after a restart\n%+v", kept, again)
		}
		states := g.Snapshot()
		if len(states) != 2 || states[1].Bucket != "core" || states[1].Learned == nil || states[1].Learned.Limit != 5000 {
			t.Errorf("%+v", states)
		}
	})
}

// A bucket of few calls is known too, but which calls count to it shows with the first
// of them: it must not hold up the others.
func TestBucketOfARouteHoldsUpNoOthersAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response { return w.left(200, 30, 0, time.Hour, "exports") }
		g := newGroup(t, unlimited(), nil)
		newCaller(t, g, w).call(t.Context(), "exports")
		kept := g.Keep()
		if len(kept) != 1 || kept[0].Bucket != "exports" || kept[0].Usual {
			t.Fatalf("kept is %+v", kept)
		}
		g = restarted(t, unlimited(), kept)
		w.answer = func(string) *http.Response { return nil }
		c := newCaller(t, g, w)
		c.call(t.Context(), "customers/1")
		wantTimes(t, w, 0, 0)
		if states := g.Snapshot(); len(states) != 2 || states[1].Learned == nil || states[1].Learned.Remaining != 0 {
			t.Errorf("%+v", states)
		}
	})
}

// Never early on a hint of the provider, be it of an hour.
func TestGateStaysClosedOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = throttles(3600, "a")
		s := learning()
		g := newGroup(t, s, nil)
		newCaller(t, g, w).call(t.Context(), "a")
		kept := g.Keep()
		time.Sleep(10 * time.Minute)
		wantRefusal(t, newCaller(t, restarted(t, s, kept), w).call(t.Context(), "b"), 10*time.Minute, limit.QuotaExhausted, 50*time.Minute)

		kept[0].Gate = time.Now().Add(25 * time.Hour) // of a clock that was set back
		if r := newCaller(t, restarted(t, s, kept), w).call(t.Context(), "c"); r.err != nil {
			t.Error(r.err)
		}
		s.Learn = false
		if r := newCaller(t, restarted(t, s, g.Keep()), w).call(t.Context(), "d"); r.err != nil {
			t.Error(r.err)
		}
	})
}

func TestOnlyWhatIsSpentForLongIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"second": tenPerSecond(), "hour": anHour(pace.Window), "slots": twoAtOnce()}
		w := newWire()
		q := reloaded(t, nil, named, "second", "hour", "slots")
		throughTables(t, w, q, 3).call(t.Context(), "a")
		kept := q.Keep()
		if len(kept) != 1 || kept[0].Table != "hour" || kept[0].Key != "api.example" || !kept[0].Until().Equal(w.start.Add(time.Hour)) {
			t.Fatalf("kept is %+v", kept)
		}
		time.Sleep(59 * time.Minute)
		if again := q.Keep(); !reflect.DeepEqual(again, kept) {
			t.Errorf("kept is\n%+v, and later\n%+v", kept, again)
		}
		time.Sleep(time.Minute)
		if kept := q.Keep(); len(kept) != 0 {
			t.Errorf("kept of a window that is over: %+v", kept)
		}
	})
}

// The store may be away when the process starts. What it says later comes on top of what
// was spent meanwhile, and holds for those in line.
func TestWhatIsRestoredLateHoldsForThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anHour(pace.Smooth)
		s.MaxWait, s.Burst = 30*time.Minute, 2
		w := newWire()
		g := newGroup(t, s, nil)
		newCaller(t, g, w).startAll(t.Context(), "a b")
		kept := g.Keep()
		time.Sleep(time.Second)

		g = newGroup(t, s, nil)
		c := newCaller(t, g, w)
		done := c.startAll(t.Context(), "c d e f") // the last two have to wait for 12 and 24 minutes
		time.Sleep(time.Second)
		g.Restore(kept)
		synctest.Wait()
		if problems := g.Problems(); problems != nil {
			t.Error(problems)
		}
		wantRefusal(t, <-done[2], 2*time.Second, limit.QueueTimeout, 36*time.Minute-time.Second)
		wantRefusal(t, <-done[3], 2*time.Second, limit.QueueTimeout, 36*time.Minute-time.Second)
		g.Restore(kept[:0])
		wantTimes(t, w, ms(0, 0, 1000, 1000)...)
	})
}

func TestBucketsThatAreRestoredLateBindTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unlimited()
		s.MaxWait = time.Second
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 100, 1, time.Hour, "core") }
		g := newGroup(t, s, nil)
		newCaller(t, g, w).call(t.Context(), "a")
		kept := g.Keep()

		g = newGroup(t, s, nil)
		c := newCaller(t, g, w)
		w.answer = func(string) *http.Response { time.Sleep(time.Minute); return respond(200) }
		c.start(t.Context(), "b") // is on its way, and counts
		g.Restore(kept)
		if r := c.call(t.Context(), "c"); r.err == nil {
			t.Error("c was sent")
		}
		time.Sleep(2 * time.Minute)
		if problems := g.Problems(); problems != nil {
			t.Error(problems)
		}
		wantTimes(t, w, 0, 0)

		// What an answer told meanwhile is newer than what was kept.
		w.answer = func(string) *http.Response { return w.left(200, 100, 90, time.Hour, "core") }
		g = newGroup(t, s, nil)
		c = newCaller(t, g, w)
		c.call(t.Context(), "d")
		g.Restore(kept)
		if left := g.Snapshot()[1].Learned.Remaining; left != 90 {
			t.Errorf("%v are left, want 90", left)
		}
	})
}

// What is kept of a table waits for it, as for a rule that comes back with a reload.
func TestKeptQuotaWaitsForItsTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"hour": anHour(pace.Window), "rate": tenPerSecond()}
		w := newWire()
		q := reloaded(t, nil, named, "hour")
		throughTables(t, w, q, 1).startAll(t.Context(), "a b c d e")
		kept := q.Keep()

		q = reloaded(t, nil, named, "rate")
		q.Restore(kept)
		throughTables(t, w, q, 1).call(t.Context(), "f")
		q = reloaded(t, q, named, "rate", "hour")
		if r := throughTables(t, w, q, 2).call(t.Context(), "g"); r.err == nil {
			t.Error("g was sent")
		}
	})
}

func TestHeldQuotasAreBoundedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anHour(pace.Window)
		w := newWire()
		send := func(g *group, host string) error {
			req, _ := http.NewRequest("GET", "http://"+host+"/", nil)
			resp, err := g.Wrap(byHost)(w).RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		var kept []limit.Kept
		for i := range 10_001 {
			kept = append(kept, limit.Kept{Key: strconv.Itoa(i), State: pace.Kept{Spent: 5, End: time.Now().Add(time.Hour), Until: time.Now().Add(time.Hour)}})
		}
		g := restarted(t, s, kept)
		for i, want := range map[int]bool{0: false, 9_999: false, 10_000: true} {
			if err := send(g, fmt.Sprint(i)); (err == nil) != want {
				t.Errorf("%d: %v", i, err)
			}
		}
		time.Sleep(time.Hour)
		g.Keep()
		g.Restore([]limit.Kept{{Key: "late", State: pace.Kept{Spent: 5, End: time.Now().Add(time.Hour), Until: time.Now().Add(time.Hour)}}})
		if err := send(g, "late"); err == nil {
			t.Error("there was no room for one after the others had ended")
		}
	})
}

// Whenever something is kept and restored, and whoever calls meanwhile: no more is sent
// than there is.
func TestKeepAndRestoreBesideCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anHour(pace.Window)
		s.Count, s.Learn = 50, true
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 60, 40, time.Hour, "core") }
		g := newGroup(t, s, nil)
		newCaller(t, g, w).call(t.Context(), "")
		kept := g.Keep()

		g = newGroup(t, s, nil)
		c := newCaller(t, g, w)
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				for range 10 {
					c.call(t.Context(), "")
				}
			})
			calls.Go(func() {
				g.Restore(kept)
				g.Keep()
				g.Estimate("api.example")
			})
		}
		calls.Wait()
		// The one before the restart counts each time that it is restored, until all is spent.
		if sent := len(w.times()) - 1; sent < 50-8 || sent > 50 {
			t.Errorf("%d were sent, want 42 to 50", sent)
		}
		if problems := g.Problems(); problems != nil {
			t.Error(problems)
		}
	})
}
