package limit_test

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// unlimited has no rate of its own: what there is to know is learned.
func unlimited() limit.Settings {
	return limit.Settings{Learn: true, MaxWait: 2 * time.Hour, MaxQueue: 10000, Style: pace.Spend}
}

// left is an answer about a window that ends some time after the wire began.
func (w *wire) left(status, limit, remaining int, end time.Duration, resource string) *http.Response {
	reset := strconv.FormatInt(w.start.Add(end).Unix(), 10)
	return respond(status, "X-Ratelimit-Limit", strconv.Itoa(limit), "X-Ratelimit-Remaining", strconv.Itoa(remaining),
		"X-Ratelimit-Reset", reset, "X-Ratelimit-Resource", resource)
}

// waitOf is how long a call to a path would wait now.
func (g *group) waitOf(path string) time.Duration {
	_, wait := g.Quotas.Forecast(g.way(1, byHost), &http.Request{Method: "GET", URL: &url.URL{Host: "api.example", Path: path}}, limit.Claim{})
	return wait
}

// Searches have a quota of their own at GitHub. When it is spent, even by the first call
// of all, searches wait, and nothing else.
func TestQuotaOfARouteHoldsUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			if strings.HasPrefix(name, "search") {
				return w.left(200, 30, 0, 50*time.Second, "search")
			}
			return w.left(200, 5000, 4000, time.Hour, "core")
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "search/code")
		if got := g.waitOf("/search/code"); got != 50*time.Second {
			t.Errorf("the next search waits for %v, want 50s", got)
		}
		if got := g.waitOf("/repos/a/b/issues/1"); got != 0 {
			t.Errorf("another call waits for %v", got)
		}
		for range 3 {
			c.call(t.Context(), "repos/a/b")
		}
		if got := c.call(t.Context(), "search/code"); got.at != 50*time.Second {
			t.Errorf("the next search went at %v", got.at)
		}
		states := g.Snapshot()
		if len(states) != 3 || states[1].Bucket != "core" || states[2].Bucket != "search" {
			t.Fatalf("%+v", states)
		}
		if core := states[1].Learned; core == nil || core.Limit != 5000 || core.Remaining != 4000 || core.Shape != "window" || !core.Reset.Equal(w.start.Add(time.Hour)) {
			t.Errorf("known of core: %+v", core)
		}
	})
}

// The bucket that most calls count to is found out by majority, whatever its name.
func TestUsualBucketIsTheOneOfMostRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response { return w.left(200, 100, 0, time.Minute, "tier-one") }
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "customers/1")
		if got := g.waitOf("/invoices/3"); got != 0 {
			t.Errorf("after one answer, another route waits for %v", got)
		}
		c.call(t.Context(), "orders/2")
		if got := g.waitOf("/invoices/3"); got != time.Minute {
			t.Errorf("after two, it waits for %v, want 1m", got)
		}
	})
}

// Calls to things of one kind count to one bucket. Each of them was a route of its own,
// of which nothing was known before it was sent: a batch of them went out against a bucket
// that was spent.
func TestThingsOfOneKindAreOneRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			if strings.Contains(name, "items") {
				return w.left(200, 30, 0, 50*time.Second, "items")
			}
			return w.left(200, 5000, 4000, time.Hour, "core")
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for _, name := range []string{"v1/a", "v1/b", "v1/items/17"} {
			c.call(t.Context(), name)
		}
		for path, want := range map[string]time.Duration{
			"/v1/items/18": 50 * time.Second, "/v1/items/7c9e6679": 50 * time.Second, "/v1/items": 50 * time.Second,
			"/v1/a": 0, "/v1/others/18": 0, "/v2": 0, "/": 0, "": 0,
		} {
			if got := g.waitOf(path); got != want {
				t.Errorf("%s waits for %v, want %v", path, got, want)
			}
		}
	})
}

