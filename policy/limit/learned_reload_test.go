package limit_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// slowed is a quota whose calls a refusal has slowed down.
func slowed(t *testing.T, w *wire) *group {
	w.answer = func(string) *http.Response { return respond(429) }
	g := newGroup(t, unlimited(), nil)
	newCaller(t, g, w).call(t.Context(), "a")
	w.answer = nil
	if g.Snapshot()[0].Adapted == 0 {
		t.Fatal("the calls are not slowed down")
	}
	return g
}

// Whoever has learn switched off wants nothing that was learned: the calls stayed as slow
// as the last refusal had made them, and no answer could make them faster.
func TestWithoutLearnCallsAreNotSlowAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := slowed(t, w)
		next := newGroup(t, limit.Settings{MaxWait: time.Hour, MaxQueue: 10}, g)
		next.Adopt()
		if got := next.Snapshot()[0].Adapted; got != 0 || next.Estimate("api.example") != 0 {
			t.Errorf("%v a second are let pass", got)
		}
	})
}

// With another table that learns behind it, a quota is not told of refusals any more, and
// not of the good answers either.
func TestQuotaThatIsNoBaseAnyMoreIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := slowed(t, w)
		q, err := limit.New([]limit.Table{{Settings: unlimited()}, {Name: "last", Settings: unlimited()}}, g.Quotas)
		if err != nil {
			t.Fatal(err)
		}
		c := newCaller(t, g, w)
		c.rt = q.Wrap(limit.Way{Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}, {Table: 1, Key: byHost}}})(w)
		for range 1000 {
			c.call(t.Context(), "a")
			time.Sleep(time.Second)
		}
		if got := q.Snapshot()[0].Adapted; got != 0 {
			t.Errorf("after 1000 good answers, %v a second are let pass", got)
		}
	})
}

// What was learned before learn was switched off is not taken up again, and what is
// learned then can be seen.
func TestBucketsBeginAnewWithLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 100, 50, time.Minute, "core") }
		g := newGroup(t, unlimited(), nil)
		newCaller(t, g, w).call(t.Context(), "a")
		off := unlimited()
		off.Learn = false
		g = newGroup(t, off, g)
		g.Adopt()
		g = newGroup(t, unlimited(), g)
		g.Adopt()
		newCaller(t, g, w).call(t.Context(), "a")
		if states := g.Snapshot(); len(states) != 2 || states[1].Learned == nil {
			t.Errorf("known is %+v", states)
		}
	})
}

// A reload with another shape holds for the buckets that are known, too.
func TestReloadChangesHowABucketIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 100, 50, 100*time.Second, "core") }
		g := newGroup(t, unlimited(), nil)
		newCaller(t, g, w).call(t.Context(), "a")
		s := unlimited()
		s.Style = pace.Spread
		g = newGroup(t, s, g)
		g.Adopt()
		newCaller(t, g, w).call(t.Context(), "a")
		if got := g.waitOf("/a"); got != 2*time.Second {
			t.Errorf("the next waits for %v, want 2s: 50 are left for 100s", got)
		}
	})
}

// crowd makes calls to so many keys that those without state are dropped.
func crowd(t *testing.T, g *group, w *wire) {
	for i := range 10000 {
		key := func(*http.Request) string { return fmt.Sprint(i) }
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://api.example/a", nil)
		resp, err := g.Quotas.Wrap(limit.Way{Stops: []limit.Stop{{Key: key}}})(w).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// oneScope is a caller whose quota shares its scope with those of crowd.
func oneScope(t *testing.T, g *group, w *wire) (*caller, func(path string) time.Duration) {
	c := newCaller(t, g, w)
	way := limit.Way{Stops: []limit.Stop{{Key: byHost}}}
	c.rt = g.Quotas.Wrap(way)(w)
	return c, func(path string) time.Duration {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://api.example"+path, nil)
		_, wait := g.Quotas.Forecast(way, req, limit.Claim{})
		return wait
	}
}

// A quota with a bucket that is known is not in the state of a new one: when it went,
// what was learned went with it.
func TestLearnedBucketOutlivesASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, unlimited(), nil)
		c, waitOf := oneScope(t, g, w)
		w.answer = func(string) *http.Response { return w.left(200, 100, 0, time.Hour, "core") }
		c.call(t.Context(), "a")
		w.answer = nil
		crowd(t, g, w)
		if got := waitOf("/b"); got != time.Hour {
			t.Errorf("the next waits for %v, want 1h", got)
		}
		if got := c.start(t.Context(), "b"); len(got) != 0 {
			t.Error("a call went out")
		}
		time.Sleep(2 * time.Hour)
	})
}

// A bucket of which nothing is known any more is dropped, but not the memory of who
// counted to it: so it was taken for another one when it was named again, and held up
// only the route that heard of it.
func TestBucketThatIsDroppedIsTheUsualOneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := unlimited()
		s.Count, s.Per, s.Kind = 1e6, 1000*time.Hour, pace.Window // So the quota itself stays.
		g := newGroup(t, s, nil)
		c, waitOf := oneScope(t, g, w)
		w.answer = func(string) *http.Response { return w.left(200, 100, 50, time.Minute, "core") }
		c.call(t.Context(), "a")
		c.call(t.Context(), "a")
		time.Sleep(24 * time.Hour)
		w.answer = nil
		crowd(t, g, w)
		w.answer = func(string) *http.Response { return w.left(200, 100, 0, 25*time.Hour, "core") }
		c.call(t.Context(), "a")
		if got := waitOf("/b"); got != time.Hour {
			t.Errorf("another route waits for %v, want 1h", got)
		}
	})
}

// Where the names of buckets change, those that are forgotten make room.
func TestForgottenBucketsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		day, left := 0, 50
		w.answer = func(string) *http.Response {
			return w.left(200, 100, left, time.Since(w.start).Truncate(time.Second)+time.Minute, fmt.Sprint("day-", day))
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for day = range 200 {
			c.call(t.Context(), "a")
			time.Sleep(24 * time.Hour)
		}
		left = 0
		c.call(t.Context(), "a")
		if got := g.waitOf("/a"); got != time.Minute {
			t.Errorf("the next waits for %v, want 1m", got)
		}
		if got := len(g.Snapshot()); got > 65 {
			t.Errorf("%d quotas are kept", got)
		}
	})
}
