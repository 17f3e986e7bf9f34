package breaker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

func TestProbeClosesTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, fine, times(3, fine))
		r.open()
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200)
		r.wantCounts(1, 0, 0)
		r.calls(3)
		r.wantCounts(4, 0, 0)
		r.wantChanges("0s closed→open until 5s", "5s open→half-open", "5s half-open→closed")
	})
}

func TestProbeThatFailsOpensTheCircuitAgain(t *testing.T) {
	for name, step := range map[string]policytest.Step{
		"failure": failed, "refused": refused, "slow": slow, "error": {Err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, quick(), failed, step)
				r.open()
				time.Sleep(5 * time.Second)
				r.do()
				r.wantRefused(r.do(), 10*time.Second)
			})
		})
	}
}

func TestSlowProbeClosesWhereSlownessIsNoReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		s.SlowRatio = 0
		r := newRig(t, s, failed, slow)
		r.open()
		time.Sleep(5 * time.Second)
		r.calls(1)
		r.wantCounts(1, 0, 0)
	})
}

func TestOneProbeAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, policytest.Step{Delay: 3 * time.Second}, fine)
		r.open()
		time.Sleep(5 * time.Second)
		probe := make(chan policytest.Answer)
		go func() { probe <- r.do() }()
		synctest.Wait()
		r.wantState("half-open")
		r.wantRefused(r.do(), time.Second)
		time.Sleep(2 * time.Second)
		r.wantRefused(r.do(), time.Second)
		r.wantAnswer(<-probe, 200)
		r.wantAnswer(r.do(), 200)
		if r.Tries() != 3 {
			t.Errorf("%d requests were sent", r.Tries())
		}
	})
}

func TestOnlyAReplayableRequestMayProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, fine, fine)
		r.open()
		time.Sleep(5 * time.Second)
		r.wantRefused(policytest.Do(r.rt, r.stream()), time.Second)
		r.wantState("open") // and gobreaker was not asked
		r.wantAnswer(r.do(), 200)
		r.wantAnswer(policytest.Do(r.rt, r.stream()), 200)
	})
}

// TestCircuitOfStreamsOnlyRecovers: where nothing replayable is ever sent the
// circuit would stay open for ever, if nothing else could be the probe.
func TestCircuitOfStreamsOnlyRecovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, fine)
		r.open()
		time.Sleep(9*time.Second + 500*time.Millisecond)
		r.wantRefused(policytest.Do(r.rt, r.stream()), 500*time.Millisecond)
		time.Sleep(500*time.Millisecond - 1)
		r.wantRefused(policytest.Do(r.rt, r.stream()), 1)
		time.Sleep(1)
		r.wantAnswer(policytest.Do(r.rt, r.stream()), 200)
		r.wantState("closed")
	})
}

