package breaker_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// ramping settings open at the first failure, and come back in ten seconds.
func ramping() breaker.Settings {
	s := quick()
	s.Ramp = 10 * time.Second
	return s
}

// newRamp is the rig of a circuit that a probe has just closed, after 5 seconds.
func newRamp(t *testing.T, s breaker.Settings, steps ...policytest.Step) *rig {
	t.Helper()
	r := newRig(t, s, slices.Concat([]policytest.Step{failed, fine}, steps)...)
	r.open()
	time.Sleep(5 * time.Second)
	r.wantAnswer(r.do(), 200)
	r.wantState("closed")
	return r
}

// TestTrafficComesBackStepByStep: of a hundred calls in each second a share
// passes that grows from a tenth to all of them, all the time.
func TestTrafficComesBackStepByStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRamp(t, ramping(), times(-1, fine))
		var passed []int // in each second
		for range 11 {
			before := r.Tries()
			for range 100 {
				r.do()
				time.Sleep(10 * time.Millisecond)
			}
			passed = append(passed, r.Tries()-before)
		}
		want := []int{19, 28, 37, 46, 55, 64, 73, 82, 91, 98, 100}
		if !slices.Equal(passed, want) {
			t.Errorf("passed %v, want %v", passed, want)
		}
	})
}

// TestLittleTrafficSeesNoRamp: a tenth of a call in each second would be an
// outage that goes on.
func TestLittleTrafficSeesNoRamp(t *testing.T) {
	for name, pause := range map[string]time.Duration{"evenly": 100 * time.Millisecond, "in bursts": 0} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRamp(t, ramping(), times(-1, fine))
				for range 10 {
					for range 10 {
						r.wantAnswer(r.do(), 200)
						time.Sleep(pause)
					}
					time.Sleep(time.Second - 10*pause)
				}
			})
		})
	}
}

// TestRefusedByTheRampComesBackLater: spread beyond its end, and by default to
// its end.
func TestRefusedByTheRampComesBackLater(t *testing.T) {
	for name, test := range map[string]struct {
		jitter func(time.Duration) time.Duration
		want   time.Duration
	}{
		"early": {policytest.Jitter(0), 0},
		"mean":  {policytest.Jitter(0.5), 6 * time.Second},
		"late":  {policytest.Jitter(0.75), 9 * time.Second},
		"none":  {nil, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := ramping()
				r := newRamp(t, s, times(-1, fine))
				s.Jitter = test.jitter
				r.use(newGroup(t, s, r.group))
				time.Sleep(4 * time.Second)
				r.calls(10)
				for range 10 { // 46% of the calls pass: the eleventh that does is the 22nd of this second
					r.wantRefused(r.do(), test.want)
				}
				req := policytest.NewRequest(t, "POST", target, "x")
				closed := false
				req.Body = closer(func() { closed = true })
				r.wantRefused(policytest.Do(r.rt, req), test.want)
				if !closed {
					t.Error("the body of the refused request is open")
				}
			})
		})
	}
}

func TestRefusalByTheRampSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRamp(t, ramping(), times(-1, fine))
		r.calls(10)
		err := r.do().Err
		open, ok := errors.AsType[*breaker.OpenError](err)
		if !ok || open.Share != 0.1 {
			t.Fatalf("refused with %v", err)
		}
		if want := "lets only 10% of the calls pass so far, since its probe has just succeeded: come again at 2000-01-01T00:00:15Z"; !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
		if reason, wait := open.Refusal(); reason != "circuit-open" || wait != 10*time.Second {
			t.Errorf("refused for %s, come again in %v", reason, wait)
		}
		if share := r.state().Share; share != 0.1 {
			t.Errorf("the state has a share of %v", share)
		}
		time.Sleep(10*time.Second - 1)
		if share := r.state().Share; share <= 0.99 || share >= 1 {
			t.Errorf("at its end the state has a share of %v", share)
		}
		time.Sleep(1)
		if share := r.state().Share; share != 0 {
			t.Errorf("after its end the state has a share of %v", share)
		}
	})
}

// TestFailureAfterTheProbeOpensAgain at once, although there were fewer attempts
// than MinCalls, and for longer.
func TestFailureAfterTheProbeOpensAgain(t *testing.T) {
	for name, step := range map[string]policytest.Step{"failure": failed, "refused": refused, "error": {Err: errBroken}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := ramping()
				r := newRamp(t, s, step)
				s.MinCalls = 20
				newGroup(t, s, r.group).Adopt()
				r.do()
				r.wantState("open")
				r.wantRefused(r.do(), 10*time.Second)
			})
		})
	}
}

// TestFewFailuresDoNotEndTheRamp: a provider of which one call in twenty fails
// would never come back.
func TestFewFailuresDoNotEndTheRamp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var steps []policytest.Step
		for range 10 {
			steps = append(steps, times(19, fine), failed)
		}
		r := newRamp(t, ramping(), steps...)
		for range 200 {
			r.do()
			time.Sleep(100 * time.Millisecond)
		}
		r.wantCounts(201, 10, 0)
	})
}

func TestMinCallsHoldsAgainAfterTheRamp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := ramping()
		r := newRamp(t, s, times(3, failed))
		s.MinCalls = 5
		newGroup(t, s, r.group).Adopt()
		time.Sleep(10 * time.Second)
		r.calls(3)
		r.wantCounts(4, 3, 0)
	})
}

func TestRampFollowsAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := ramping()
		r := newRamp(t, s, times(-1, fine))
		r.calls(10)
		r.wantRefused(r.do(), 10*time.Second)
		s.Ramp = 0
		r.use(newGroup(t, s, r.group))
		for range 100 {
			r.wantAnswer(r.do(), 200)
		}
	})
}

// TestRampIsNotForgotten: among many hosts that somebody makes up, the circuit
// that keeps calls back stays.
func TestRampIsNotForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		code := 500
		g := newGroup(t, ramping(), nil)
		rt := g.Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(code) }))
		policytest.Do(rt, hostRequest(t, 0))
		time.Sleep(5 * time.Second)
		code = 200
		policytest.Do(rt, hostRequest(t, 0))
		for i := range most + many {
			policytest.Do(rt, hostRequest(t, i+1))
		}
		if first := g.Snapshot()[0]; first.Key != "h0.test" || fmt.Sprint(first.Share) != "0.1" {
			t.Errorf("the first circuit is %+v", first)
		}
	})
}
