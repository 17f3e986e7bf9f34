package cli

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/egress"
	"outrider/proxy/simulator"
)

// A wire leads to a provider in memory, for a bubble of testing/synctest. A request
// is on its way for delay and up to spread more, and so is its answer. How much more
// depends on the seed, on X-Logical-Id and on how often that was sent, and on nothing
// else: so a run is the same in whatever order the goroutines of one instant run. One
// request in fifty stalls before it arrives.
type wire struct {
	sim           *simulator.Simulator
	provider      http.Handler // where it leads: to sim, or to what stands before it
	seed          uint64
	delay, spread time.Duration
	stall         time.Duration                // 0: none stalls
	sent          *chances                     // of requests, by X-Logical-Id
	refuses       func(req *http.Request) bool // that a connection for it is not taken; nil: none is
	trips         sync.WaitGroup               // of requests and their answers
}

func newWire(t *testing.T, seed uint64, delay, spread time.Duration) *wire {
	t.Helper()
	sim, err := simulator.New(simulator.Settings{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{sim: sim, provider: sim, seed: seed, delay: delay, spread: spread, sent: newChances(seed)}
	t.Cleanup(w.trips.Wait) // at the end of a bubble its time stands still
	return w
}

// RoundTrip brings a request to the provider even if its caller is gone meanwhile:
// what is on the wire arrives.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.refuses != nil && w.refuses(req) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &egress.Error{Kind: egress.DialFailed, Addr: "api.test:80", Err: syscall.ECONNREFUSED}
	}
	chance := w.sent.next(req.Header.Get("X-Logical-Id"))
	arrived, err := onTheWire(req)
	if err != nil {
		return nil, err
	}
	answered := make(chan *http.Response, 1)
	w.trips.Go(func() {
		time.Sleep(w.delay + upTo(chance, w.spread))
		if w.stall > 0 && chance.IntN(50) == 0 {
			time.Sleep(w.stall)
		}
		answer := w.serve(arrived)
		time.Sleep(w.delay + upTo(chance, w.spread))
		answered <- answer
	})
	select {
	case answer := <-answered:
		if answer == nil {
			return nil, &egress.Error{Kind: egress.Reset, Addr: "api.test:80", Sent: true, Err: syscall.ECONNRESET}
		}
		return answer, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// onTheWire is a request as it arrives, with all of its body. A provider that waits
// for its client to leave does so by the context.
func onTheWire(req *http.Request) (*http.Request, error) {
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	arrived := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.String(), bytes.NewReader(body))
	arrived.Header = req.Header.Clone()
	return arrived, nil
}

// serve is the provider's answer; nil: it broke the connection instead.
func (w *wire) serve(req *http.Request) (answer *http.Response) {
	defer func() {
		if broken := recover(); broken != nil && broken != http.ErrAbortHandler {
			panic(broken)
		}
	}()
	recorder := httptest.NewRecorder()
	w.provider.ServeHTTP(recorder, req)
	return recorder.Result()
}

// chances gives everything that has a name, and comes again and again, a chance of its
// own each time.
type chances struct {
	seed uint64

	mu   sync.Mutex
	came map[string]uint64 // name → how often it came
}

func newChances(seed uint64) *chances { return &chances{seed: seed, came: make(map[string]uint64)} }

func (c *chances) next(name string) *rand.Rand {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came[name]++
	return chanceOf(c.seed, name, c.came[name])
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

// through is the chain that a document has for calls to its upstream api, with w as its
// network.
func through(t *testing.T, w *wire, document string) http.RoundTripper {
	t.Helper()
	file, err := config.Parse("test.toml", []byte("[upstream.api]\nurl = \"http://api.test\"\n"+document))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	chance := chanceOf(w.seed, "outrider", 0)
	var keys atomic.Int64
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return w, nil },
		Jitter: func(most time.Duration) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return upTo(chance, most)
		},
		NewKey:  func() string { return fmt.Sprint("minted ", keys.Add(1)) },
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
	req, err := http.NewRequestWithContext(callOf(ctx, caller), http.MethodGet, "http://api.test"+target, nil)
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

// callOf is the context of one call of a caller.
func callOf(ctx context.Context, caller string) context.Context {
	return policy.WithControls(policy.WithCall(ctx, &policy.Call{Upstream: "api"}),
		policy.Controls{Caller: func() string { return caller }})
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
