package breaker_test

import (
	"context"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// newRun is the rig of a provider that was well for a hundred calls, so that no share
// opens the circuit before another hundred have failed.
func newRun(t *testing.T, s breaker.Settings, steps ...policytest.Step) *rig {
	t.Helper()
	r := newRig(t, s, append([]policytest.Step{times(100, fine)}, steps...)...)
	r.calls(100)
	return r
}

// steadily makes n calls, ten in each second.
func (r *rig) steadily(n int) {
	for range n {
		r.do()
		time.Sleep(100 * time.Millisecond)
	}
}

func TestOpensAfterARunOfFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRun(t, settings(), times(20, failed))
		r.steadily(19)
		r.wantCounts(119, 19, 0)
		r.do()
		r.wantState("open")
		r.wantChanges("1.9s closed→open until 6.9s")
		if c := r.state().Cause; c != "run" {
			t.Errorf("cause is %q", c)
		}
	})
}

func TestFailuresOfAnyKindAreARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRun(t, settings(), times(4, refused), times(4, failed), times(4, policytest.Step{Err: errBroken}), times(4, refused), times(4, failed))
		r.steadily(19)
		r.wantCounts(119, 19, 0)
		r.do()
		r.wantState("open")
	})
}

// TestFailuresAtOneMomentAreNoRun: a hundred calls may have been on their way over
// one connection, which broke. When calls fail a second later too, it was not that.
func TestFailuresAtOneMomentAreNoRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRun(t, settings(), times(99, failed), failed, failed)
		r.calls(99)
		r.wantState("closed")
		time.Sleep(time.Second - 1)
		s := settings()
		s.FailureRatio = 0 // half of all have failed by now
		r.use(newGroup(t, s, r.group))
		r.do()
		r.wantState("closed")
		time.Sleep(1)
		r.do()
		r.wantState("open")
	})
}

// TestAnAnswerEndsARun, however slow it is: a provider of which one call in twenty
// succeeds is judged by the share of its failures.
func TestAnAnswerEndsARun(t *testing.T) {
	for name, between := range map[string]policytest.Step{"success": fine, "slow": slow, "throttled": {Status: 429}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := settings()
				s.FailureRatio = 0
				r := newRun(t, s, times(19, failed), between, times(20, failed))
				r.steadily(39)
				r.wantState("closed")
				r.do()
				r.wantState("open")
			})
		})
	}
}

func TestAClientThatLeavesDoesNotEndARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRun(t, settings(), times(19, failed), policytest.Step{Err: context.Canceled}, failed)
		r.steadily(20)
		r.wantCounts(119, 19, 0)
		r.do()
		r.wantState("open")
	})
}

// TestARunIsWithinTheWindow: twenty failures in an hour, and nothing else, are a
// provider that is hardly called.
func TestARunIsWithinTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(100, failed))
		for range 100 {
			r.do()
			time.Sleep(2 * time.Second)
		}
		r.wantCounts(14, 14, 0)
	})
}

func TestARunBeginsAnewWhenAnOperatorClosesTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRun(t, settings(), times(19, failed), times(100, fine), times(20, failed))
		r.steadily(19)
		if err := r.group.Close(""); err != nil {
			t.Fatal(err)
		}
		r.calls(100)
		r.steadily(19)
		r.wantCounts(119, 19, 0)
		r.do()
		r.wantState("open")
	})
}
