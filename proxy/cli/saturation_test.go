package cli

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

// A saturation is a limiter at which more calls wait than it lets pass, all the time.
type saturation struct {
	name, target string
	costs        []string      // of queries that are made in turns, as parameters of the target; nil: calls, that cost one
	document     string        // what stands in the upstream's table
	spread       time.Duration // of each way, on top of its 5ms
	stall        time.Duration // of some requests, on top of that
	limit        int           // of the target: calls, or points, in each per, or at once for per each
	per          time.Duration
}

// crowd is how many calls each process makes at a time.
const crowd = 8

// processes are how many of them there are.
var processes = []int{1, 4, 16}

// configured are limits that Outrider is told of.
var configured = []saturation{
	{name: "window", target: "/limited/window/default?limit=100&per=1s&dialect=none",
		document: `limit = { rate = "100/s", shape = "window" }`, limit: 100, per: time.Second},
	{name: "window that is told", target: "/limited/window/default?limit=100&per=10s&dialect=ietf",
		document: `limit = { rate = "100/10s", shape = "window" }`, limit: 100, per: 10 * time.Second},
	{name: "window on a varying wire", target: "/limited/window/default?limit=100&per=1s&dialect=none",
		document: `limit = { rate = "100/s", shape = "window" }`, spread: 5 * time.Millisecond, limit: 100, per: time.Second},
	{name: "window that is told, on a varying wire", target: "/limited/window/default?limit=100&per=10s&dialect=ietf",
		document: `limit = { rate = "100/10s", shape = "window" }`, spread: 5 * time.Millisecond, limit: 100, per: 10 * time.Second},
	{name: "sliding", target: "/limited/sliding/default?limit=100&per=1s&dialect=none",
		document: `limit = { rate = "100/s" }`, limit: 100, per: time.Second},
	{name: "sliding on a varying wire", target: "/limited/sliding/default?limit=100&per=1s&dialect=none",
		document: `limit = { rate = "100/s" }`, spread: 5 * time.Millisecond, limit: 100, per: time.Second},
	{name: "bucket", target: "/limited/bucket/default?limit=100&per=1s&burst=20&dialect=none",
		document: `limit = { rate = "100/s", burst = 20 }`, limit: 100, per: time.Second},
	{name: "bucket on a varying wire", target: "/limited/bucket/default?limit=100&per=1s&burst=20&dialect=none",
		document: `limit = { rate = "100/s", burst = 20 }`, spread: 5 * time.Millisecond, limit: 100, per: time.Second},
	{name: "sliding on a wire that stalls", target: "/limited/sliding/default?limit=100&per=1s&dialect=none",
		document: `limit = { rate = "100/s" }`, spread: 5 * time.Millisecond, stall: 100 * time.Millisecond, limit: 100, per: time.Second},
	{name: "concurrency", target: "/limited/concurrency/default?limit=4&hold=500ms&dialect=none",
		document: `limit = { concurrency = 4 }`, limit: 4, per: 500 * time.Millisecond},
	{name: "concurrency on a varying wire", target: "/limited/concurrency/default?limit=4&hold=500ms&dialect=none",
		document: `limit = { concurrency = 4 }`, spread: 5 * time.Millisecond, limit: 4, per: 500 * time.Millisecond},
}

// unknown are limits of 100 calls in 10s that Outrider is told of by nobody but their own
// headers, each by the limiter that the providers of its dialect have.
var unknown = []struct {
	dialect, limiter string
	used             float64 // of the quota, at least: to send next to nothing would be no way to meet no refusal
}{
	{dialect: "ietf", limiter: "window/default?", used: 0.5},
	{dialect: "draft07", limiter: "window/default?", used: 0.5},
	{dialect: "draft06", limiter: "window/default?", used: 0.5},
	{dialect: "gitlab", limiter: "window/default?", used: 0.5},
	{dialect: "github", limiter: "window/core?", used: 0.5},
	{dialect: "openai", limiter: "bucket/default?burst=20&", used: 0.5},
	{dialect: "anthropic", limiter: "bucket/default?burst=20&", used: 0.5},
	{dialect: "shopify", limiter: "bucket/default?burst=40&", used: 0.5},
	{dialect: "hubspot", limiter: "sliding/default?", used: 0.5},
	{dialect: "atlassian", limiter: "bucket/default?burst=20&", used: 0.02}, // it names whole minutes
}

// figures are what was counted while a limiter was saturated.
type figures struct {
	quota    simulator.QuotaStats // in the measured time
	total    simulator.QuotaStats // from the first call on
	refused  int64                // answers to clients that were not 200, from the first call on
	measured time.Duration
}

