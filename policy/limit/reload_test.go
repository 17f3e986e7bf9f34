package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A sleeper in x/time/rate is not moved by SetLimit, and newcomers overtake it.
func TestWaitersMoveToTheNewRateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		w := newWire()
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "a b c d e")
		time.Sleep(100 * time.Millisecond)
		s.Count = 100
		next := newGroup(t, s, g)
		next.Adopt()
		newCaller(t, next, w).startAll(t.Context(), "f")
		c.startAll(t.Context(), "g") // a call that still came through the old one
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 100, 110, 120, 130, 140, 150)...)
	})
}

func TestReloadThatIsNotPublishedChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		w := newWire()
		g := newGroup(t, s, nil)
		newCaller(t, g, w).startAll(t.Context(), "a b c d")
		s.Count = 1000
		newGroup(t, s, g)
		if _, err := limit.New([]limit.Table{{Settings: limit.Settings{Count: -1}}}, g.Quotas); err == nil {
			t.Error("accepted")
		}
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 100, 200, 300)...)
	})
}

func TestFirstCallThroughAGroupAdoptsItsSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		w := newWire()
		g := newGroup(t, s, nil)
		newCaller(t, g, w).startAll(t.Context(), "a b c")
		s.Count = 100
		newCaller(t, newGroup(t, s, g), w).startAll(t.Context(), "d")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 10, 20, 30)...)
	})
}

func TestOlderGroupNeverComesBackIntoForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		w := newWire()
		first := newGroup(t, s, nil)
		s.Count = 1
		second := newGroup(t, s, first) // published, and nobody has called yet
		s.Count = 100
		third := newGroup(t, s, second)
		third.Adopt()
		second.Adopt()
		first.Adopt()
		newCaller(t, second, w).startAll(t.Context(), "a b c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 10, 20)...)
	})
}

func TestChangedRateKeepsTheTokensThatAreLeft(t *testing.T) {
	smooth := func(count float64, burst int) limit.Settings {
		return limit.Settings{Count: count, Per: time.Second, Burst: burst, MaxWait: time.Hour, MaxQueue: 100}
	}
	window := func(count float64, per time.Duration) limit.Settings {
		return limit.Settings{Count: count, Per: per, Kind: pace.Window, MaxWait: time.Hour, MaxQueue: 100}
	}
	for _, test := range []struct {
		name     string
		old, new limit.Settings
		spent    int
		left     float64
	}{
		{"same", smooth(1, 10), smooth(1, 10), 4, 6},
		{"larger burst", smooth(1, 10), smooth(1, 100), 4, 6},
		{"smaller burst", smooth(1, 10), smooth(1, 5), 4, 5},
		{"smaller and less left", smooth(1, 10), smooth(1, 5), 8, 2},
		{"nothing spent", smooth(1, 10), smooth(1, 100), 0, 10},
		{"window, larger", window(10, time.Hour), window(20, time.Hour), 4, 6},
		{"window, smaller", window(10, time.Hour), window(5, time.Hour), 4, 1}, // the provider counts those four, too
		{"window, shorter", window(10, time.Hour), window(10, time.Second), 9, 1},
		{"window, same", window(10, time.Hour), window(10, time.Hour), 0, 10},
		{"window to smooth", window(10, time.Hour), smooth(1, 8), 7, 3},
		{"smooth to window", smooth(1, 8), window(10, time.Hour), 7, 1},
		{"rate gone", smooth(1, 10), limit.Settings{}, 4, 0},
		{"rate new", limit.Settings{}, smooth(1, 10), 4, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, test.old, nil)
				c := newCaller(t, g, newWire())
				c.start(t.Context(), "") // so that there is a quota
				time.Sleep(2 * time.Hour)
				for range test.spent {
					c.call(t.Context(), "")
				}
				next := newGroup(t, test.new, g)
				next.Adopt()
				if got := next.Snapshot()[0].Tokens; got != test.left {
					t.Errorf("%v left, want %v", got, test.left)
				}
			})
		})
	}
}

// The provider's window does not start again because our file has changed.
func TestWindowKeepsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 2, Per: 10 * time.Second, Kind: pace.Window, MaxWait: time.Hour, MaxQueue: 100}
		w := newWire()
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "a b c d e f")
		time.Sleep(4 * time.Second)
		s.Count = 3
		newGroup(t, s, g).Adopt()
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 10000, 10000, 10000, 20000)...)
	})
}

func TestGateSurvivesAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := learning()
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			return throttles(10, "a")(name)
		}
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "a")
		c.startAll(t.Context(), "b c")
		s.Count = 0 // Nothing but answers to go by any more: step by step.
		newCaller(t, newGroup(t, s, g), w).startAll(t.Context(), "d")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 11000, 12000, 12000)...)
	})
}

func TestWaitersThatANewRateMakesTooLateAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.MaxWait = time.Second
		w := newWire()
		g := newGroup(t, s, nil)
		done := newCaller(t, g, w).startAll(t.Context(), "a b c d")
		s.Count = 1
		newGroup(t, s, g).Adopt()
		wantRefusal(t, <-done[2], 0, limit.QueueTimeout, 2*time.Second)
		wantRefusal(t, <-done[3], 0, limit.QueueTimeout, 2*time.Second)
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 1000)...)
	})
}

func TestSlotsAreCountedAcrossReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoAtOnce()
		w := newWire()
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		a, b := c.open(t.Context(), "a"), c.open(t.Context(), "b")
		done := c.startAll(t.Context(), "c")

		s.Concurrency = 1
		g = newGroup(t, s, g)
		g.Adopt()
		time.Sleep(time.Second)
		a.resp.Body.Close() // One is still on its way, and that is enough now.
		synctest.Wait()
		if q := g.Snapshot()[0]; q.Active != 1 || q.Waiting != 1 {
			t.Errorf("%+v, want 1 active and 1 waiting", q)
		}

		s.Concurrency = 0
		g = newGroup(t, s, g)
		g.Adopt()
		if r := <-done[0]; r.at != time.Second {
			t.Errorf("c sent at %v", r.at)
		}
		b.resp.Body.Close()
		synctest.Wait()
		if q := g.Snapshot()[0]; q.Active != 0 {
			t.Errorf("left %+v", q)
		}
	})
}

// A call that went out when there was no limit of concurrency has no answer yet
// when there is one.
func TestCallsWithoutAnswerCountForANewConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := twoAtOnce()
		s.Concurrency = 0
		w := newWire()
		w.answer = func(string) *http.Response { time.Sleep(time.Second); return nil }
		g := newGroup(t, s, nil)
		newCaller(t, g, w).startAll(t.Context(), "a b")
		s.Concurrency = 2
		newCaller(t, newGroup(t, s, g), w).startAll(t.Context(), "c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 1000)...)
	})
}

func TestIdleQuotasGoWhenThereAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := learning()
		s.Kind, s.Concurrency = pace.Window, 5
		w := newWire()
		w.answer = func(name string) *http.Response {
			if name == "gated" {
				return respond(429, "Retry-After", "3600")
			}
			return nil
		}
		g := newGroup(t, s, nil)
		rt := g.Wrap(func(req *http.Request) string { return req.URL.Path })(w)
		send := func(path string) *http.Response {
			req, _ := http.NewRequest("GET", "http://api.example"+path, nil)
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		send("/gated").Body.Close()
		active := send("/active")
		for i := range 4000 {
			send(fmt.Sprintf("/idle%d", i)).Body.Close()
		}
		time.Sleep(time.Minute)
		for i := range 94 {
			send(fmt.Sprintf("/used%d", i)).Body.Close()
		}
		if n := len(g.Snapshot()); n != 4096 {
			t.Errorf("%d quotas before the sweep", n)
		}
		send("/one too many").Body.Close()
		left := g.Snapshot()
		if n := len(left); n != 97 {
			t.Errorf("%d quotas after the sweep, want 97", n)
		}
		for _, q := range left {
			if q.Tokens == q.Room && q.Active == 0 && q.Gate.IsZero() {
				t.Errorf("%+v has nothing to keep", q)
			}
		}
		active.Body.Close()
	})
}

// tables are those of a reload, by name.
func tables(named map[string]limit.Settings, order ...string) (list []limit.Table) {
	for _, name := range order {
		list = append(list, limit.Table{Name: name, Settings: named[name]})
	}
	return list
}

// reloaded gives the quotas after a reload, for tables of these names.
func reloaded(t *testing.T, prev *limit.Quotas, named map[string]limit.Settings, order ...string) *limit.Quotas {
	t.Helper()
	q, err := limit.New(tables(named, order...), prev)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// throughTables sends calls through all tables of a Quotas.
func throughTables(t *testing.T, w *wire, q *limit.Quotas, count int) *caller {
	way := limit.Way{Scope: byHost}
	for i := range count {
		way.Stops = append(way.Stops, limit.Stop{Table: i, Key: byHost})
	}
	return &caller{t: t, wire: w, rt: q.Wrap(way)(w)}
}

func TestTableThatIsDroppedHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"rate": tenPerSecond(), "window": onePerTenSeconds()}
		w := newWire()
		before := reloaded(t, nil, named, "rate", "window")
		both := throughTables(t, w, before, 2)
		both.startAll(t.Context(), "a b c")
		time.Sleep(time.Second)
		after := reloaded(t, before, named, "rate")
		after.Adopt()
		synctest.Wait()
		throughTables(t, w, after, 1).startAll(t.Context(), "d")
		both.startAll(t.Context(), "e") // which came through the old one
		time.Sleep(time.Minute)
		wantNames(t, w, "a b c d e")
		wantTimes(t, w, ms(0, 1000, 1100, 1200, 1300)...)
		if left := after.Snapshot(); len(left) != 1 || left[0].Table != "rate" || left[0].Active != 0 {
			t.Errorf("left %+v", left)
		}
	})
}

