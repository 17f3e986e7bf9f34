package simulator_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

// expect makes one call at each of the times after the first and compares the
// statuses.
func expect(t *testing.T, sim *simulator.Simulator, target string, calls []timed) {
	t.Helper()
	start := time.Now()
	for i, c := range calls {
		time.Sleep(time.Until(start.Add(c.at)))
		w := get(sim, target)
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("call %d at %s: %d Retry-After %q, want %d %q", i+1, c.at, w.Code, w.Header().Get("Retry-After"), c.status, c.retry)
		}
	}
}

type timed struct {
	at     time.Duration
	status int
	retry  string
}

func TestFixedWindowOpensWithItsFirstCallAndEndsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		time.Sleep(3 * time.Second) // no clock hour matters, only the first call
		expect(t, sim, "/limited/window/crm?limit=2&per=10s", []timed{
			{0, 200, ""},
			{4 * time.Second, 200, ""},
			{4 * time.Second, 429, "6"},
			{10*time.Second - 1, 429, "1"},
			{10 * time.Second, 200, ""}, // the next window begins with it
			{19 * time.Second, 200, ""},
			{19*time.Second + time.Millisecond, 429, "1"},
			{25 * time.Second, 200, ""},
		})
	})
}

func TestSlidingWindowForgetsCallByCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		expect(t, sim, "/limited/sliding/crm?limit=2&per=10s", []timed{
			{0, 200, ""},
			{4 * time.Second, 200, ""},
			{5 * time.Second, 429, "5"},
			{10*time.Second - 1, 429, "1"},
			{10 * time.Second, 200, ""}, // the first call has left, the second has not
			{10 * time.Second, 429, "4"},
			{14 * time.Second, 200, ""},
			{14 * time.Second, 429, "6"},
		})
	})
}

func TestBucketAdmitsItsBurstAndThenOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		expect(t, sim, "/limited/bucket/crm?limit=2&per=1s&burst=3", []timed{
			{0, 200, ""},
			{0, 200, ""},
			{0, 200, ""},
			{0, 429, "1"},
			{500*time.Millisecond - 1, 429, "1"},
			{500 * time.Millisecond, 200, ""},
			{500 * time.Millisecond, 429, "1"},
			{1500 * time.Millisecond, 200, ""}, // two have dropped in meanwhile
			{1500 * time.Millisecond, 200, ""},
			{1500 * time.Millisecond, 429, "1"},
			{time.Hour, 200, ""}, // never more than the burst
			{time.Hour, 200, ""},
			{time.Hour, 200, ""},
			{time.Hour, 429, "1"},
		})
	})
}

func TestConcurrencyCountsCallsUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		const target = "/limited/concurrency/crm?limit=2&per=3s&hold=5s"
		statuses := make(chan int, 3)
		for range 3 {
			go func() { statuses <- get(sim, target).Code }()
		}
		synctest.Wait()
		if got := <-statuses; got != 429 { // the other two are inside
			t.Fatalf("the third call got %d", got)
		}
		if s := sim.Stats(); s.InFlight != 2 || s.Peak != 3 || s.Quotas["concurrency/crm/"].Peak != 2 {
			t.Errorf("in flight %d, peak %d, quota %+v", s.InFlight, s.Peak, s.Quotas["concurrency/crm/"])
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if a, b := <-statuses, <-statuses; a != 200 || b != 200 {
			t.Errorf("the two inside got %d and %d", a, b)
		}
		if got := get(sim, "/limited/concurrency/crm?limit=2&per=3s").Code; got != 200 {
			t.Errorf("after they ended: %d", got)
		}
	})
}

// No span of the window's length ever holds more admitted calls than the limit.
func TestSlidingWindowNeverAdmitsMoreThanItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		chance := rand.New(rand.NewPCG(1, 2))
		const limit, per = 7, time.Second
		var admitted []time.Time
		for range 3000 {
			time.Sleep(time.Duration(chance.Int64N(int64(120 * time.Millisecond))))
			if get(sim, fmt.Sprintf("/limited/sliding/crm?limit=%d&per=%s", limit, per)).Code == 200 {
				admitted = append(admitted, time.Now())
			}
		}
		for i := limit; i < len(admitted); i++ {
			if span := admitted[i].Sub(admitted[i-limit]); span < per {
				t.Fatalf("%d calls within %s", limit+1, span)
			}
		}
		if len(admitted) < 500 {
			t.Errorf("only %d calls admitted", len(admitted))
		}
	})
}

// A caller that comes exactly when it is told to is let in, whatever the
// limiter and however the dialect rounds.
func TestComingWhenInvitedIsEnough(t *testing.T) {
	for _, kind := range []string{"window", "sliding", "bucket"} {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{})
			target := "/limited/" + kind + "/crm?limit=3&per=1s&burst=2&dialect=openai"
			chance := rand.New(rand.NewPCG(3, 4))
			for range 500 {
				w := get(sim, target)
				if w.Code == 200 {
					time.Sleep(time.Duration(chance.Int64N(int64(400 * time.Millisecond))))
					continue
				}
				ms, err := time.ParseDuration(w.Header().Get("Retry-After-Ms") + "ms")
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(ms)
				if w := get(sim, target); w.Code != 200 {
					t.Fatalf("%s: refused %s after being told to wait as long", kind, ms)
				}
			}
			if s := sim.Stats(); s.Violations != 0 || s.Throttled == 0 {
				t.Errorf("%s: %d violations, %d throttled", kind, s.Violations, s.Throttled)
			}
		})
	}
}

func TestQuotasAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{Limit: 1})
		first := []struct{ target, header, value string }{
			{"/limited/window/a/one", "Authorization", "Bearer x"},
			{"/limited/window/b/one", "Authorization", "Bearer x"},
			{"/limited/window/a/one", "Authorization", "Bearer y"},
			{"/limited/window/a/one", "X-Api-Key", "x"},
			{"/limited/sliding/a/one", "Authorization", "Bearer x"},
			{"/limited/window/a/one?key=k", "Authorization", "Bearer x"},
		}
		for _, c := range first {
			if got := get(sim, c.target, c.header, c.value).Code; got != 200 {
				t.Errorf("%+v: %d, although it is a quota of its own", c, got)
			}
		}
		for _, c := range []struct{ target, header, value string }{
			{"/limited/window/a/two", "Authorization", "Bearer x"},       // another path of the same name
			{"/limited/window/a/one?key=k", "Authorization", "Bearer z"}, // the key takes the credential's place
		} {
			if got := get(sim, c.target, c.header, c.value).Code; got != 429 {
				t.Errorf("%+v: %d, although the quota is spent", c, got)
			}
		}
	})
}

func TestViolationIsComingBeforeAnybodyWasInvited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{Grace: 50 * time.Millisecond})
		const target = "/limited/window/crm?limit=1&per=10s"
		start := time.Now()
		at := func(d time.Duration, wantStatus int, wantViolations int64) {
			t.Helper()
			time.Sleep(time.Until(start.Add(d)))
			code := get(sim, target).Code
			if s := sim.Stats(); code != wantStatus || s.Violations != wantViolations {
				t.Errorf("at %s: %d with %d violations, want %d with %d", d, code, s.Violations, wantStatus, wantViolations)
			}
		}
		at(0, 200, 0)
		at(2500*time.Millisecond, 429, 0) // invites for 10.5s: 7.5s rounded up
		at(2550*time.Millisecond, 429, 0) // was on the wire
		at(2551*time.Millisecond, 429, 1)
		at(9*time.Second, 429, 2) // and invites for 10s
		// The window is open again at 10s, where the latest refusal invited to.
		at(10*time.Second, 200, 2)
	})
}

func TestSilentDialectsKnowNoViolations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{Limit: 1, Per: time.Minute, Dialect: "stripe"})
		for range 5 {
			get(sim, "/limited/window/crm")
			time.Sleep(time.Second)
		}
		if s := sim.Stats(); s.Throttled != 4 || s.Violations != 0 {
			t.Errorf("%d throttled, %d violations", s.Throttled, s.Violations)
		}
	})
}

func TestLimitedRefusesNonsense(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	w := get(sim, "/limited/window/crm?limit=0&per=10&burst=x&dialect=klingon&hold=-1s")
	got := parse[struct{ Wrong []string }](t, w.Body.Bytes())
	if w.Code != http.StatusBadRequest || len(got.Wrong) != 5 {
		t.Errorf("%d %q", w.Code, got.Wrong)
	}
	if w := get(sim, "/limited/leaky/crm"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown limiter: %d", w.Code)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, set := range map[string]simulator.Settings{
		"dialect": {Dialect: "klingon"}, "limit": {Limit: -1}, "burst": {Burst: -1}, "per": {Per: time.Microsecond},
		"grace": {Grace: -1}, "lifetime": {TokenLifetime: -1}, "entries": {MaxEntries: -1},
	} {
		if _, err := simulator.New(set); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Many callers at once: what is admitted is exactly the limit.
func TestLimitHoldsUnderConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		for _, kind := range []string{"window", "sliding", "bucket"} {
			var wait sync.WaitGroup
			for range 100 {
				wait.Go(func() { get(sim, "/limited/"+kind+"/crm?limit=30&per=1m") })
			}
			wait.Wait()
			q := sim.Stats().Quotas[kind+"/crm/"]
			if q.Admitted != 30 || q.Throttled != 70 {
				t.Errorf("%s: %+v", kind, q)
			}
		}
	})
}

func BenchmarkStatus(b *testing.B) { benchmark(b, "/status/200") }

func BenchmarkLimited(b *testing.B) {
	benchmark(b, "/limited/bucket/crm?limit=1000000&per=1s")
}

func benchmark(b *testing.B, target string) {
	sim, err := simulator.New(simulator.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", target, nil)
	b.ReportAllocs()
	for b.Loop() {
		sim.ServeHTTP(httptest.NewRecorder(), r)
	}
}
