package breaker_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
)

// TestAProbeThatHangsIsNotWaitedForToItsEnd, nor is it broken off.
func TestAProbeThatHangsIsNotWaitedForToItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(21, hangs), fine)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.wantRefused(r.do(), 5*time.Second)
		time.Sleep(5 * time.Second)
		r.send(1)
		r.wantState("half-open")
		time.Sleep(5*time.Second - 1)
		r.wantRefused(r.do(), time.Second)
		time.Sleep(4 * time.Second) // nobody calls when it becomes overdue: it counts from then all the same
		r.wantRefused(r.do(), 6*time.Second+1)
		if c := r.state().Cause; c != "probe" {
			t.Errorf("cause is %q", c)
		}
		time.Sleep(6*time.Second + 1)
		r.wantAnswer(r.do(), 200)
		r.wantChanges("5s closed→open until 10s", "10s open→half-open",
			"18.999999999s half-open→open until 25s", "25s open→half-open", "25s half-open→closed")
	})
}

// TestThePauseAfterAProbeThatHungCountsFromWhenItWasOverdue, also if nobody calls: then the
// attempts that end show that it is.
func TestThePauseAfterAProbeThatHungCountsFromWhenItWasOverdue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(21, hangs), fine)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.send(1)
		time.Sleep(time.Minute)
		r.wantAnswer(r.do(), 200)
		r.wantState("closed")
		r.wantChanges("5s closed→open until 10s", "10s open→half-open",
			"20s half-open→open until 25s", "1m10s open→half-open", "1m10s half-open→closed")
	})
}

// TestALateAnswerTakesBackWhatWasPresumed: the provider was slow, and is not down. It counts as
// a probe that succeeded.
func TestALateAnswerTakesBackWhatWasPresumed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.Ramp = 0
		r := newKnown(t, s, times(20, late), times(-1, fine))
		r.send(20)
		time.Sleep(5 * time.Second)
		r.wantRefused(r.do(), 5*time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.wantChanges("5s closed→open until 10s", "7s open→closed")
		r.wantAnswer(r.do(), 200)
		r.wantCounts(2, 0, 0) // the others began in an earlier life
	})
}

// TestALateProbeThatNobodyCalledDuringClosesTheCircuitAtOnce: nobody was refused for its being
// overdue, so it is no opening more, and the next one is no longer for it.
func TestALateProbeThatNobodyCalledDuringClosesTheCircuitAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(20, hangs), late)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.send(1)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		r.wantChanges("5s closed→open until 10s", "10s open→half-open", "17s half-open→closed")
		if n := r.state().Openings; n != 1 {
			t.Errorf("%d openings, want 1", n)
		}
	})
}

// TestALateProbeClosesTheCircuit, whatever another one that took its place comes to.
func TestALateProbeClosesTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slowly := policytest.Step{Delay: 14 * time.Second}
		r := newKnown(t, patient(), times(20, failed), slowly, policytest.Step{Status: 500, Delay: 2 * time.Second}, fine)
		r.calls(19)
		time.Sleep(time.Second)
		r.calls(1) // half of the window, and a run
		time.Sleep(5 * time.Second)
		r.send(1)
		time.Sleep(13 * time.Second) // 19s; overdue at 11s, until 21s
		r.wantRefused(r.do(), 2*time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		r.wantState("closed")
		if share := r.state().Share; share != 0.1 {
			t.Errorf("a share of %v passes, want a tenth", share)
		}
		r.wantChanges("1s closed→open until 6s", "6s open→half-open", "19s half-open→open until 21s", "20s open→closed")
	})
}

// TestALateAnswerTakesBackAProbeThatHungToo: also one to a call from before the first opening.
func TestALateAnswerTakesBackAProbeThatHungToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.Slow = 0
		r := newKnown(t, s, times(19, hangs), policytest.Step{Delay: 18 * time.Second}, hangs)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.send(1)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		r.wantChanges("5s closed→open until 10s", "10s open→half-open", "15s half-open→open until 25s", "18s open→closed")
	})
}

// TestALateAnswerSaysNothingAfterAGoodProbe: the way back does not begin anew with each.
func TestALateAnswerSaysNothingAfterAGoodProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(20, policytest.Step{Delay: 12 * time.Second}), fine)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200)
		time.Sleep(5 * time.Second)
		if got := r.state(); got.Share != 0.55 || got.Ended != 1 {
			t.Errorf("after half of the ramp the circuit is %+v", got)
		}
	})
}

// TestAProbeWhoseClientLeftIsNotOverdue: nothing is waited for until the next one comes.
func TestAProbeWhoseClientLeftIsNotOverdue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		left := policytest.Step{Err: context.Canceled, Delay: time.Second}
		r := newKnown(t, patient(), times(20, hangs), left, fine)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.calls(1)
		r.wantState("half-open")
		time.Sleep(8 * time.Second)
		r.wantAnswer(r.do(), 200)
		r.wantChanges("5s closed→open until 10s", "10s open→half-open", "19s half-open→closed")
	})
}

