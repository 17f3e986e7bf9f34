package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

// The benchmark 429 asks what becomes of calls that come in bursts, from several
// clients with one key, to a provider that allows 100 of them in 10 seconds. Its time
// is that of testing/synctest, and its chance has seeds: each run prints the same.
const (
	rush429     = 22.0 // calls per second in the first 6 of each 20 seconds, from all clients together
	calm429     = 2.5  // and in the other 14: in all 83 % of what the provider allows
	lasts429    = 2 * time.Minute
	deadline429 = 30 * time.Second // a call that is not good by then is lost
	workers429  = 8                // calls that a client makes at a time; the others wait inside of it
	delay429    = 20 * time.Millisecond
	spread429   = 20 * time.Millisecond // of each way, on top of delay429
)

var seeds429 = []uint64{1, 2, 3, 4, 5}

// A limiter429 is how the provider counts, and how a client of ours would say it.
type limiter429 struct {
	name, target, known string
	learned             float64 // how many of the calls are good at least where nothing is set
}

var limiters429 = []limiter429{
	{"fixed window, RateLimit", "/limited/window/default?limit=100&per=10s&dialect=ietf", `limit = { rate = "100/10s", shape = "window", max_wait = "30s" }`, 1},
	{"fixed window, no headers", "/limited/window/default?limit=100&per=10s&dialect=none", `limit = { rate = "100/10s", shape = "window", max_wait = "30s" }`, 0.95},
	{"token bucket, Retry-After", "/limited/bucket/default?limit=100&per=10s&burst=20&dialect=slack", `limit = { rate = "100/10s", burst = 20, max_wait = "30s" }`, 0.95},
	{"sliding window, no headers", "/limited/sliding/default?limit=100&per=10s&dialect=none", `limit = { rate = "100/10s", max_wait = "30s" }`, 0.97},
}

// An arrival429 is one call: when it comes, and from which client.
type arrival429 struct {
	at     time.Duration
	client int
}

// arrivals429 are Poisson arrivals whose rate is that of the rush or of the calm: those
// of the rush, of which in the calm only a share is kept.
func arrivals429(seed uint64, clients int) []arrival429 {
	chance := chanceOf(seed, "load", 0)
	var all []arrival429
	for at := time.Duration(0); ; {
		at += time.Duration(chance.ExpFloat64() / rush429 * float64(time.Second))
		if at >= lasts429 {
			return all
		}
		kept := at%(20*time.Second) < 6*time.Second || chance.Float64() < calm429/rush429
		if client := chance.IntN(clients); kept {
			all = append(all, arrival429{at, client})
		}
	}
}

// An outcome429 is what became of the calls of all seeds.
type outcome429 struct {
	calls, good       int
	requests, refused int64           // at the provider: all, and those that were answered 429
	waits             []time.Duration // of each call until it was good; deadline429 if it never was
	fairness          float64         // mean over the seeds of Jain's index of the clients' shares of good calls
}

// play429 lets the calls of all seeds come to a limiter.
func play429(t *testing.T, l limiter429, clients int, s strategy429) outcome429 {
	var sum outcome429
	for _, seed := range seeds429 {
		synctest.Test(t, func(t *testing.T) { sum.add(playSeed429(t, l, clients, s, seed)) })
	}
	sum.fairness /= float64(len(seeds429))
	slices.Sort(sum.waits)
	return sum
}

func (o *outcome429) add(other outcome429) {
	o.calls += other.calls
	o.good += other.good
	o.requests += other.requests
	o.refused += other.refused
	o.waits = append(o.waits, other.waits...)
	o.fairness += other.fairness
}

func playSeed429(t *testing.T, l limiter429, clients int, s strategy429, seed uint64) outcome429 {
	w := newWire(t, seed, delay429, spread429)
	var transport http.RoundTripper = w
	if s.outrider != nil {
		transport = through(t, w, "timeout = \"30s\"\n"+s.outrider(l)+"\n")
	}
	arrivals := arrivals429(seed, clients)
	waits := make([]time.Duration, len(arrivals))
	workers := make([]chan struct{}, clients)
	for i := range workers {
		workers[i] = make(chan struct{}, workers429)
	}
	var running sync.WaitGroup
	for i, a := range arrivals {
		running.Go(func() {
			time.Sleep(a.at)
			ctx, cancel := context.WithTimeout(t.Context(), deadline429)
			defer cancel()
			begun := time.Now()
			waits[i] = deadline429
			select {
			case workers[a.client] <- struct{}{}:
				defer func() { <-workers[a.client] }()
			case <-ctx.Done():
				return
			}
			caller, id := fmt.Sprint("client ", a.client), fmt.Sprint("call ", i)
			if s.call(ctx, chanceOf(seed, id, 0), func() (int, http.Header) { return ask(ctx, transport, l.target, caller, id) }) {
				waits[i] = time.Since(begun)
			}
		})
	}
	running.Wait()

	stats := w.sim.Stats()
	o := outcome429{calls: len(arrivals), requests: stats.Requests, refused: stats.Throttled, waits: waits}
	offered, served := make([]float64, clients), make([]float64, clients)
	for i, a := range arrivals {
		offered[a.client]++
		if waits[i] < deadline429 {
			o.good++
			served[a.client]++
		}
	}
	o.fairness = jain(served, offered)
	return o
}

