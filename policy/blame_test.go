package policy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
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
