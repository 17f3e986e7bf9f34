package cli

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/simulator"
)

// A wire leads to a simulator in memory, for a bubble of testing/synctest. A request
// is on its way for delay and up to spread more, and so is its answer. How much more
// depends on the seed, on X-Logical-Id and on how often that was sent, and on nothing
// else: so a run is the same in whatever order the goroutines of one instant run.
type wire struct {
	sim           *simulator.Simulator
	seed          uint64
	delay, spread time.Duration

	mu   sync.Mutex
	sent map[string]uint64 // X-Logical-Id → how often it was sent
}

func newWire(t *testing.T, seed uint64, delay, spread time.Duration) *wire {
	t.Helper()
	sim, err := simulator.New(simulator.Settings{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return &wire{sim: sim, seed: seed, delay: delay, spread: spread, sent: make(map[string]uint64)}
}

// RoundTrip brings a request to the simulator even if its caller is gone meanwhile:
// what is on the wire arrives.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	chance := w.chance(req.Header.Get("X-Logical-Id"))
	time.Sleep(w.delay + upTo(chance, w.spread))
	answer := httptest.NewRecorder()
	arrived := httptest.NewRequest(req.Method, req.URL.String(), nil)
	arrived.Header = req.Header.Clone()
	w.sim.ServeHTTP(answer, arrived)
	time.Sleep(w.delay + upTo(chance, w.spread))
	if err := context.Cause(req.Context()); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// chance is that of the next request with an id.
func (w *wire) chance(id string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[id]++
	return chanceOf(w.seed, id, w.sent[id])
}

// chanceOf is the chance of one thing that has a name and a number.
func chanceOf(seed uint64, name string, number uint64) *rand.Rand {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, sum.Sum64()+number))
}

// upTo is a random time in [0, most).
func upTo(chance *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(chance.Float64() * float64(most))
}

// through is the chain that a document has for GET calls to its upstream api, with w
// as its network.
func through(t *testing.T, w *wire, document string) http.RoundTripper {
	t.Helper()
	file, err := config.Parse("test.toml", []byte("[upstream.api]\nurl = \"http://api.test\"\n"+document))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	chance := chanceOf(w.seed, "outrider", 0)
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return w, nil },
		Jitter: func(most time.Duration) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return upTo(chance, most)
		},
		Observe: func(context.Context, policy.Event) {},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	api, _ := set.ByName("api")
	return api.Plan(http.MethodGet, "/")
}

// ask makes one request of a caller, which has an id of its own, and reads the answer.
// Status 0: there was none.
func ask(ctx context.Context, transport http.RoundTripper, target, caller, id string) (status int, header http.Header) {
	ctx = policy.WithControls(policy.WithCall(ctx, &policy.Call{Upstream: "api"}),
		policy.Controls{Caller: func() string { return caller }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.test"+target, nil)
	if err != nil {
		panic(err) // a target that the table of a test spells wrong
	}
	req.Header.Set("X-Logical-Id", id)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// idle waits, and reports whether ctx lasted so long.
func idle(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// oneQuota is the only quota of a simulator.
func oneQuota(stats simulator.Stats) simulator.QuotaStats {
	for _, q := range stats.Quotas {
		return q
	}
	return simulator.QuotaStats{}
}
