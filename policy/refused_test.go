package policy_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"outrider/policy/config"
	"outrider/policy/policytest"
)

// The replay after a 401 is a second request: it pays for a turn of its own, and
// gets it even where there is one for all, since the 401 was let go before.
func TestReplayAfterARefusalTakesATurnOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := "old"
		upstream := policytest.NewUpstream(t,
			policytest.Step{Status: 401, Body: "refused", Do: func(*http.Request) { key = "new" }}, // its file was written anew
			policytest.Step{Body: "fine"})
		r := newRig(t, upstream)
		r.env.Secret = func(config.Reference) (string, error) { return key, nil }
		set := r.compile(plain+`
auth = { type = "bearer", token = "file:/key" }
limit = { rate = "1/m", burst = 5, concurrency = 1 }`, nil)
		answer, _ := call(t, set, "POST", "/", "body")
		if answer.Status != 200 || answer.Body != "fine" || answer.Took != 0 {
			t.Errorf("answer %+v", answer)
		}
		if got := upstream.Requests(); len(got) != 2 || got[1].Body != "body" || got[1].Header.Get("Authorization") != "Bearer new" {
			t.Errorf("upstream got %+v", got)
		}
		if left := set.Status()[0].Quotas[0].Tokens; left != 3 {
			t.Errorf("%v turns are left, want 3", left)
		}
	})
}
