package policy_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// sendAs sends one call that asks for something, and tells when it has ended.
func sendAs(t *testing.T, set *policy.Set, method, path string, asks policy.Controls) <-chan time.Duration {
	t.Helper()
	plan := set.Upstreams()[0].Plan(method, path)
	ctx := policy.WithControls(policy.WithCall(t.Context(), &policy.Call{}), asks)
	took := make(chan time.Duration, 1)
	go func() {
		start := time.Now()
		req, _ := http.NewRequestWithContext(ctx, method, "http://api.test"+path, nil)
		resp, err := plan.RoundTrip(req)
		if err != nil {
			t.Errorf("%s %s ended with %v", method, path, err)
		} else {
			resp.Body.Close()
		}
		took <- time.Since(start)
	}()
	synctest.Wait()
	return took
}

func TestCallerIsAskedOnlyWhenItsCallHasToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1})).compile(plain+`limit = { rate = "1/s", burst = 1 }`, nil)
		asked := 0
		caller := func() string { asked++; return "me" }
		<-sendAs(t, set, "GET", "/", policy.Controls{Caller: caller})
		if asked != 0 {
			t.Error("it was asked although it need not wait")
		}
		low := sendAs(t, set, "GET", "/", policy.Controls{Caller: caller, Priority: policy.PriorityLow})
		if line := set.Status()[0].Quotas[0].Line; asked != 1 || line != (policy.Line{Low: 1}) {
			t.Errorf("asked %d times, %+v wait", asked, line)
		}
		high := sendAs(t, set, "GET", "/", policy.Controls{Priority: policy.PriorityHigh})
		if first, second := <-high, <-low; first != time.Second || second != 2*time.Second {
			t.Errorf("high waited %v, low %v", first, second)
		}
	})
}

// To find out who the caller is may take some milliseconds. Before a backoff, it is asked whether
// the next attempt would have a turn: the time that this took was in no span and no header, and
// the backoff came after it.
func TestWaitThatIsToldHasTheTimeInItThatTheCallerIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 503}, policytest.Step{Body: "fine"})
		r := newRig(t, upstream)
		set := r.compile(plain+`
retry = { base = "100ms", cap = "100ms" }
limit = { rate = "2/s", burst = 1 }`, nil)
		u, _ := set.ByName("api")
		c := &policy.Call{Upstream: "api"}
		req := policytest.NewRequest(t, "GET", "https://api.test/", "")
		ctx := policy.WithControls(policy.WithCall(req.Context(), c), policy.Controls{
			Caller: func() string { time.Sleep(19 * time.Millisecond); return "me" },
		})
		answer := policytest.Do(u.Plan("GET", "/"), req.WithContext(ctx))
		if answer.Status != 200 || answer.Took != 500*time.Millisecond || c.Waited() != answer.Took {
			t.Errorf("%d after %v (%v), of which %v are told, want 500ms and all of them", answer.Status, answer.Took, answer.Err, c.Waited())
		}
		var told []string
		for _, e := range r.events {
			if e.Kind == policy.EventBackoff || e.Kind == policy.EventWait {
				told = append(told, fmt.Sprintf("%s %v", e.Kind, e.Delay))
			}
		}
		if want := []string{"backoff 50ms", "wait 450ms"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestRuleSaysWhatItsCallsCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1})).compile(plain+`
limit = { rate = "10/s", burst = 10 }
rule = [{ match = "POST", cost = 5, limit = { rate = "20/s", burst = 1 } }]`, nil)
		<-sendAs(t, set, "GET", "/", policy.Controls{})
		<-sendAs(t, set, "POST", "/", policy.Controls{})
		e, err := set.Explain(context.Background(), "POST", "http://api.test/", "")
		if err != nil {
			t.Fatal(err)
		}
		// 4 of 10 are left of the upstream's, and the rule's has 4 to pay and 1 to earn.
		if q := e.Quotas; len(q) != 2 || q[0].Cost != 5 || q[0].Wait != 0.1 || q[1].Wait != 0.25 {
			t.Errorf("the forecast is %+v", q)
		}
		if took := <-sendAs(t, set, "POST", "/", policy.Controls{}); took != 250*time.Millisecond {
			t.Errorf("sent after %v, want 250ms", took)
		}
	})
}

// The calls of a rule have to pass its limit and the upstream's: while they wait for
// theirs, they hold nothing of the upstream's.
func TestCallsOfARuleDoNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1})).compile(plain+`
limit = { concurrency = 1 }
rule = [{ match = "POST", limit = { rate = "1/10s", burst = 1 } }]`, nil)
		<-sendAs(t, set, "POST", "/", policy.Controls{})
		post := sendAs(t, set, "POST", "/", policy.Controls{})
		if took := <-sendAs(t, set, "GET", "/", policy.Controls{}); took != 0 {
			t.Errorf("GET waited %v behind a POST that waited for the limit of its rule", took)
		}
		if took := <-post; took != 10*time.Second {
			t.Errorf("POST waited %v", took)
		}
	})
}

// The limits once were stages one inside of the other. Calls that had a token of the
// upstream's rate, and waited for the window of their rule, went all at once when it
// opened: three in the same instant, where ten a second are allowed, one at a time.
func TestWindowOfARuleThatOpensKeepsTheRateOfTheUpstream(t *testing.T) {
	for _, outer := range []string{"limit", "rule"} {
		synctest.Test(t, func(t *testing.T) {
			rate, window := `{ rate = "10/s", burst = 1 }`, `{ rate = "3/10s", shape = "window" }`
			if outer == "rule" {
				rate, window = window, rate
			}
			set := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1})).compile(plain+`
limit = `+rate+`
rule = [{ match = "POST", limit = `+window+` }]`, nil)
			var ended []<-chan time.Duration
			for range 7 {
				ended = append(ended, sendAs(t, set, "POST", "/", policy.Controls{}))
			}
			// A window is 200 ms longer than it is at the provider, for the time on the way.
			for i, want := range []int{0, 100, 200, 10200, 10300, 10400, 20400} {
				if took := <-ended[i]; took != time.Duration(want)*time.Millisecond {
					t.Errorf("with the rate in the %s, call %d went after %v, want %d ms", outer, i, took, want)
				}
			}
		})
	}
}
