package policy_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// A listener may make its request with the context that a plan would make. The time of the
// call begins with its way through the plan, and that is no part of another one.
func TestRequestMayBeMadeWithinItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{Delay: time.Minute, Times: 2})
		set := newRig(t, upstream).compile(plain+`
timeout = "10s"`, nil)
		u, _ := set.ByName("api")
		call := &policy.Call{Upstream: "api"}
		within := policy.Within(policy.WithCall(t.Context(), call))
		req := policytest.NewRequest(t, "GET", "https://api.test/", "").WithContext(within)
		if _, ends := within.Deadline(); ends || policy.CallFrom(within) != call {
			t.Error("the call has begun, or is another one")
		}
		time.Sleep(time.Minute)
		for i, want := range []int{200, 0} {
			began := time.Now()
			answer := policytest.Do(u.Plan("GET", "/"), req)
			if answer.Status != want {
				t.Errorf("way %d: %+v", i, answer)
			}
			if timeout, ok := errors.AsType[*policy.TimeoutError](answer.Err); want == 0 && (!ok || timeout.Clock != "timeout" || time.Since(began) != 10*time.Second) {
				t.Errorf("way %d ended after %s with %v", i, time.Since(began), answer.Err)
			}
		}
	})
}

// The stages between the credential and the attempt have the context of the attempt already,
// and must not take it for one under way.
func TestAttemptIsUnknownBeforeItBegins(t *testing.T) {
	var asked, sent *policy.Attempt
	network := doing(func(req *http.Request) { sent = policy.AttemptFrom(req.Context()) })
	set := newRig(t, network).compile(plain+`
auth = { type = "bearer", token = "env:T" }`, nil)
	depart := func(ctx context.Context) error {
		asked = policy.AttemptFrom(ctx)
		return nil
	}
	answer, _ := leaving(t, set, policytest.NewRequest(t, "GET", "https://api.test/", ""), depart)
	if answer.Status != 200 || asked != nil || sent == nil {
		t.Errorf("%+v; as it was asked to depart the attempt was %v, and on the wire %v", answer, asked, sent)
	}
}

// doing is a network that does something with each request.
type doing func(*http.Request)

func (f doing) RoundTrip(req *http.Request) (*http.Response, error) {
	f(req)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}
