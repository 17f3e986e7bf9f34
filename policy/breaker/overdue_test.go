package breaker_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

var (
	hangs = policytest.Step{Hang: true}
	late  = policytest.Step{Delay: 7 * time.Second}
)

// patient settings take attempts for failures after five seconds.
func patient() breaker.Settings {
	s := settings()
	s.Overdue = 5 * time.Second
	s.Ramp = 10 * time.Second
	return s
}

// newKnown is the rig of a circuit that knows its provider to answer reads at once.
func newKnown(t *testing.T, s breaker.Settings, steps ...policytest.Step) *rig {
	t.Helper()
	r := newRig(t, s, append([]policytest.Step{times(20, fine)}, steps...)...)
	r.calls(20)
	return r
}

// send begins n calls at once, which end by themselves or after 20 seconds.
func (r *rig) send(n int) {
	for range n {
		go func() {
			ctx, end := context.WithTimeoutCause(r.Context(), attemptTimeout, errBroken)
			defer end()
			policytest.Do(r.rt, r.get().WithContext(ctx))
		}()
	}
	synctest.Wait()
}

// TestASilentProviderIsKnownBeforeItsAttemptsEnd: each of them takes 20 seconds to fail,
// and in the meantime everything would be sent into the silence.
func TestASilentProviderIsKnownBeforeItsAttemptsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(-1, hangs))
		for range 60 {
			r.send(1)
			time.Sleep(100 * time.Millisecond)
		}
		r.wantState("closed") // the twentieth was sent at 1.9s
		time.Sleep(900*time.Millisecond - 1)
		r.send(1)
		r.wantState("closed")
		time.Sleep(1)
		r.wantRefused(r.do(), 5*time.Second)
		if c := r.state().Cause; c != "silent" {
			t.Errorf("cause is %q", c)
		}
		r.wantChanges("6.9s closed→open until 11.9s")
		time.Sleep(30 * time.Second) // they fail, which changes nothing
		synctest.Wait()
		r.wantChanges("6.9s closed→open until 11.9s")
	})
}

// TestAProviderThatTakesLongAsAlwaysIsNotSilent: a language model whose answers begin after
// forty seconds, and many calls at a time. They are attempts of up to five minutes.
func TestAProviderThatTakesLongAsAlwaysIsNotSilent(t *testing.T) {
	for name, overdue := range map[string]time.Duration{"by default": 75 * time.Second, "with too short a setting": time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := patient()
				s.Overdue, s.Window, s.Slow = overdue, 10*time.Minute, 4*time.Minute
				r := newRig(t, s, times(-1, policytest.Step{Delay: 40 * time.Second}))
				for range 300 {
					for range 5 {
						go r.do()
					}
					time.Sleep(time.Second)
				}
				time.Sleep(40 * time.Second)
				synctest.Wait()
				if r.Tries() != 1500 {
					t.Errorf("%d were sent", r.Tries())
				}
				r.wantChanges()
			})
		})
	}
}

// TestHowLongIsWaitedForFollowsTheAnswers: twice the longest of the window.
func TestHowLongIsWaitedForFollowsTheAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, patient(), times(19, fine), policytest.Step{Delay: 4 * time.Second}, times(-1, hangs))
		r.calls(20)
		r.send(20)
		time.Sleep(8*time.Second - 1)
		r.send(1)
		r.wantState("closed")
		time.Sleep(1)
		r.wantRefused(r.do(), 5*time.Second)
	})
}