// TestProbeAlwaysEnds lets the probe end in every way that gives no verdict or
// a late one, and then sees that the circuit is not stuck.
func TestProbeAlwaysEnds(t *testing.T) {
	attempt := errors.New("attempt timeout")
	for name, test := range map[string]struct {
		step  policytest.Step
		probe func(r *rig)
		after func(r *rig)
	}{
		"client leaves": {
			step: policytest.Step{Hang: true},
			probe: func(r *rig) {
				ctx, leave := context.WithCancel(r.Context())
				time.AfterFunc(time.Second, leave)
				policytest.Do(r.rt, r.get().WithContext(ctx))
			},
			after: roomForTheNext,
		},
		"attempt deadline": {
			step: policytest.Step{Hang: true},
			probe: func(r *rig) {
				ctx, cancel := context.WithTimeoutCause(r.Context(), 20*time.Second, attempt)
				defer cancel()
				if a := policytest.Do(r.rt, r.get().WithContext(ctx)); a.Err != attempt {
					r.Errorf("answer %+v", a)
				}
			},
			after: func(r *rig) {
				r.wantRefused(r.do(), 10*time.Second)
				time.Sleep(10 * time.Second)
				roomForTheNext(r)
			},
		},
		"panic": {
			step: policytest.Step{Do: func(*http.Request) { panic(http.ErrAbortHandler) }},
			probe: func(r *rig) {
				defer func() {
					if recover() != http.ErrAbortHandler {
						r.Error("the panic was lost")
					}
				}()
				r.do()
			},
			after: roomForTheNext,
		},
		"goexit": {
			step: policytest.Step{Do: func(*http.Request) { runtime.Goexit() }},
			probe: func(r *rig) {
				ended := make(chan bool)
				go func() { defer close(ended); r.do() }()
				<-ended
			},
			after: roomForTheNext,
		},
		"upgrade": {
			step: policytest.Step{Upgrade: func(peer policytest.Conn) { io.Copy(io.Discard, peer) }},
			probe: func(r *rig) {
				resp, err := r.rt.RoundTrip(r.get())
				if err != nil {
					r.Fatal(err)
				}
				r.Cleanup(func() { resp.Body.Close() })
			},
			after: func(r *rig) { r.wantCounts(1, 0, 0); r.wantAnswer(r.do(), 200) },
		},
		"body never closed": {
			step:  fine,
			probe: func(r *rig) { r.rt.RoundTrip(r.get()) },
			after: func(r *rig) { r.wantCounts(1, 0, 0); r.wantAnswer(r.do(), 200) },
		},
		"failure whose body is never closed": {
			step:  policytest.Step{Status: 500, Body: "sorry"},
			probe: func(r *rig) { r.rt.RoundTrip(r.get()) },
			after: func(r *rig) {
				r.wantRefused(r.do(), 10*time.Second)
				time.Sleep(10 * time.Second)
				roomForTheNext(r)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, quick(), failed, test.step, fine)
				r.open()
				time.Sleep(5 * time.Second)
				test.probe(r)
				test.after(r)
			})
		})
	}
}

// roomForTheNext checks that the next request is the probe, at once.
func roomForTheNext(r *rig) {
	r.wantState(map[bool]string{true: "half-open", false: "open"}[r.state().Openings == 1])
	r.wantAnswer(r.do(), 200)
	r.wantState("closed")
}

// TestPanicOfACallbackFreesTheProbe: the first thing that happens under the
// probe's permit is that OnChange is told of the half-open circuit.
func TestPanicOfACallbackFreesTheProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		up := policytest.NewUpstream(t, failed, fine)
		panics := true
		s.OnChange = func(_ context.Context, c breaker.Change) {
			if c.To == "half-open" && panics {
				panics = false
				panic("telling")
			}
		}
		rt := newGroup(t, s, nil).Wrap(byHost)(up)
		get := func() policytest.Answer { return policytest.Do(rt, policytest.NewRequest(t, "GET", target, "")) }
		get()
		time.Sleep(5 * time.Second)
		func() {
			defer func() { recover() }()
			get()
		}()
		if a := get(); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
	})
}

// TestCallbackMayAskBack: OnChange is called with no lock held.
func TestCallbackMayAskBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		var r *rig
		var seen []string
		up := policytest.NewUpstream(t, failed, fine)
		r = &rig{T: t, Upstream: up, begun: time.Now()}
		s.OnChange = func(context.Context, breaker.Change) {
			seen = append(seen, r.state().State)
		}
		r.use(newGroup(t, s, nil))
		r.open()
		time.Sleep(5 * time.Second)
		r.do()
		if len(seen) != 3 || seen[0] != "open" || seen[1] != "half-open" || seen[2] != "closed" {
			t.Errorf("seen %q", seen)
		}
	})
}

func TestSnapshotMovesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed)
		r.open()
		time.Sleep(time.Hour)
		r.wantState("open")
		r.wantChanges("0s closed→open until 5s")
		if until := r.state().Until.Sub(r.begun); until != 5*time.Second {
			t.Errorf("until %v", until)
		}
	})
}
