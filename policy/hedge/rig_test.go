package hedge_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"outrider/policy/hedge"
	"outrider/policy/policytest"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// wire is the innermost stage: what goes through it goes to the network.
func wire(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		hedge.Begun(req.Context())
		return next.RoundTrip(req)
	})
}

// usual is how long the answers take that a rig knows of.
const usual = 100 * time.Millisecond

// A rig hedges calls to a scripted upstream.
type rig struct {
	t        *testing.T
	settings hedge.Settings
	stage    *hedge.Stage
	upstream *policytest.Upstream

	mu     sync.Mutex
	events []hedge.Event
}

// newRig returns a rig that knows 20 answers, all as usual, and has one second request
// saved. What follows is answered by steps.
func newRig(t *testing.T, steps ...policytest.Step) *rig {
	r := &rig{t: t}
	r.settings = hedge.Settings{
		Failed: func(_ *http.Request, resp *http.Response, err error) bool {
			return err != nil || resp.StatusCode >= 500
		},
		OnEnd: func(_ context.Context, e hedge.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	before := policytest.Step{Times: 20, Delay: usual}
	r.upstream = policytest.NewUpstream(t, append([]policytest.Step{before}, steps...)...)
	r.stage = hedge.New(r.settings, nil)
	for range before.Times {
		r.get()
	}
	return r
}

// with changes the settings, as a reload does.
func (r *rig) with(change func(*hedge.Settings)) *rig {
	change(&r.settings)
	r.stage = hedge.New(r.settings, r.stage)
	return r
}

func (r *rig) get() policytest.Answer { return r.send(r.request("GET"), wire(r.upstream)) }

func (r *rig) request(method string) *http.Request {
	return policytest.NewRequest(r.t, method, "https://api.test/x", "")
}

func (r *rig) send(req *http.Request, next http.RoundTripper) policytest.Answer {
	return policytest.Do(r.stage.Wrap(nil)(next), req)
}

// sent is when what followed the known answers was received, counted from the first.
func (r *rig) sent() (at []time.Duration) {
	requests := r.upstream.Requests()[20:]
	for _, req := range requests {
		at = append(at, req.At.Sub(requests[0].At))
	}
	return at
}

// wants compares an answer, and the requests and outcomes behind it. No body is open.
func (r *rig) wants(got policytest.Answer, body string, took time.Duration, sent []time.Duration, outcomes ...string) {
	r.t.Helper()
	if got.Err != nil || got.Body != body || got.Took != took {
		r.t.Errorf("answer %q in %v (%v), want %q in %v", got.Body, got.Took, got.Err, body, took)
	}
	r.saw(sent, outcomes...)
}

func (r *rig) saw(sent []time.Duration, outcomes ...string) {
	r.t.Helper()
	if got := r.sent(); !slices.Equal(got, sent) {
		r.t.Errorf("requests at %v, want %v", got, sent)
	}
	if open := r.upstream.OpenBodies(); open != 0 {
		r.t.Errorf("%d bodies are open", open)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, e := range r.events {
		got = append(got, e.Outcome)
	}
	if !slices.Equal(got, outcomes) {
		r.t.Errorf("outcomes %q, want %q", got, outcomes)
	}
}

// both is when the requests of a call are sent that has two.
var both = []time.Duration{0, usual}
