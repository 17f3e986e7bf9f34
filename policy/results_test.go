package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

const listed = plain + `
results = ["records", "."]
retry.attempts = 1
`

// emptied lists what events told of lists.
func (r *rig) emptied() (told []string) {
	for _, e := range r.events {
		switch e.Kind {
		case policy.EventEmpty:
			told = append(told, fmt.Sprintf("%s: %d", e.Key, e.Empty.Run))
		case policy.EventFilled:
			told = append(told, e.Key+" again")
		}
	}
	return told
}

func TestListsThatBecomeEmptyAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		some, empty := jsonAnswer(200, `{"totalSize":1,"records":[{}]}`), jsonAnswer(200, `{"totalSize":0,"records":[]}`)
		some.Times, empty.Times = 60, 30
		back := jsonAnswer(200, `[1]`)
		back.Times = -1
		r := newRig(t, policytest.NewUpstream(t, some, empty, back))
		set := r.compile(listed, nil)
		for i := range 90 {
			call(t, set, "GET", fmt.Sprintf("/v1/orders/%d?q=canary", i), "")
		}
		const endpoint = "GET api.test/v1/orders/*"
		if got := r.emptied(); !slices.Equal(got, []string{endpoint + ": 20"}) {
			t.Errorf("told %q", got)
		}
		for name, again := range map[string]*policy.Set{"as it was": r.compile(listed, set), "without results": r.compile(plain, set)} {
			if u, _ := again.ByName("api"); u.Emptied(endpoint) != (name == "as it was") {
				t.Errorf("after a reload %s: %v", name, u.Emptied(endpoint))
			}
		}
		time.Sleep(time.Hour)
		call(t, set, "GET", "/v1/orders/90", "")
		if got := r.emptied(); !slices.Equal(got, []string{endpoint + ": 20", endpoint + " again"}) {
			t.Errorf("told %q", got)
		}
	})
}

// An old answer says nothing of what there is now, and neither does an attempt that is not
// the last.
func TestOnlyWhatCallsEndWithIsCounted(t *testing.T) {
	set := newRig(t, nil).compile(listed+"stale_if_error = \"1h\"\nhedge = true", nil)
	u, _ := set.ByName("api")
	if got := u.Plan("GET", "/").Stages[:4]; !slices.Equal(got, []string{"deadline", "stale", "results", "retry"}) {
		t.Errorf("the chain is %q", got)
	}
}

// An upstream without results asks for what its callers ask for.
func TestListsAreAskedForInACodingThatIsRead(t *testing.T) {
	for document, want := range map[string]string{listed: "gzip", plain: "br, gzip"} {
		provider := policytest.NewUpstream(t, jsonAnswer(200, `[]`), jsonAnswer(200, `[]`))
		set := newRig(t, provider).compile(document, nil)
		u, _ := set.ByName("api")
		for _, method := range []string{"GET", "POST"} {
			req := policytest.NewRequest(t, method, "https://api.test/", "")
			req.Header.Set("Accept-Encoding", "br, gzip")
			policytest.Do(u.Plan(method, "/"), req)
		}
		requests := provider.Requests()
		if got := requests[0].Header.Get("Accept-Encoding"); got != want {
			t.Errorf("a GET asks for %q, want %q", got, want)
		}
		if got := requests[1].Header.Get("Accept-Encoding"); got != "br, gzip" {
			t.Errorf("a POST asks for %q", got)
		}
	}
}
