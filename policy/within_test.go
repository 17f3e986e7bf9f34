package policy_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
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

// The stage that looks at the token once more has the context of the attempt, and a refresh
// that it begins goes on with that, beside the attempt. What the transport tells of the
// request for the token was told to the attempt: the call had been sent twice, and from
// another address.
func TestRequestForATokenIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := grants(1, 0), grants(2, 0)
		first.Body = strings.Replace(first.Body, "3600", "60", 1)
		var attempt *policy.Attempt
		var hooks *httptrace.ClientTrace
		second.Do = func(req *http.Request) {
			attempt, hooks = policy.AttemptFrom(req.Context()), httptrace.ContextClientTrace(req.Context())
		}
		r, k := fetching(t, policytest.NewUpstream(t, first, second))
		upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{Delay: 2 * time.Second})
		r.env.Transport = func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil }
		set := r.compile(plain+`limit = { rate = "1/50s", burst = 1, max_wait = "1m" }`+"\n[upstream.api.auth]\n"+connection, nil)
		call(t, set, "GET", "/", "")
		k.slot <- struct{}{} // another process refreshes, until the attempt is under way
		time.AfterFunc(51*time.Second, func() { <-k.slot })
		if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 || answer.Took != 52*time.Second {
			t.Errorf("answer %+v", answer)
		}
		if attempt != nil || hooks != nil {
			t.Errorf("the request for a token is taken for attempt %v, and tells %v", attempt, hooks)
		}
	})
}