// jain is Jain's index of fairness (R. Jain, D. Chiu, W. Hawe, 1984) of each client's
// share: 1 where all have the same, 1/n where one has everything.
func jain(served, offered []float64) float64 {
	var sum, squares, n float64
	for i := range served {
		if offered[i] > 0 {
			share := served[i] / offered[i]
			sum, squares, n = sum+share, squares+share*share, n+1
		}
	}
	return sum * sum / (n * squares)
}

func (o *outcome429) goodput() float64 { return float64(o.good) / float64(o.calls) }

func (o *outcome429) perSuccess(n int64) float64 { return float64(n) / float64(o.good) }

// quantile is of all calls. waits have to be in order.
func (o *outcome429) quantile(q float64) time.Duration {
	return o.waits[int(math.Ceil(q*float64(len(o.waits))))-1]
}

// A claim429 is what has to hold of Outrider, with 16 clients.
type claim429 struct {
	strategy strategy429
	least    float64 // share of the calls that are good
	refused  float64 // 429 for each good call, at most
}

// Whatever becomes of the figures, this has to stay: where the limit is known, by its
// headers or because it is set, no call is lost, and hardly any is refused; and nowhere
// are as many refused as without Outrider. It costs little time: a line that is in order
// is a little slower than a crowd that happens to be lucky.
func TestCallsInBurstsAreBetterOffWithOutrider(t *testing.T) {
	for _, l := range limiters429 {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			alone := play429(t, l, 16, retryAfter429)
			for _, c := range []claim429{
				// Not never: on the wire calls can come closer together than they were sent.
				{strategy: limitSet429, least: 1, refused: 0.02},
				{strategy: nothingSet429, least: l.learned, refused: 0.2},
			} {
				t.Run(c.strategy.name, func(t *testing.T) {
					c.check(t, play429(t, l, 16, c.strategy), alone)
				})
			}
		})
	}
}

func (c claim429) check(t *testing.T, o, alone outcome429) {
	t.Helper()
	if o.goodput() < c.least {
		t.Errorf("%.4f of the calls are good, want %.4f; without Outrider %.4f are", o.goodput(), c.least, alone.goodput())
	}
	if refused := o.perSuccess(o.refused); refused > c.refused || o.refused > alone.refused {
		t.Errorf("%.3f times 429 for each good call, want at most %.3f; without Outrider it is %.3f", refused, c.refused, alone.perSuccess(alone.refused))
	}
	if late := o.quantile(0.95); late > alone.quantile(0.95)*12/10 {
		t.Errorf("of 20 calls one waits for %v; without Outrider %v", late, alone.quantile(0.95))
	}
	if o.fairness < 0.999 {
		t.Errorf("the fairness is %.4f; without Outrider %.4f", o.fairness, alone.fairness)
	}
}

// table429 prints one line for each limiter, number of clients and strategy.
func table429(t *testing.T, out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "100 calls in 10s, as\tclients\tstrategy\tgood\t429/good\tattempts/good\tp50\tp95\tfairness")
	for _, l := range limiters429 {
		for _, clients := range []int{1, 16} {
			for _, s := range strategies429 {
				o := play429(t, l, clients, s)
				fmt.Fprintf(table, "%s\t%d\t%s\t%.1f %%\t%.2f\t%.2f\t%.2fs\t%.2fs\t%.3f\n", l.name, clients, s.name,
					100*o.goodput(), o.perSuccess(o.refused), o.perSuccess(o.requests), o.quantile(0.5).Seconds(), o.quantile(0.95).Seconds(), o.fairness)
			}
		}
	}
}

// Benchmark429 prints the table: see printed.
func Benchmark429(b *testing.B) { printed(b, "TestPrint429") }

// TestPrint429 is no test: it is the table of Benchmark429.
func TestPrint429(t *testing.T) {
	if os.Getenv("OUTRIDER_TEST_PRINT") == "" {
		return
	}
	table429(t, os.Stdout)
}
