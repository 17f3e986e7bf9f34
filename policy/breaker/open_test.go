package breaker_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// bubble runs a test with exact time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestOpensAtShareOfFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(10, fine), times(10, failed))
		r.calls(19)
		r.wantCounts(19, 9, 0)
		r.calls(1)
		r.wantState("open")
		r.wantChanges("0s closed→open until 5s")
		if c := r.state().Cause; c != "failures" {
			t.Errorf("cause is %q", c)
		}
	})
}

func TestTooFewCallsOpenNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(19, failed), failed)
		r.calls(19)
		r.wantCounts(19, 19, 0)
		r.calls(1)
		r.wantState("open")
	})
}

// TestRatioIsOfEndedCalls: attempts under way and ignored ones are requests to
// gobreaker's own counters, where ten failures among forty would be a quarter.
func TestRatioIsOfEndedCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hang := policytest.Step{Hang: true}
		r := newRig(t, settings(), times(20, hang), times(10, fine), times(10, failed))
		ctx, leave := context.WithCancel(t.Context())
		for range 20 {
			go policytest.Do(r.rt, r.get().WithContext(ctx))
		}
		synctest.Wait()
		r.calls(10)
		leave()
		synctest.Wait()
		r.calls(9)
		r.wantCounts(19, 9, 0)
		r.calls(1)
		r.wantState("open")
	})
}

func TestOwnAnswersOfTheProviderAreNoFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(),
			times(20, policytest.Step{Status: 401}), times(20, policytest.Step{Status: 404}), times(20, policytest.Step{Status: 429}))
		r.calls(60)
		r.wantCounts(60, 0, 0)
	})
}

func TestOpensAtShareOfSlowAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := settings()
		s.Window = 10 * time.Hour
		r := newRig(t, s, times(4, fine), times(16, slow))
		r.calls(19)
		r.wantCounts(19, 0, 15)
		r.calls(1)
		r.wantState("open")
		if c := r.state().Cause; c != "slow" {
			t.Errorf("cause is %q", c)
		}
	})
}

func TestSlowIsTimeToHeadersBeyondSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(),
			policytest.Step{Delay: 15 * time.Second},
			policytest.Step{Delay: 15*time.Second + 1},
			policytest.Step{Body: "late", BodyDelay: time.Minute})
		r.calls(1)
		r.wantCounts(1, 0, 0)
		r.calls(1)
		r.wantCounts(2, 0, 1)
		resp, err := r.rt.RoundTrip(r.get())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		r.wantCounts(3, 0, 1) // at its headers: a long body does not delay the verdict
	})
}

// TestWaitingForATurnIsNotSlow: the stages below the circuit make calls wait,
// for which the provider is not to blame.
func TestWaitingForATurnIsNotSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := settings()
		waited := time.Hour // in earlier attempts of this call
		s.Waited = func(*http.Request) time.Duration { return waited }
		r := newRig(t, s, policytest.Step{Delay: 20 * time.Second, Do: func(*http.Request) { waited += 5 * time.Second }}, slow)
		r.calls(1)
		r.wantCounts(1, 0, 0)
		r.calls(1)
		r.wantCounts(2, 0, 1)
	})
}

func TestOpensAfterConsecutiveConnectFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(5, refused))
		r.calls(4)
		r.wantCounts(4, 4, 0)
		r.calls(1)
		r.wantState("open")
		if c := r.state().Cause; c != "connect" {
			t.Errorf("cause is %q", c)
		}
	})
}

func TestAnAnswerEndsARunOfConnectFailures(t *testing.T) {
	for name, between := range map[string]policytest.Step{"success": fine, "failure": failed} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, settings(), times(4, refused), between, times(5, refused))
				r.calls(9)
				r.wantState("closed")
				r.calls(1)
				r.wantState("open")
			})
		})
	}
}

func TestAClientThatLeavesDoesNotEndARunOfConnectFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(4, refused), policytest.Step{Err: context.Canceled}, refused)
		r.calls(5)
		r.wantCounts(4, 4, 0)
		r.calls(1)
		r.wantState("open")
	})
}

