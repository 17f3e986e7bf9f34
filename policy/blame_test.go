package policy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// Outrider-Timeout let any caller that is in a hurry open the circuit of all the
// others: what its own clock cut short was held against the upstream.
func TestImpatientCallerDoesNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t,
			policytest.Step{Times: 10, Delay: time.Second, Unsent: true},
			policytest.Step{Times: 30, Delay: time.Second},
			policytest.Step{Times: -1})
		set := newRig(t, upstream).compile(plain, nil)
		u, _ := set.ByName("api")
		for range 40 {
			req := policytest.NewRequest(t, "GET", "https://api.test/", "")
			ctx := policy.WithCall(req.Context(), &policy.Call{})
			ctx = policy.WithControls(ctx, policy.Controls{Timeout: 10 * time.Millisecond, NoRetry: true})
			answer := policytest.Do(u.Plan("GET", "/"), req.WithContext(ctx))
			if class := policy.Classify(ctx, nil, answer.Err); class != policy.ClassClientGone {
				t.Fatalf("the caller's own time ended it with %v, class %s", answer.Err, class)
			}
		}
		if answer, _ := call(t, set, "GET", "/", ""); answer.Err != nil {
			t.Errorf("a patient caller gets %v", answer.Err)
		}
	})
}

// A localError is that of an attempt which this machine could not make.
type localError struct{ error }

func (localError) Local() bool { return true }

// Without a descriptor for another connection nothing could be sent, and five such attempts
// opened the circuit of a provider that was well. They are tried again all the same, as what
// was never sent is, and a letter loses no attempt by them.
func TestShortageOfThisMachineDoesNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := localError{errors.New("too many open files")}
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 3 + 40, Unsent: true, Err: short}, policytest.Step{Times: -1})
		set := newRig(t, upstream).compile(plain, nil)
		if answer, _ := call(t, set, "POST", "/", "text"); answer.Err == nil || upstream.Tries() != 3 {
			t.Errorf("%v after %d tries, want three", answer.Err, upstream.Tries())
		}
		u, _ := set.ByName("api")
		plan := u.Plan("POST", "/")
		for range 40 {
			req := policytest.NewRequest(t, "POST", "https://api.test/", "text")
			ctx := policy.WithCall(req.Context(), &policy.Call{Upstream: "api"})
			req = req.WithContext(policy.WithControls(ctx, policy.Controls{NoRetry: true}))
			resp, err := plan.RoundTrip(req)
			if class := policy.Classify(req.Context(), resp, err); class != policy.ClassLocal {
				t.Fatalf("class %s of %v", class, err)
			}
			if got := plan.Settle(req, resp, err); got.Verdict != policy.VerdictNotSent || !got.NothingDone {
				t.Fatalf("a letter would be: %+v", got)
			}
		}
		if answer, _ := call(t, set, "POST", "/", "text"); answer.Err != nil {
			t.Errorf("with descriptors again: %v", answer.Err)
		}
		if state := set.Status()[0].Circuits[0].State; state != "closed" {
			t.Errorf("the circuit is %s", state)
		}
	})
}

// That there was no descriptor for three attempts in a row was taken for something that may have
// been applied, where another attempt does no harm: a call that became a letter had been sent
// before it was, so it was told, and its key ran out though nobody had seen it.
func TestNothingIsDoneByAttemptsThatThisMachineCouldNotMake(t *testing.T) {
	short := policytest.Step{Times: 3, Unsent: true, Err: localError{errors.New("too many open files")}}
	for name, s := range map[string]sending{
		"a POST":            {},
		"a PUT":             {method: "PUT"},
		"a POST with a key": {key: "k"},
	} {
		s.settings, s.steps = thrice, []policytest.Step{short}
		synctest.Test(t, func(t *testing.T) {
			got := settled(t, s)
			if want := (policy.Settlement{Verdict: policy.VerdictNotSent, NothingDone: true, Rescue: true, Why: got.Why}); got != want {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		})
	}
}

// A call that had waited in line until its time was nearly over was cut short
// in its attempt, and the circuit of a provider that was well opened.
func TestFullQueueDoesNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Delay: time.Second})
		r := newRig(t, upstream)
		r.env.Observe = func(context.Context, policy.Event) {} // the rig remembers them, for one call at a time
		set := r.compile(plain+`
timeout = "10s"
attempt_timeout = "5s"
retry = { attempts = 1 }
circuit = { min_calls = 1, failure_ratio = 0.01 }
limit = { rate = "1/s", burst = 1 }`, nil)
		var calls sync.WaitGroup
		for i := range 12 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				call(t, set, "GET", "/", "")
			})
		}
		calls.Wait()
		if sent := len(upstream.Requests()); sent != 11 {
			t.Errorf("%d calls were sent, want 11, the last of them too late", sent)
		}
		if state := set.Status()[0].Circuits[0].State; state != "closed" {
			t.Errorf("the circuit is %s", state)
		}
	})
}

