package limit_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

func (c *caller) through(g *group, rt func(req *http.Request) (*http.Response, error)) {
	c.rt = g.Wrap(byHost)(roundTripper(rt))
}

// What a call gives back that was refused below is its own. It was taken off what is on
// its way twice, so that another call was not subtracted any more.
func TestCallThatWasNotSentEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		c.through(g, func(req *http.Request) (*http.Response, error) {
			switch req.URL.Path {
			case "/slow":
				time.Sleep(time.Second)
			case "/refused":
				return nil, &limit.RefusedError{Reason: "circuit-open"}
			}
			return w.left(200, 20, 10, time.Hour, "core"), nil
		})
		c.call(t.Context(), "first")
		c.startAll(t.Context(), "slow slow slow")
		for range 3 {
			c.call(t.Context(), "refused")
		}
		if got := g.Snapshot()[1].Learned.Remaining; got != 7 {
			t.Errorf("%v may be spent, want 7: 10 are left, and 3 on their way", got)
		}
		time.Sleep(time.Second)
	})
}

// Where Answer panics, so does the call; its slot was kept for ever.
func TestPanicOverAnAnswerGivesTheSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unlimited()
		s.Concurrency = 1
		s.Answer = func(*http.Request, *http.Response) limit.Answer { panic("answer") }
		w := newWire()
		g := newGroup(t, s, nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			newCaller(t, g, w).call(t.Context(), "a")
		}()
		if got := g.Snapshot()[0].Active; got != 0 {
			t.Errorf("%d are on their way", got)
		}
	})
}

// Once a route was known to have a bucket of its own, only calls that came after that
// went by it; those in line went out one after the other against a quota that was spent.
func TestWhoWaitsGoesByTheBucketThatItsRouteIsFoundToHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			if name == "search" {
				return w.left(200, 30, 0, time.Hour, "search")
			}
			return w.left(200, 5000, 4000, time.Hour, "core")
		}
		s := unlimited()
		s.Concurrency, s.MaxWait = 1, time.Minute
		c := newCaller(t, newGroup(t, s, nil), w)
		c.call(t.Context(), "a")
		c.start(t.Context(), "search")
		second, other := c.start(t.Context(), "search"), c.start(t.Context(), "a")
		third := c.start(t.Context(), "search")
		time.Sleep(time.Second)
		synctest.Wait()
		wantRefusal(t, <-second, 2*time.Second, limit.QuotaExhausted, time.Hour-2*time.Second)
		wantRefusal(t, <-third, 2*time.Second, limit.QuotaExhausted, time.Hour-2*time.Second)
		if got := <-other; got.err != nil || got.at != 3*time.Second {
			t.Errorf("the other ended at %v: %v", got.at, got.err)
		}
	})
}

// A route with a bucket of its own may come to count to the usual one.
func TestRouteThatCountsToTheUsualBucketAgainGoesByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		resource, left := "x", 50
		w.answer = func(name string) *http.Response {
			if name == "b" {
				return w.left(200, 100, left, time.Hour, resource)
			}
			return w.left(200, 100, 50, time.Hour, "core")
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for _, name := range []string{"a", "a", "b"} {
			c.call(t.Context(), name)
		}
		resource, left = "core", 0
		c.call(t.Context(), "b")
		if got := g.waitOf("/b"); got != time.Hour {
			t.Errorf("the next waits for %v, want 1h", got)
		}
	})
}

// Two gates are closed: a refusal named the time of the first that it saw.
func TestRefusalNamesTheLastOfTheGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := unlimited()
		s.MaxWait = time.Second
		groups := newGroups(t, s, s)
		way := limit.Way{Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}, {Table: 1, Key: byHost}}}
		c := newCaller(t, groups[0], w)
		w.answer = func(string) *http.Response { return respond(503, "Retry-After", "40") }
		c.call(t.Context(), "a")
		w.answer = func(string) *http.Response { return respond(503, "Retry-After", "60") }
		c.rt = groups[1].Wrap(byHost)(w)
		c.call(t.Context(), "a")
		c.rt = groups[0].Quotas.Wrap(way)(w)
		got := c.call(t.Context(), "a")
		var refused *limit.RefusedError
		if !errors.As(got.err, &refused) || refused.RetryAfter != time.Minute {
			t.Errorf("%v, want a refusal for 1m", got.err)
		}
	})
}

// Each route with a bucket of its own had a lane, and lanes take turns: a caller with many
// such routes had as many turns as it had routes.
func TestCallerWithManyRoutesHasNoMoreTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			if name == "a" {
				return w.left(200, 5000, 4000, time.Hour, "core")
			}
			return w.left(200, 5000, 4000, time.Hour, "write")
		}
		s := claiming(unlimited())
		s.Concurrency = 1
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a a 1 2 3 4 5 6")
		time.Sleep(time.Minute)
		before := len(w.names())
		c.startAll(as(t.Context(), "many", limit.Normal), "1 2 3 4 5 6 1 2 3 4 5 6")
		c.start(as(t.Context(), "one", limit.Normal), "a")
		time.Sleep(time.Minute)
		if got := w.names()[before+1:]; got != "1 2 a 3 4 5 6 1 2 3 4 5 6" {
			t.Errorf("sent %s", got)
		}
	})
}