// TestWhoIsNotKnownIsWaitedForToTheEnd: too few answers say nothing of how long the next may
// take, old ones neither, and those to reads nothing of writes.
func TestWhoIsNotKnownIsWaitedForToTheEnd(t *testing.T) {
	openedOnce := func(r *rig) {
		r.calls(20)
		r.Upstream = policytest.NewUpstream(r.T, times(20, hangs), fine)
		r.use(r.group)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200)
		time.Sleep(time.Minute)
		r.changes = nil
	}
	for name, test := range map[string]struct {
		before func(r *rig)
		method string
	}{
		"old, from before the ramp": {openedOnce, "GET"},
		"few":                       {func(r *rig) { r.calls(19) }, "GET"},
		"old":                       {func(r *rig) { r.calls(20); time.Sleep(time.Minute) }, "GET"},
		"reads":                     {func(r *rig) { r.calls(20) }, "POST"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, patient(), times(-1, fine))
				test.before(r)
				r.Upstream = policytest.NewUpstream(t, times(-1, late))
				r.use(r.group)
				for range 40 {
					go policytest.Do(r.rt, policytest.NewRequest(t, test.method, target, ""))
				}
				synctest.Wait()
				time.Sleep(6 * time.Second)
				r.send(1)
				time.Sleep(time.Minute)
				synctest.Wait()
				r.wantChanges()
			})
		})
	}
}

// TestAnAnswerEndsTheSilence: what was sent before it is one matter with the attempts that hang,
// such as a connection that they share, and not with the provider.
func TestAnAnswerEndsTheSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(40, hangs), fine, times(19, hangs), fine)
		r.send(40)
		time.Sleep(4 * time.Second)
		r.wantAnswer(r.do(), 200)
		r.send(19)
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200) // 59 are overdue by now, 19 of them sent since then
		r.wantState("closed")
	})
}

// TestTheEndOfAnAttemptTakesOutItsOwnWait: what was sent before the last good answer, at the same
// moment as the row, is not of it.
func TestTheEndOfAnAttemptTakesOutItsOwnWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		left := policytest.Step{Err: context.Canceled, Delay: 3 * time.Second}
		r := newKnown(t, patient(), left, fine, times(20, hangs))
		r.send(1)
		r.wantAnswer(r.do(), 200)
		r.send(20)
		time.Sleep(5 * time.Second)
		r.wantRefused(r.do(), 5*time.Second)
	})
}

// TestWhatIsSafeIsRead: answers to any of these say how long the others take.
func TestWhatIsSafeIsRead(t *testing.T) {
	for _, method := range []string{"", "HEAD", "OPTIONS", "TRACE", "QUERY"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newKnown(t, patient(), times(-1, late))
				req := r.get()
				req.Method = method
				for range 20 {
					go policytest.Do(r.rt, req.Clone(r.Context()))
				}
				synctest.Wait()
				time.Sleep(5 * time.Second)
				r.wantRefused(r.do(), 5*time.Second)
			})
		})
	}
}

// TestAnAttemptCountsOnce: those that have failed, and those that are overdue, are one run; who
// was overdue and then failed is one of it, and whose client left is none.
func TestAnAttemptCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.MinCalls, s.FailureRatio = 20, 1
		ends := policytest.Step{Status: 500, Delay: 6 * time.Second}
		left := policytest.Step{Err: context.Canceled, Delay: 6 * time.Second}
		r := newKnown(t, s, times(8, ends), times(5, left), times(11, hangs), times(-1, hangs))
		r.send(13)
		time.Sleep(2 * time.Second)
		r.send(11) // overdue at 7s
		time.Sleep(4 * time.Second)
		synctest.Wait()
		r.wantCounts(28, 8, 0)
		time.Sleep(time.Second)
		r.send(1) // 8 failed, 11 overdue
		r.wantState("closed")
		time.Sleep(5 * time.Second)
		r.wantRefused(r.do(), 5*time.Second)
	})
}

// TestWaitingForATurnIsNotSilence: time counts from when an attempt goes to the network.
func TestWaitingForATurnIsNotSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(-1, hangs))
		r.rt = r.group.Wrap(byHost)(answering(func(req *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Second)
			return begun(r.Upstream).RoundTrip(req)
		}))
		r.send(21)
		time.Sleep(15*time.Second - 1)
		r.send(1)
		r.wantState("closed")
		time.Sleep(1)
		r.wantRefused(r.do(), 5*time.Second)
		time.Sleep(10 * time.Second) // the last one has waited, too
	})
}

// TestAnAttemptGoesToTheNetworkOnce, however often that is told.
func TestAnAttemptGoesToTheNetworkOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(-1, hangs))
		r.rt = r.group.Wrap(byHost)(begun(begun(r.Upstream)))
		r.send(19)
		time.Sleep(5 * time.Second)
		r.send(1)
		r.wantState("closed")
	})
}