// Those who waited for the table that has gone, and those who did not, pass the same
// now: they stand in one line, in the order in which they came.
func TestLanesThatAReloadMakesTheSameBecomeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"slot": {Concurrency: 1, MaxWait: time.Hour, MaxQueue: 100}, "window": onePerTenSeconds()}
		w := newWire()
		w.answer = func(string) *http.Response { time.Sleep(time.Second); return nil }
		before := reloaded(t, nil, named, "slot", "window")
		one, both := throughTables(t, w, before, 1), throughTables(t, w, before, 2)
		for name := range strings.FieldsSeq("both one both one both one") {
			time.Sleep(time.Millisecond)
			map[string]*caller{"one": one, "both": both}[name].start(t.Context(), name)
		}
		after := reloaded(t, before, named, "slot")
		after.Adopt()
		throughTables(t, w, after, 1).startAll(t.Context(), "new")
		if q := after.Snapshot()[0]; q.Waiting != 6 {
			t.Errorf("%d wait", q.Waiting)
		}
		time.Sleep(time.Minute)
		wantNames(t, w, "both one both one both one new")
	})
}

func TestTableThatIsNewBeginsWithAllItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"rate": tenPerSecond(), "window": onePerTenSeconds()}
		w := newWire()
		before := reloaded(t, nil, named, "rate")
		throughTables(t, w, before, 1).startAll(t.Context(), "a b c")
		after := reloaded(t, before, named, "rate", "window")
		time.Sleep(50 * time.Millisecond)
		// Those who wait do not pass it: they came when there was none.
		throughTables(t, w, after, 2).startAll(t.Context(), "d e")
		time.Sleep(time.Minute)
		wantNames(t, w, "a b d c e")
		wantTimes(t, w, ms(0, 100, 200, 300, 10200)...)
	})
}

// A rule that somebody deletes and writes again is a new one.
func TestTableThatComesBackIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := map[string]limit.Settings{"window": onePerTenSeconds()}
		w := newWire()
		q := reloaded(t, nil, named, "window")
		throughTables(t, w, q, 1).call(t.Context(), "a")
		q = reloaded(t, q, named)
		q.Adopt()
		q = reloaded(t, q, named, "window")
		throughTables(t, w, q, 1).call(t.Context(), "b")
		wantTimes(t, w, ms(0, 0)...)
	})
}

func TestNameOfATableIsItsOwn(t *testing.T) {
	_, err := limit.New(tables(map[string]limit.Settings{"x": {MaxWait: -1}}, "x", "x"), nil)
	for _, want := range []string{"checking x: MaxWait = -1ns", "checking x: the name is that of another table"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// Once a limit of the whole upstream is added, all its calls have a quota in common. What
// each host has spent, who waits, and who is on the way, remain.
func TestScopesThatBecomeWiderKeepTheirQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Count, s.Concurrency = 1, 2
		named := map[string]limit.Settings{"own": s, "all": {Concurrency: 3, MaxWait: time.Hour, MaxQueue: 100}}
		w := newWire()
		w.answer = func(name string) *http.Response {
			if strings.HasPrefix(name, "long") {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		byPath := func(req *http.Request) string { return req.URL.Path[len(req.URL.Path)-1:] } // the last letter
		everything := func(*http.Request) string { return "all" }
		before := reloaded(t, nil, named, "own")
		narrow := &caller{t: t, wire: w, rt: before.Wrap(limit.Way{Scope: byPath, Stops: []limit.Stop{{Table: 0, Key: byPath}}})(w)}
		narrow.startAll(t.Context(), "longA longB b1B a1A a2A")
		leaving, leave := context.WithCancel(t.Context())
		gone := narrow.start(leaving, "goneA")
		time.Sleep(500 * time.Millisecond)

		after := reloaded(t, before, named, "own", "all")
		after.Widen(func(string) string { return "all" })
		after.Adopt()
		wide := &caller{t: t, wire: w, rt: after.Wrap(limit.Way{Scope: everything, Stops: []limit.Stop{{Table: 0, Key: byPath}, {Table: 1, Key: everything}}})(w)}
		wide.startAll(t.Context(), "a3A c1C")
		narrow.startAll(t.Context(), "a4A") // by the set of before
		leave()
		if r := <-gone; !errors.Is(r.err, context.Canceled) {
			t.Errorf("ended with %v", r.err)
		}
		time.Sleep(time.Minute)
		if got, want := w.times(), ms(0, 0, 500, 1000, 1000, 2000, 3000, 4000); !slices.Equal(got, want) {
			t.Errorf("sent %s at %v, want %v", w.names(), got, want)
		}
		left := after.Snapshot()
		for _, q := range left {
			if q.Active != 0 || q.Waiting != 0 || q.Tokens != q.Room {
				t.Errorf("left %+v", q)
			}
		}
		if len(left) != 4 {
			t.Errorf("%d quotas are left, want A, B and C of one table, and one of the other", len(left))
		}
	})
}