// What is remembered of a route is short, however long its path was.
func TestRoutesAreBounded(t *testing.T) {
	w := newWire()
	n := 0
	w.answer = func(string) *http.Response {
		n++
		return w.left(200, 1e6, 9e5, time.Minute, []string{"odd", "even"}[n%2])
	}
	g := newGroup(t, unlimited(), nil)
	c := newCaller(t, g, w)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 1000 {
		name := strings.Repeat(string('a'+rune(i%26)), i/26+1) // one path, but in its parts as short as can be
		c.call(t.Context(), name+"/"+strings.Repeat("x", 100_000)+"/"+name)
		w.sent = nil
	}
	if grown := int64(heap()) - int64(before); grown > 5e6 {
		t.Errorf("%d bytes are kept", grown)
	}
	runtime.KeepAlive(g)
}

// Before the first answer nothing is known of a quota, and many calls may be on their
// way. The answer may or may not have counted them.
func TestCallsSentBeforeTheFirstAnswerAreSubtracted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		var remaining atomic.Int64
		remaining.Store(20)
		w.answer = func(name string) *http.Response {
			left := int(remaining.Add(-1))
			n, _ := strconv.Atoi(name)
			time.Sleep(time.Duration(n+1) * time.Second)
			return w.left(200, 20, left, time.Hour*(1+time.Since(w.start)/time.Hour), "core")
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for i := range 12 {
			c.start(t.Context(), strconv.Itoa(i))
		}
		time.Sleep(time.Second + time.Millisecond) // one answer: 19 are left, and 11 on their way
		for i := range 12 {
			c.start(t.Context(), strconv.Itoa(20+i))
		}
		if got := len(w.times()); got != 20 {
			t.Errorf("%d were sent, want 20", got)
		}
		time.Sleep(time.Hour - 2*time.Second)
		if got := len(w.times()); got != 20 {
			t.Errorf("%d were sent before the reset", got)
		}
		remaining.Store(21)
		time.Sleep(time.Minute)
		if got := len(w.times()); got != 24 {
			t.Errorf("%d were sent in all, want 24", got)
		}
		time.Sleep(time.Hour)
	})
}

// An answer that leaves less than was thought refuses at once those in line who will not
// have a turn in time, and tells them when there is one.
func TestWhoWillBeTooLateIsRefusedByTheAnswerThatTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(string) *http.Response {
			time.Sleep(time.Second)
			return w.left(200, 100, 0, time.Hour, "core")
		}
		s := unlimited()
		s.Concurrency, s.MaxWait = 1, time.Minute
		c := newCaller(t, newGroup(t, s, nil), w)
		c.start(t.Context(), "a")
		refused := c.start(t.Context(), "b")
		time.Sleep(time.Second)
		wantRefusal(t, <-refused, time.Second, limit.QuotaExhausted, time.Hour-time.Second)
	})
}

// Only the bucket that is spent is closed by a refusal that names it.
func TestRefusalOfABucketClosesThatBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			if name != "search/code" {
				return w.left(200, 5000, 4000, time.Hour, "core")
			}
			resp := w.left(429, 30, 0, time.Minute, "search")
			resp.Header.Set("Retry-After", "7")
			return resp
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "repos/a")
		c.call(t.Context(), "search/code")
		if got := g.waitOf("/search/code"); got != 7*time.Second {
			t.Errorf("the next search waits for %v, want 7s: Retry-After goes first", got)
		}
		if got := g.waitOf("/repos/a"); got != 0 {
			t.Errorf("others wait for %v", got)
		}
	})
}

// A provider may say how many calls may be on their way at once (the unit
// concurrent-requests of the IETF draft).
func TestCallsAtOnceAreLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			return respond(200, "Ratelimit-Policy", `"default";q=2;qu="concurrent-requests"`, "Ratelimit", `"default";r=1`)
		}
		c := newCaller(t, newGroup(t, unlimited(), nil), w)
		c.call(t.Context(), "first")
		c.startAll(t.Context(), "a b c d")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 1000, 1000, 2000, 2000)...)
	})
}