// run has processes ask for what they get, all the time. What is measured begins after
// warmUp, and is a multiple of the windows.
func (s saturation) run(t *testing.T, processes int, warmUp, measured time.Duration) (f figures) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, 1, 5*time.Millisecond, s.spread)
		w.stall = s.stall
		transport := through(t, w, s.document)
		ctx, cancel := context.WithCancel(t.Context())
		var refused atomic.Int64
		var running sync.WaitGroup
		for i := range processes * crowd {
			running.Go(func() {
				caller := fmt.Sprint("process ", i%processes)
				for n := 0; ctx.Err() == nil; n++ {
					status, _ := ask(ctx, transport, s.targetOf(i*19+n), caller, fmt.Sprint("call ", i, " ", n))
					if status != http.StatusOK && ctx.Err() == nil {
						refused.Add(1)
						idle(ctx, time.Second)
					}
				}
			})
		}
		time.Sleep(warmUp + 2*time.Millisecond) // when no window begins
		before := oneQuota(w.sim.Stats())
		time.Sleep(measured)
		f.total, f.refused, f.measured = oneQuota(w.sim.Stats()), refused.Load(), measured
		f.quota = simulator.QuotaStats{
			Admitted: f.total.Admitted - before.Admitted, Throttled: f.total.Throttled - before.Throttled,
			Violations: f.total.Violations - before.Violations, Points: f.total.Points - before.Points,
		}
		cancel()
		running.Wait()
	})
	return f
}

// targetOf is that of the n-th call.
func (s saturation) targetOf(n int) string {
	if s.costs == nil {
		return s.target
	}
	return s.target + "&" + s.costs[n%len(s.costs)]
}

// used is the share of the quota that was used in the measured time.
func (s saturation) used(f figures) float64 {
	spent := f.quota.Admitted
	if s.costs != nil {
		spent = f.quota.Points
	}
	return float64(spent) / (float64(s.limit) * float64(f.measured) / float64(s.per))
}

// A limit that Outrider knows is never passed, and hardly any of it stays unused, however
// many processes share it.
func TestConfiguredLimitIsUsedAndNeverPassed(t *testing.T) {
	for _, s := range configured {
		for _, n := range processes {
			t.Run(fmt.Sprint(s.name, "/", n), func(t *testing.T) {
				t.Parallel()
				f := s.run(t, n, 10*time.Second, 10*time.Second)
				if f.refused != 0 || f.total.Throttled != 0 || f.total.Violations != 0 {
					t.Errorf("%d refusals for clients, %d for us, %d violations; want none", f.refused, f.total.Throttled, f.total.Violations)
				}
				if used := s.used(f); used < 0.95 || used > 1 {
					t.Errorf("%.3f of the quota was used, want 0.95 to 1", used)
				}
			})
		}
	}
}

// After the first minute, what the headers say is enough: of 100 calls at most one is
// refused by the provider.
func TestUnknownLimitIsLearnedFromItsHeaders(t *testing.T) {
	for _, u := range unknown {
		s := saturation{
			target: "/limited/" + u.limiter + "limit=100&per=10s&dialect=" + u.dialect,
			spread: 5 * time.Millisecond, limit: 100, per: 10 * time.Second,
		}
		for _, n := range processes {
			t.Run(fmt.Sprint(u.dialect, "/", n), func(t *testing.T) {
				t.Parallel()
				f := s.run(t, n, time.Minute, time.Minute)
				calls := f.quota.Admitted + f.quota.Throttled
				if f.quota.Throttled*100 > calls || f.quota.Violations != 0 {
					t.Errorf("of %d calls %d were refused, want 1 in 100 at most; %d violations, want none", calls, f.quota.Throttled, f.quota.Violations)
				}
				if used := s.used(f); used < u.used {
					t.Errorf("%.3f of the quota was used, want at least %v", used, u.used)
				}
			})
		}
	}
}

// mixes are queries that are made of a bucket of 1000 points, which gets back 50 a second.
var mixes = map[string][]string{
	"all alike":                   {"cost=10"},
	"cheap":                       {"cost=3"},
	"to be given back for most":   {"cost=100&actual=25"},
	"dear and cheap":              {"cost=400&actual=90", "cost=10", "cost=10", "cost=42&actual=12", "cost=10"},
	"as dear as can be":           {"cost=1000&actual=200"},
	"slow":                        {"cost=100&actual=40&hold=1s"},
	"slow and dear, and the rest": {"cost=400&actual=90&hold=2s", "cost=10&actual=2", "cost=10", "cost=42&actual=12&hold=300ms"},
}

// After the first minute, what GraphQL says of its points in good answers is enough, too:
// of 100 queries at most one is THROTTLED.
func TestUnknownPointsAreLearnedFromGoodAnswers(t *testing.T) {
	for name, costs := range mixes {
		s := saturation{
			target: "/graphql/shop?maximum=1000&restore=50", costs: costs, document: "preset = \"shopify\"\nauth = { type = \"none\" }",
			spread: 5 * time.Millisecond, limit: 50, per: time.Second,
		}
		for _, n := range processes {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				t.Parallel()
				f := s.run(t, n, time.Minute, 2*time.Minute)
				calls := f.quota.Admitted + f.quota.Throttled
				if f.quota.Throttled*100 > calls {
					t.Errorf("of %d queries %d were refused, want 1 in 100 at most", calls, f.quota.Throttled)
				}
				if used := s.used(f); used < 0.95 {
					t.Errorf("%.3f of the points were used, want at least 0.95", used)
				}
			})
		}
	}
}