// TestRulesDoNotAddUp: close to each of the three limits is not beyond one.
func TestRulesDoNotAddUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := settings()
		s.Window = 10 * time.Hour
		r := newRig(t, s,
			times(5, fine), times(11, slow), times(5, failed), // 11 of 21 slow, 5 failed
			times(4, refused)) // 9 of 25 failed, 4 in a row
		r.calls(25)
		r.wantCounts(25, 9, 11)
	})
}

func TestASlowFailureIsBoth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), policytest.Step{Err: errBroken, Delay: 20 * time.Second})
		r.calls(1)
		r.wantCounts(1, 1, 1)
	})
}

func TestZeroTurnsARuleOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := settings()
		s.FailureRatio, s.FailureRun, s.SlowRatio, s.Consecutive = 0, 0, 0, 0
		r := newRig(t, s, times(100, refused), times(100, slow), times(100, policytest.Step{Status: 500, Delay: time.Second}))
		r.calls(300)
		r.wantState("closed")
	})
}

// TestWindowMovesOnByTenths: an attempt counts for nine tenths of the window
// at least, and never for longer than all of it.
func TestWindowMovesOnByTenths(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(3, fine), failed)
		r.do() // 0s, in the bucket that ends at 3s
		time.Sleep(3*time.Second - 1)
		r.do() // in the same
		time.Sleep(1)
		r.do() // 3s, in the next
		r.wantCounts(3, 0, 0)
		time.Sleep(27*time.Second - 1)
		r.wantCounts(3, 0, 0)
		time.Sleep(1) // 30s
		r.wantCounts(1, 0, 0)
		time.Sleep(3*time.Second - 1)
		r.wantCounts(1, 0, 0)
		time.Sleep(1)
		r.wantCounts(0, 0, 0)
		time.Sleep(1000 * time.Hour)
		r.do()
		r.wantCounts(1, 1, 0)
	})
}

func TestOldFailuresAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(19, failed), times(40, failed))
		r.calls(19)
		time.Sleep(30 * time.Second)
		r.calls(19)
		r.wantCounts(19, 19, 0)
	})
}

// TestLateResultsOfAnEarlierLifeDoNotCount: the calls that were under way when
// the circuit opened say nothing about what it is when they end; and they must
// not make gobreaker, whose own timeout is long over, half-open.
func TestLateResultsOfAnEarlierLifeDoNotCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		late := policytest.Step{Status: 500, Delay: 2 * time.Second}
		later := policytest.Step{Status: 500, Delay: 10 * time.Second}
		r := newRig(t, quick(), times(3, late), times(3, later), failed, fine)
		for range 6 {
			go r.do()
		}
		synctest.Wait()
		r.open()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.wantState("open")
		time.Sleep(3 * time.Second)
		r.wantAnswer(r.do(), 200)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		r.wantCounts(1, 0, 0)
		r.wantChanges("0s closed→open until 5s", "5s open→half-open", "5s half-open→closed")
	})
}

// TestAChangeIsToldWithItsCause: whoever asks for it later may hear that of the next one.
func TestAChangeIsToldWithItsCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, told := quick(), []breaker.Change(nil)
		s.OnChange = func(_ context.Context, c breaker.Change) { told = append(told, c) }
		r := &rig{T: t, Upstream: policytest.NewUpstream(t, failed, failed, fine)}
		r.use(newGroup(t, s, nil))
		begun := time.Now()
		r.calls(1)
		time.Sleep(5 * time.Second)
		r.calls(1)
		time.Sleep(10 * time.Second)
		r.calls(1)
		change := func(from, to, cause string, until time.Duration) breaker.Change {
			c := breaker.Change{Key: "api.test", From: from, To: to, Cause: cause}
			if until > 0 {
				c.Until = begun.Add(until)
			}
			return c
		}
		want := []breaker.Change{
			change("closed", "open", "failures", 5*time.Second),
			change("open", "half-open", "failures", 0),
			change("half-open", "open", "probe", 15*time.Second),
			change("open", "half-open", "probe", 0),
			change("half-open", "closed", "", 0),
		}
		if !slices.Equal(told, want) {
			t.Errorf("told of\n%+v, want\n%+v", told, want)
		}
	})
}