// Slots that no answer speaks of any more are forgotten, as all that is learned is: they
// held for ever.
func TestCallsAtOnceAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		policy := []string{"Ratelimit-Policy", `"default";q=1;qu="concurrent-requests"`}
		w.answer = func(string) *http.Response { time.Sleep(time.Second); return respond(200, policy...) }
		c := newCaller(t, newGroup(t, unlimited(), nil), w)
		c.call(t.Context(), "first")
		policy = nil
		c.startAll(t.Context(), "a b")
		time.Sleep(2 * time.Minute)
		c.startAll(t.Context(), "c d")
		time.Sleep(2 * time.Minute)
		c.startAll(t.Context(), "e f")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 1000, 2000, 121000, 122000, 241000, 241000)...)
	})
}

// Where answers say nothing but that it was too much, the calls get slower, and then
// faster again.
func TestRefusalsWithoutATimeSlowTheCallsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		var mu sync.Mutex // guards these
		second, used, refused := time.Now(), 0, 0
		w.answer = func(string) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(second) >= time.Second {
				second, used = time.Now(), 0
			}
			if used++; used > 20 {
				refused++
				return respond(429)
			}
			return nil
		}
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for i := range 5000 {
			go c.call(t.Context(), fmt.Sprint(i))
			time.Sleep(10 * time.Millisecond)
		}
		if sent := len(w.times()); refused > 30 || sent < 850 {
			t.Errorf("%d of %d were refused, of 1000 that may go; unpaced, 4000 are", refused, sent)
		}
		if got := g.Snapshot()[0].Adapted; got < 5 || got > 40 {
			t.Errorf("%v a second are let pass, of 20", got)
		}
		time.Sleep(2 * time.Hour)
		for range 30 {
			c.call(t.Context(), "x")
			time.Sleep(time.Second)
		}
		if got := g.Snapshot()[0].Adapted; got != 0 {
			t.Errorf("%v a second are let pass after half a minute without a refusal", got)
		}
	})
}

// A reload keeps what was learned; without learn it is gone, and holds up nobody.
func TestReloadKeepsWhatWasLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(string) *http.Response { return w.left(200, 100, 0, time.Minute, "core") }
		g := newGroup(t, unlimited(), nil)
		newCaller(t, g, w).call(t.Context(), "a")
		s := unlimited()
		s.Concurrency = 5
		next := newGroup(t, s, g)
		next.Adopt()
		c := newCaller(t, next, w)
		c.start(t.Context(), "b")
		if got := next.waitOf("/a"); got != time.Minute {
			t.Errorf("after a reload, the next waits for %v, want 1m", got)
		}
		s.Learn = false
		newGroup(t, s, next).Adopt()
		synctest.Wait()
		wantTimes(t, w, 0, 0)
	})
}

// Names of buckets come from outside: only so many are kept.
func TestBucketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		n := 0
		w.answer = func(string) *http.Response { n++; return w.left(200, 100, 50, time.Minute, fmt.Sprint("b", n)) }
		g := newGroup(t, unlimited(), nil)
		c := newCaller(t, g, w)
		for i := range 1000 {
			c.call(t.Context(), fmt.Sprint(i, "/", i))
		}
		if got := len(g.Snapshot()); got > 65 {
			t.Errorf("%d quotas are kept", got)
		}
	})
}

// A rate that is configured and learned is one: nothing is spread that the provider
// counts by windows.
func TestConfiguredLimitIsSpentWhereAnswersTellWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		remaining := 100
		w.answer = func(string) *http.Response { remaining--; return w.left(200, 100, remaining, 10*time.Second, "core") }
		s := unlimited()
		s.Count, s.Per, s.Kind = 100, 10*time.Second, pace.Even
		c := newCaller(t, newGroup(t, s, nil), w)
		for i := range 90 {
			if got := c.call(t.Context(), fmt.Sprint(i)); got.at != 0 {
				t.Fatalf("call %d went at %v", i, got.at)
			}
		}
	})
}