// TestAStreamIsNotOverdue: what its client still sends has no answer yet.
func TestAStreamIsNotOverdue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := patient()
		s.Replayable = func(req *http.Request) bool { return req.Header.Get("Streamed") == "" }
		r := newKnown(t, s, times(-1, late))
		streamed := r.get()
		streamed.Header.Set("Streamed", "yes")
		for range 40 {
			go policytest.Do(r.rt, streamed.Clone(r.Context()))
		}
		synctest.Wait()
		time.Sleep(6 * time.Second)
		r.send(1)
		r.wantState("closed")
	})
}

func TestNothingIsOverdueWithoutTheSetting(t *testing.T) {
	for name, off := range map[string]func(*breaker.Settings){
		"overdue": func(s *breaker.Settings) { s.Overdue = 0 },
		"run":     func(s *breaker.Settings) { s.FailureRun = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := patient()
				off(&s)
				r := newKnown(t, s, times(-1, hangs))
				r.send(100)
				time.Sleep(19 * time.Second)
				r.send(1)
				r.wantState("closed")
			})
		})
	}
}

// TestOverdueThatIsTurnedOffIsOffForWhatIsOnItsWay: an operator whose provider takes its time
// today reloads without the setting. The circuit opened all the same, for the attempts that
// were sent before, and gave up the probe that was.
func TestOverdueThatIsTurnedOffIsOffForWhatIsOnItsWay(t *testing.T) {
	off := patient()
	off.Overdue = 0
	t.Run("attempts", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newKnown(t, patient(), times(21, hangs))
			r.send(20)
			r.use(newGroup(t, off, r.group))
			time.Sleep(6 * time.Second)
			r.send(1)
			r.wantState("closed")
		})
	})
	t.Run("a probe", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newKnown(t, patient(), times(21, hangs))
			r.send(20)
			time.Sleep(5 * time.Second)
			r.do()
			time.Sleep(5 * time.Second)
			r.send(1)
			r.use(newGroup(t, off, r.group))
			time.Sleep(6 * time.Second)
			r.wantRefused(r.do(), time.Second)
			r.wantState("half-open")
		})
	})
}

// TestASilentProviderIsKnownAgainBeforeItIsKnownAnew: while calls come back after a probe what
// was known before the opening holds.
func TestASilentProviderIsKnownAgainBeforeItIsKnownAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newKnown(t, patient(), times(20, hangs), fine, times(-1, hangs))
		r.send(20)
		time.Sleep(5 * time.Second)
		r.do()
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200)
		r.send(10) // ten pass in each second
		time.Sleep(time.Second)
		r.send(10)
		time.Sleep(5*time.Second - 1)
		r.send(1)
		r.wantState("closed")
		time.Sleep(1)
		r.wantRefused(r.do(), 10*time.Second)
	})
}

// TestWhatWasRefusedIsCounted since the first of the openings that did not last.
func TestWhatWasRefusedIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, failed, fine, failed)
		want := func(since time.Duration, refused int) {
			t.Helper()
			if s := r.state(); s.Since.Sub(r.begun) != since || s.Refused != refused {
				t.Errorf("%+v, want %d refused since %v", s, refused, since)
			}
		}
		time.Sleep(time.Second)
		r.open()
		want(time.Second, 0)
		r.calls(2)
		want(time.Second, 2)
		time.Sleep(5 * time.Second)
		r.calls(3) // the probe is one of them
		want(time.Second, 4)
		time.Sleep(10 * time.Second)
		r.wantAnswer(r.do(), 200)
		if s := r.state(); !s.Since.IsZero() || s.Refused != 0 {
			t.Errorf("closed: %+v", s)
		}
		time.Sleep(time.Minute)
		r.open()
		r.calls(1)
		want(76*time.Second, 1)
	})
}

func TestOverdueIsPositiveOrOff(t *testing.T) {
	s := settings()
	s.Overdue = -1
	_, err := breaker.New(s, nil)
	if want := "circuit settings: Overdue = -1ns: must not be negative"; err == nil || fmt.Sprint(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