// What waits in line is not overdue, however long nobody has had an answer: the provider
// was asked one thing. Without the line it would have been asked all, and be silent.
func TestALineIsNotSilence(t *testing.T) {
	for limits, want := range map[string]string{
		"":                            "open",
		"limit = { concurrency = 1 }": "closed",
	} {
		synctest.Test(t, func(t *testing.T) {
			upstream := policytest.NewUpstream(t, policytest.Step{Times: 20}, policytest.Step{Times: -1, Hang: true})
			r := newRig(t, upstream)
			r.env.Observe = func(context.Context, policy.Event) {} // the rig remembers them, for one call at a time
			set := r.compile(plain+limits, nil)
			for range 20 {
				call(t, set, "GET", "/", "")
			}
			var calls sync.WaitGroup
			for range 30 {
				calls.Go(func() { call(t, set, "GET", "/", "") })
			}
			time.Sleep(5 * time.Second)
			calls.Go(func() { call(t, set, "GET", "/", "") })
			synctest.Wait()
			if state := set.Status()[0].Circuits[0].State; state != want {
				t.Errorf("with %q the circuit is %s, want %s", limits, state, want)
			}
			calls.Wait()
		})
	}
}

// With a credential the stages judge an attempt by the context of that itself, which has
// ended with it: that must look neither like a client that left nor like a fault.
func TestAttemptThatIsOverIsJudgedByWhatEndedIt(t *testing.T) {
	for _, test := range []struct {
		name  string
		step  policytest.Step
		leave bool // the client does, after a second
		want  string
	}{
		{"no connection", policytest.Step{Unsent: true}, false, "open"},
		{"reset", policytest.Step{Err: errors.New("reset")}, false, "open"},
		{"500", policytest.Step{Status: 500}, false, "open"},
		{"silent", policytest.Step{Hang: true}, false, "open"},
		{"broken off", policytest.Step{Body: "half", BodyErr: io.ErrUnexpectedEOF}, false, "open"},
		{"silent in its body", policytest.Step{Body: "half", Stall: true}, false, "open"},
		{"client gone", policytest.Step{Hang: true}, true, "closed"},
		{"client gone from the body", policytest.Step{Body: "half", Stall: true}, true, "closed"},
		{"fine", policytest.Step{Body: "whole"}, false, "closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := newRig(t, policytest.NewUpstream(t, test.step)).compile(plain+`
auth = { type = "bearer", token = "env:T" }
attempt_timeout = "5s"
idle_timeout = "5s"
retry = { attempts = 1 }
circuit = { min_calls = 1, failure_ratio = 0.01, consecutive = 1 }`, nil)
				client, leave := context.WithCancel(t.Context())
				defer leave()
				if test.leave {
					time.AfterFunc(time.Second, leave)
				}
				u, _ := set.ByName("api")
				ctx := policy.WithCall(client, &policy.Call{Upstream: "api"})
				req := policytest.NewRequest(t, "GET", "https://api.test/", "")
				policytest.Do(u.Plan("GET", "/"), req.WithContext(policy.Within(ctx)))
				if got := set.Status()[0].Circuits[0].State; got != test.want {
					t.Errorf("the circuit is %s, want %s", got, test.want)
				}
			})
		})
	}
}

// What an answer means is in its body, which comes a while after its head. The circuit, the
// quota and the budget took the time of the head for that of their verdict: the circuit that
// a slow one opened let the next pass before its time.
func TestVerdictIsOfTheTimeWhenAnAnswerIsUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := policytest.Step{Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"code":"down"}`, BodyDelay: 1500 * time.Millisecond}
		set := newRig(t, policytest.NewUpstream(t, failed)).compile(plain+`
retry   = { attempts = 1 }
circuit = { min_calls = 1, open = "5s" }
answer  = [{ status = 200, field = "code", values = ["down"], means = "fault" }]`, nil)
		if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 {
			t.Errorf("answer %+v", answer)
		}
		answer, _ := call(t, set, "GET", "/", "")
		open, ok := errors.AsType[*breaker.OpenError](answer.Err)
		if !ok || time.Until(open.Until) != 5*time.Second {
			t.Errorf("the circuit has %v, want to have it open for 5s from now", answer.Err)
		}
	})
}
