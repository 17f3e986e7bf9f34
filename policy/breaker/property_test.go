package breaker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// TestWhateverHappensTheCircuitLeavesHalfOpen draws calls, each with an end of
// its own, many of them at once, between reloads and orders of operators. Then
// all of them have ended, and the provider is well:
//
//   - there is never more than one probe that is not overdue;
//   - when its time has come, the next call is let through, whatever the calls
//     before it left behind;
//   - that one closes it, and by the end of the ramp all calls pass.
func TestWhateverHappensTheCircuitLeavesHalfOpen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }() // rt ends a check by a panic, which belongs outside of the bubble
			newHavoc(t, rt).wreak()
		})
		if failed != nil {
			panic(failed)
		}
	})
}

// attemptTimeout ends the calls that hang, as the stage below does.
const attemptTimeout = 20 * time.Second

// ends are what can become of an attempt. The last one is drawn a half of the time.
var ends = []policytest.Step{
	{Hang: true},
	{Do: func(*http.Request) { panic(http.ErrAbortHandler) }},
	{Do: func(*http.Request) { runtime.Goexit() }},
	{Upgrade: func(peer policytest.Conn) { io.Copy(io.Discard, peer) }},
	{Body: "half", BodyDelay: time.Second, BodyErr: io.ErrUnexpectedEOF},
	{Body: "half", Stall: true},
	{Status: 503, Header: http.Header{"Retry-After": {"30"}}},
	{Unsent: true},
	{Err: errBroken, Delay: 3 * time.Second},
	{Status: 500},
	{Delay: 16 * time.Second},
	{Delay: 8 * time.Second},
	{},
}

// havoc is one circuit, and everything that happens to it.
type havoc struct {
	t     *testing.T
	rapid *rapid.T
	rules breaker.Settings

	group *breaker.Group
	end   policytest.Step // of the next attempt
	calls sync.WaitGroup

	mu    sync.Mutex
	probe *http.Request // the one under way, of which an operator did not take the circuit away
	begun time.Time     // when it was sent
}

func newHavoc(t *testing.T, rt *rapid.T) *havoc {
	h := &havoc{t: t, rapid: rt, rules: ramping()}
	h.rules.MinCalls = rapid.IntRange(1, 4).Draw(rt, "min calls")
	h.rules.FailureRun = rapid.IntRange(0, 4).Draw(rt, "failure run")
	h.rules.Overdue = rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second}).Draw(rt, "overdue")
	h.rules.Ramp = rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Minute}).Draw(rt, "ramp")
	h.rules.Jitter = policytest.Jitter(rapid.SampledFrom([]float64{0, 0.5, 0.99}).Draw(rt, "jitter"))
	h.group = newGroup(t, h.rules, nil)
	return h
}

func (h *havoc) wreak() {
	for range rapid.IntRange(1, 60).Draw(h.rapid, "steps") {
		switch rapid.IntRange(0, 11).Draw(h.rapid, "what") {
		case 0:
			until := rapid.SampledFrom([]time.Time{{}, time.Now().Add(time.Minute)}).Draw(h.rapid, "until")
			h.order(h.group.Open(rapid.SampledFrom([]string{"", "api.test"}).Draw(h.rapid, "key"), until))
		case 1:
			h.order(h.group.Close(rapid.SampledFrom([]string{"", "api.test"}).Draw(h.rapid, "key")))
		case 2: // a reload
			h.rules.Window = rapid.SampledFrom([]time.Duration{30 * time.Second, time.Minute}).Draw(h.rapid, "window")
			h.group = newGroup(h.t, h.rules, h.group)
		case 3:
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, time.Minute}).Draw(h.rapid, "pause"))
		case 4:
			h.fallSilent()
		default:
			h.end = ends[min(rapid.IntRange(0, 2*len(ends)).Draw(h.rapid, "end"), len(ends)-1)]
			h.call(rapid.Bool().Draw(h.rapid, "streamed"), rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(h.rapid, "patience"))
		}
		synctest.Wait()
	}
	h.recover()
}

// fallSilent lets a provider that answers stop to do so, or only be late. Calls go on.
func (h *havoc) fallSilent() {
	h.end = fine
	for range 4 {
		h.call(false, time.Hour)
	}
	synctest.Wait()
	for range rapid.IntRange(1, 8).Draw(h.rapid, "seconds") {
		h.end = rapid.SampledFrom([]policytest.Step{{Hang: true}, {Delay: 8 * time.Second}}).Draw(h.rapid, "silence")
		for range 4 {
			h.call(false, time.Hour)
		}
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second}).Draw(h.rapid, "pause"))
	}
}

// order fails only where no call has made the circuit yet.
func (h *havoc) order(err error) {
	if err != nil && len(h.group.Snapshot()) > 0 {
		h.rapid.Fatalf("order: %v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probe = nil
}

// call begins one whose client leaves when its patience is over.
func (h *havoc) call(streamed bool, patience time.Duration) {
	req := policytest.NewRequest(h.t, "POST", target, "body")
	if streamed {
		req = policytest.Streamed(req)
	}
	upstream := policytest.NewUpstream(h.t, h.end)
	rt := h.group.Wrap(byHost)(answering(func(req *http.Request) (*http.Response, error) {
		defer h.watch(req)()
		return begun(upstream).RoundTrip(req)
	}))
	h.calls.Go(func() {
		defer func() { _ = recover() }()
		ctx, leave := context.WithTimeoutCause(req.Context(), patience, context.Canceled)
		defer leave()
		ctx, end := context.WithTimeoutCause(ctx, attemptTimeout, errBroken)
		defer end()
		policytest.Do(rt, req.WithContext(ctx))
	})
}

// watch sees whether an attempt is a second probe.
func (h *havoc) watch(req *http.Request) (ended func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state().State != "half-open" {
		return func() {}
	}
	if overdue := h.rules.Overdue > 0 && time.Since(h.begun) >= h.rules.Overdue; h.probe != nil && !overdue {
		h.t.Error("two probes at once")
	}
	h.probe, h.begun = req, time.Now()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.probe == req {
			h.probe = nil
		}
	}
}

func (h *havoc) state() breaker.State {
	if states := h.group.Snapshot(); len(states) == 1 {
		return states[0]
	}
	return breaker.State{State: "closed"}
}

// recover lets all attempts end, and then the provider answers: the first call
// after the circuit's time has to be let through, and to close it.
func (h *havoc) recover() {
	h.calls.Wait()
	if all, _ := h.group.Standing(); all.Held || h.state().Held {
		h.order(h.group.Open("", time.Now())) // else it would never end, as it was told to
	}
	up := policytest.NewUpstream(h.t, times(-1, fine))
	rt := h.group.Wrap(byHost)(up)
	do := func() policytest.Answer {
		return policytest.Do(rt, policytest.NewRequest(h.t, "GET", target, ""))
	}
	all, _ := h.group.Standing()
	time.Sleep(max(time.Until(h.state().Until), time.Until(all.Until)))
	if a := do(); a.Status != 200 {
		h.rapid.Fatalf("in its time the circuit is %+v and answers %+v", h.state(), a)
	}
	if s := h.state(); s.State != "closed" {
		h.rapid.Fatalf("after a good probe the circuit is %+v", s)
	}
	time.Sleep(h.rules.Ramp)
	for range 30 {
		if a := do(); errors.As(a.Err, new(*breaker.OpenError)) {
			h.rapid.Fatalf("after the ramp the circuit is %+v and answers %+v", h.state(), a)
		}
	}
}
