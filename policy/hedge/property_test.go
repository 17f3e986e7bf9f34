package hedge_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/hedge"
	"outrider/policy/policytest"
)

// inBubble checks a property in a synctest bubble.
func inBubble(t *testing.T, check func(*testing.T, *rapid.T)) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }() // rt ends a check by a panic, which belongs outside of the bubble
			check(t, rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

// TestRequestIsSlowAfterThe95thPercentileOfTheLast256 compares with sorting.
func TestRequestIsSlowAfterThe95thPercentileOfTheLast256(t *testing.T) {
	inBubble(t, func(t *testing.T, rt *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		spread := rapid.IntRange(1, 200).Draw(rt, "spread")
		var known []time.Duration
		stage := hedge.New(hedge.Settings{}, nil)
		for range 600 {
			d := time.Duration(10+random.IntN(spread)) * time.Millisecond
			policytest.Do(stage.Wrap(func(*http.Request) bool { return false })(wire(roundTripper(func(*http.Request) (*http.Response, error) {
				time.Sleep(d)
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			}))), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
			known = append(known, d)
			last := slices.Sorted(slices.Values(known[max(0, len(known)-256):]))
			var want time.Duration
			if n := len(last); n >= 20 {
				want = last[(95*n+99)/100-1]
			}
			if got := stage.State(); got.After != want || got.Known != len(last) {
				rt.Fatalf("slow after %v of %d answers, want %v of %d", got.After, got.Known, want, len(last))
			}
		}
	})
}

// TestWhateverHappens draws what a provider does, and holds the promises against it:
//
//   - of any calls in a row, no more than 5 % and ten have a second request, and of all
//     calls so far no more than 5 %;
//   - no call has more than two requests, and none is under way or open afterwards;
//   - a call fails only if all of its requests do.
func TestWhateverHappens(t *testing.T) {
	inBubble(t, func(t *testing.T, rt *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		w := &provider{random: random, slow: rapid.Float64Range(0, 1).Draw(rt, "slow"), broken: rapid.Float64Range(0, 1).Draw(rt, "broken")}
		stage := hedge.New(hedge.Settings{}, nil)
		rt2 := stage.Wrap(nil)(wire(w))
		calls := rapid.IntRange(1, 400).Draw(rt, "calls")
		var second []int // calls that had one
		for i := range calls {
			if i > calls/2 && rapid.Bool().Draw(rt, "recovers") {
				w.broken = 0
			}
			w.sent, w.good = 0, 0
			got := policytest.Do(rt2, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
			switch {
			case w.sent > 2:
				rt.Fatalf("call %d had %d requests", i, w.sent)
			case w.sent == 2:
				second = append(second, i)
			}
			if w.open != 0 || w.under != 0 {
				rt.Fatalf("call %d leaves %d bodies open and %d requests under way", i, w.open, w.under)
			}
			if got.Err != nil && w.good > 0 {
				rt.Fatalf("call %d failed beside a good answer: %v", i, got.Err)
			}
			if allowed := (i + 1) / 20; len(second) > allowed {
				rt.Fatalf("%d second requests in %d calls", len(second), i+1)
			}
		}
		for i, from := range second {
			for j, to := range second[i:] {
				if n := float64(j + 1); n > 10+float64(to-from+1)/20 {
					rt.Fatalf("%v second requests from call %d to %d", n, from, to)
				}
			}
		}
	})
}

// A provider is slow, and broken, at random.
type provider struct {
	slow, broken float64

	mu                      sync.Mutex
	random                  *rand.Rand
	sent, good, open, under int
}

func (p *provider) count(n *int, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*n += by
}

func (p *provider) RoundTrip(req *http.Request) (*http.Response, error) {
	p.count(&p.sent, 1)
	p.count(&p.under, 1)
	defer p.count(&p.under, -1)
	p.mu.Lock()
	took := time.Duration(p.random.IntN(50)) * time.Millisecond
	if p.random.Float64() < p.slow {
		took *= 20
	}
	broken := p.random.Float64() < p.broken
	p.mu.Unlock()
	select {
	case <-time.After(took):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if broken {
		return nil, io.ErrUnexpectedEOF
	}
	p.count(&p.good, 1)
	p.count(&p.open, 1)
	return &http.Response{StatusCode: 200, Body: &closing{strings.NewReader("body"), func() { p.count(&p.open, -1) }}}, nil
}

type closing struct {
	io.Reader
	close func()
}

func (c *closing) Close() error {
	c.close()
	return nil
}