// TestAProbeIsWaitedForByItsOwnTime, whatever of an earlier life goes to the network meanwhile.
func TestAProbeIsWaitedForByItsOwnTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(20, failed), times(2, hangs))
		inLine := r.group.Wrap(byHost)(answering(func(req *http.Request) (*http.Response, error) {
			time.Sleep(7 * time.Second)
			return begun(r.Upstream).RoundTrip(req)
		}))
		go policytest.Do(inLine, r.get())
		synctest.Wait()
		r.calls(19)
		time.Sleep(time.Second)
		r.calls(1) // the circuit is open until 6s
		time.Sleep(5 * time.Second)
		r.send(1)
		time.Sleep(5 * time.Second)
		r.do()
		r.wantChanges("1s closed→open until 6s", "6s open→half-open", "11s half-open→open until 21s")
		time.Sleep(time.Hour)
	})
}

// TestASecondProbeDoesNotDecideAfterALateOne: what the late one has shown stands.
func TestASecondProbeDoesNotDecideAfterALateOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.Open, s.OpenMax = time.Second, time.Second
		r := newKnown(t, s, times(20, hangs), late, policytest.Step{Status: 500, Delay: 3 * time.Second}, fine)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(time.Second)
		r.send(1) // 6s, overdue at 11s, ends at 13s
		time.Sleep(6 * time.Second)
		r.wantRefused(r.do(), time.Millisecond)
		time.Sleep(time.Millisecond)
		r.send(1) // 12s, ends at 15s
		r.wantState("half-open")
		time.Sleep(time.Second)
		r.wantState("closed")
		time.Sleep(3 * time.Second)
		r.wantCounts(1, 0, 0)
		r.wantAnswer(r.do(), 200)
		r.wantChanges("5s closed→open until 5.75s", "6s open→half-open",
			"12s half-open→open until 12.001s", "12.001s open→half-open", "13s half-open→closed")
	})
}

// TestALateAnswerFromBeforeTheLastWayBackSaysNothing: it is of an outage that is over.
func TestALateAnswerFromBeforeTheLastWayBackSaysNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.Slow, s.Ramp = 0, 0
		r := newKnown(t, s, policytest.Step{Delay: 19 * time.Second}, times(20, failed), times(20, fine), times(20, hangs))
		r.send(1)
		r.calls(19)
		time.Sleep(time.Second)
		r.calls(1)
		time.Sleep(5 * time.Second)
		r.calls(20)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(8 * time.Second)
		synctest.Wait()
		r.wantChanges("1s closed→open until 6s", "6s open→half-open", "6s half-open→closed", "11s closed→open until 21s")
	})
}

// TestAProbeThatFailsIsNoPresumption: after its verdict an answer to what was sent before
// says as little as after any other opening.
func TestAProbeThatFailsIsNoPresumption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(19, hangs), policytest.Step{Delay: 12 * time.Second}, failed)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.calls(1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.wantState("open")
	})
}

// TestALateAnswerDoesNotOverruleAnOperator: whoever opened the circuit knows why.
func TestALateAnswerDoesNotOverruleAnOperator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(20, late))
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		r.order(r.group.Open("", time.Time{}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.state(); !s.Held {
			t.Errorf("the circuit is %+v", s)
		}
	})
}

// TestAProbeIsWaitedForAsWasKnownLast: by what was known when the circuit opened, if that was
// enough, and else by that and what was known before.
func TestAProbeIsWaitedForAsWasKnownLast(t *testing.T) {
	for name, test := range map[string]struct {
		between int           // good answers between two openings
		took    time.Duration // each of them
		overdue time.Duration
	}{
		"enough":                    {20, 0, 5 * time.Second},
		"not enough":                {2, 0, 8 * time.Second},
		"not enough, but of longer": {2, 6 * time.Second, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := patient()
				s.Ramp, s.FailureRatio = 0, 0
				r := newRig(t, s, times(19, fine), policytest.Step{Delay: 4 * time.Second},
					times(20, failed), policytest.Step{Times: test.between, Delay: test.took}, times(20, failed), hangs)
				r.calls(20)
				fail := func() {
					r.calls(19)
					time.Sleep(time.Second)
					r.calls(1)
					r.wantState("open")
					time.Sleep(time.Until(r.state().Until))
				}
				fail()
				r.calls(test.between)
				fail()
				r.send(1)
				time.Sleep(test.overdue - 1)
				r.do()
				r.wantState("half-open")
				time.Sleep(1)
				r.do()
				r.wantState("open")
			})
		})
	}
}
