package breaker_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

const (
	many = 4096     // circuits of a Group: those that are not used go from then on
	most = 8 * many // there are at any time
)

func hostRequest(t testing.TB, i int) *http.Request {
	return policytest.NewRequest(t, "GET", fmt.Sprintf("https://h%d.test/", i), "")
}

// answering is an upstream without a script, for many calls.
type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func status(code int) (*http.Response, error) {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}, nil
}

func TestEachKeyHasItsCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, failed, fine)
		g := newGroup(t, quick(), nil)
		rt := g.Wrap(byHost)(up)
		policytest.Do(rt, hostRequest(t, 1))
		if a := policytest.Do(rt, hostRequest(t, 2)); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
		states := g.Snapshot()
		if len(states) != 2 || states[0].Key != "h1.test" || states[0].State != "open" || states[1].State != "closed" {
			t.Errorf("circuits %+v", states)
		}
	})
}

// TestCircuitsAreBounded: those that keep calls back outlive any number of
// hosts that somebody makes up; of the others an unused one goes.
func TestCircuitsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGroup(t, quick(), nil)
		rt := g.Wrap(byHost)(answering(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "h0.test" {
				return status(500)
			}
			return status(200)
		}))
		for i := range most + many {
			policytest.Do(rt, hostRequest(t, i))
		}
		states := g.Snapshot()
		if len(states) != most || states[0].Key != "h0.test" || states[0].State != "open" {
			t.Errorf("%d circuits, the first is %+v", len(states), states[0])
		}
	})
}

// TestManyTenantsHaveACircuitEach: what came to one of ten thousand was forgotten before the
// next call to it, and each call looked for what could go.
func TestManyTenantsHaveACircuitEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const tenants, calls = 10_000, 3
		g := newGroup(t, settings(), nil)
		rt := g.Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(200) }))
		for range calls {
			for i := range tenants {
				policytest.Do(rt, hostRequest(t, i))
			}
		}
		states := g.Snapshot()
		if len(states) != tenants {
			t.Fatalf("%d circuits, want %d", len(states), tenants)
		}
		for _, s := range states {
			if s.Ended != calls {
				t.Fatalf("%+v, want %d attempts", s, calls)
			}
		}
	})
}

// TestUnusedCircuitsGo, when there are many, once no call has come to them for a window.
func TestUnusedCircuitsGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGroup(t, settings(), nil)
		rt := g.Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(200) }))
		for i := range many {
			policytest.Do(rt, hostRequest(t, i))
		}
		time.Sleep(30*time.Second - 1)
		policytest.Do(rt, hostRequest(t, 0)) // in use again
		time.Sleep(1)
		policytest.Do(rt, hostRequest(t, many))
		if states := g.Snapshot(); len(states) != 2 || states[0].Key != "h0.test" {
			t.Errorf("%d circuits", len(states))
		}
	})
}

// TestBusyCircuitsAreNotForgotten for hosts that are called once.
func TestBusyCircuitsAreNotForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGroup(t, settings(), nil)
		rt := g.Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(200) }))
		for i := range most + many {
			policytest.Do(rt, hostRequest(t, i+1))
			policytest.Do(rt, hostRequest(t, 0))
			time.Sleep(time.Microsecond)
		}
		if busy := g.Snapshot()[0]; busy.Key != "h0.test" || busy.Ended != most+many {
			t.Errorf("the first circuit is %+v", busy)
		}
	})
}

func TestTooManyOpenCircuitsLetOtherKeysPass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		code := 500
		g := newGroup(t, quick(), nil)
		rt := g.Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(code) }))
		for i := range most {
			policytest.Do(rt, hostRequest(t, i))
		}
		code = 200
		if a := policytest.Do(rt, hostRequest(t, most)); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
		for _, s := range g.Snapshot() {
			if s.State != "open" {
				t.Fatalf("%+v", s)
			}
		}
		// Those that nobody probed for a window after their time make room.
		time.Sleep(30*time.Second - 1)
		policytest.Do(rt, hostRequest(t, most))
		if states := g.Snapshot(); len(states) != most || states[len(states)-1].State != "open" {
			t.Errorf("%d circuits, too early", len(states))
		}
		time.Sleep(1)
		policytest.Do(rt, hostRequest(t, most))
		closed := 0
		for _, s := range g.Snapshot() {
			if s.State == "closed" {
				closed++
			}
		}
		if closed != 1 {
			t.Errorf("%d circuits are closed, want that of the new key", closed)
		}
	})
}

// TestManyCallsAtOnce drives some circuits from many goroutines, through
// reloads, with every kind of end, and then sees that all of them still work.
func TestManyCallsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var healthy atomic.Bool
		var live atomic.Pointer[breaker.Group]
		var probing sync.Map // host → there is a probe under way
		up := answering(func(req *http.Request) (*http.Response, error) {
			// What comes here while the circuit is half-open is the probe.
			for _, s := range live.Load().Snapshot() {
				if s.Key == req.URL.Host && s.State == "half-open" {
					if _, two := probing.LoadOrStore(s.Key, true); two {
						t.Errorf("a second probe of %s", s.Key)
					}
					defer probing.Delete(s.Key)
				}
			}
			if healthy.Load() {
				return status(200)
			}
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
			switch kind := rand.IntN(10); {
			case kind < 4:
				return status(200)
			case kind < 7:
				return status(503)
			case kind < 8:
				return nil, &policytest.UnsentError{Err: errBroken}
			case kind < 9:
				panic(http.ErrAbortHandler)
			}
			resp, err := status(200)
			resp.Body = &breaking{}
			return resp, err
		})
		s := settings()
		s.Slow, s.Open, s.OpenMax = time.Second, 100*time.Millisecond, time.Second
		live.Store(newGroup(t, s, nil))
		call := func(host int) (a policytest.Answer) {
			defer func() { recover() }()
			return policytest.Do(live.Load().Wrap(byHost)(up), hostRequest(t, host))
		}
		var all sync.WaitGroup
		for worker := range 32 {
			all.Go(func() {
				for i := range 200 {
					call(i % 4)
					if worker == 0 && i%20 == 0 {
						next := s
						next.MinCalls = 1 + i%7
						next.Window = time.Duration(10+i%3) * time.Second
						g := newGroup(t, next, live.Load())
						live.Store(g)
						g.Adopt()
					}
					live.Load().Snapshot()
					time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
				}
			})
		}
		all.Wait()
		healthy.Store(true)
		for host := range 4 {
			for call(host).Status != 200 {
				time.Sleep(time.Second)
			}
		}
		for _, s := range live.Load().Snapshot() {
			if s.State != "closed" {
				t.Errorf("%+v", s)
			}
		}
	})
}

// breaking is a body that breaks off at once.
type breaking struct{}

func (*breaking) Read([]byte) (int, error) { return 0, errBroken }
func (*breaking) Close() error             { return nil }
