package policy_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

const paying = plain + `retry = { idempotency_header = "Idempotency-Key" }
`

// send makes a call with a header of its own.
func send(t *testing.T, set *policy.Set, connection, method, body string, header http.Header) (policytest.Answer, *policy.Call) {
	t.Helper()
	c := &policy.Call{Upstream: "api", Connection: connection}
	req := policytest.NewRequest(t, method, "https://api.test/x", body)
	for name, values := range header {
		req.Header[name] = values
	}
	u, _ := set.ByName("api")
	return policytest.Do(u.Plan(method, "/x"), req.WithContext(policy.WithCall(req.Context(), c))), c
}

// Twilio says that it processed nothing that it answers 429: a message is sent again
// that has no key, and once.
func TestTwilio429IsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 429}, policytest.Step{Status: 201}, policytest.Step{Status: 503})
		set := newRig(t, upstream).compile(`[upstream.api]
preset = "twilio"
auth = { username = "env:U", password = "env:P" }`, nil)
		for _, want := range []int{201, 503} {
			if answer, _ := send(t, set, "", "POST", "sms", nil); answer.Status != want {
				t.Errorf("answered %d, want %d", answer.Status, want)
			}
		}
		if n := len(upstream.Requests()); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}

// A 409 under a key is told apart by the type of its problem, where it has one: that of
// a request which is still running is waited for, any other conflict stands.
func TestConflictsUnderAKeyAreToldApart(t *testing.T) {
	for body, tt := range map[string]struct {
		kind string
		sent int
	}{
		`{"type":"https://developer.example.com/Idempotency","title":"A request is outstanding"}`: {"application/problem+json", 2},
		`{"type":"https://api.test/problems/email-taken"}`:                                        {"application/problem+json", 1},
		`{"title":"Conflict"}`: {"application/problem+json", 1},
		`{"type":"conflict"}`:  {"application/json", 2},
		``:                     {"", 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			upstream := policytest.NewUpstream(t,
				policytest.Step{Status: 409, Header: http.Header{"Content-Type": {tt.kind}}, Body: body}, policytest.Step{Status: 201})
			set := newRig(t, upstream).compile(paying, nil)
			answer, _ := send(t, set, "", "POST", "pay", http.Header{"Idempotency-Key": {"k1"}})
			sent := len(upstream.Requests())
			if sent != tt.sent || sent == 1 && answer.Body != body {
				t.Errorf("%s: sent %d times, and answered %d %q", body, sent, answer.Status, answer.Body)
			}
		})
	}
}

// The key that a call got from us is known of it also where nothing came back: it is
// all that makes the caller's own retry safe.
func TestMintedKeyIsKnownOfACallWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Err: io.ErrUnexpectedEOF, Times: -1})
		set := newRig(t, upstream).compile(plain+`retry = { idempotency_header = "x-request-key", mint_key = true }`, nil)
		answer, c := send(t, set, "", "POST", "pay", nil)
		if header, key := c.Minted(); answer.Err == nil || header != "X-Request-Key" || key != "minted" {
			t.Errorf("%v, and the key is %q in %q", answer.Err, key, header)
		}
		if c.NotRetried() != "attempts" || !c.GaveUp() {
			t.Errorf("not retried for %q", c.NotRetried())
		}
		if _, c := send(t, set, "", "POST", "pay", http.Header{"X-Request-Key": {"mine"}}); true {
			if _, key := c.Minted(); key != "" {
				t.Errorf("a call with a key of its own got %q", key)
			}
		}
	})
}

func TestCallKnowsWhyItWasNotRetried(t *testing.T) {
	for want, tt := range map[string]struct {
		settings, method string
		step             policytest.Step
	}{
		"":              {"", "POST", policytest.Step{Status: 404}},
		"unsafe method": {"", "POST", policytest.Step{Status: 503}},
		"budget":        {"retry = { budget = 0 }", "GET", policytest.Step{Status: 503}},
		"quota exhausted": {`[[upstream.api.answer]]
status = 429
header = "x-spent"
means  = "exhausted"`, "GET", policytest.Step{Status: 429, Header: http.Header{"X-Spent": {"1"}}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			set := newRig(t, policytest.NewUpstream(t, tt.step)).compile(plain+tt.settings, nil)
			if _, c := send(t, set, "", tt.method, "", nil); c.NotRetried() != want {
				t.Errorf("not retried for %q, want %q", c.NotRetried(), want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a refusal of our own says so itself
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{})).compile(plain+`limit = { rate = "1/h", burst = 1, max_wait = "1s" }`, nil)
		send(t, set, "", "GET", "", nil)
		if answer, c := send(t, set, "", "GET", "", nil); answer.Err == nil || c.NotRetried() != "" {
			t.Errorf("%v, and not retried for %q", answer.Err, c.NotRetried())
		}
	})
}

// A caller's retry is known over a reload, and is that of its own customer alone.
func TestRetriesOfCallersAreKnownOverAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{Status: 503, Times: -1}))
		set := r.compile(paying, nil)
		k1 := http.Header{"Idempotency-Key": {"k1"}}
		send(t, set, "", "POST", "", k1)
		send(t, set, "acme", "POST", "q", nil)
		set = r.compile(paying+"timeout = \"30s\"\n", set)
		r.events = nil
		send(t, set, "other", "POST", "q", nil)
		send(t, set, "other", "POST", "", k1)
		send(t, set, "", "POST", "", k1)
		send(t, set, "acme", "POST", "q", nil)
		var told []string
		for _, e := range r.events {
			if e.Kind == policy.EventRepeat {
				told = append(told, e.Reason)
			}
		}
		if len(told) != 2 || told[0] != "same key" || told[1] != "same request" {
			t.Errorf("told of %q", told)
		}
	})
}

// Counted where they arrive: the replay after a 401 is a second request, and costs
// nothing of the budget; a retry costs one.
func TestBudgetPaysForRetriesAndNotForTheReplayAfterA401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := "old"
		upstream := policytest.NewUpstream(t,
			policytest.Step{Status: 503}, policytest.Step{},
			policytest.Step{Status: 401, Do: func(*http.Request) { key = "new" }}, policytest.Step{},
			policytest.Step{Status: 401}, // and once more it is no replay: there is no other key
		)
		r := newRig(t, upstream)
		r.env.Secret = func(config.Reference) (string, error) { return key, nil }
		set := r.compile(plain+`
auth = { type = "bearer", token = "file:/key" }
retry = { budget = "10%" }`, nil)
		for _, step := range []struct {
			status, requests int
			budget           float64
		}{{200, 2, 49}, {200, 4, 49.1}, {401, 5, 49.2}} {
			answer, _ := send(t, set, "", "GET", "", nil)
			if n, left := len(upstream.Requests()), set.Status()[0].Budget; answer.Status != step.status || n != step.requests || left != step.budget {
				t.Errorf("answered %d after %d requests, %v retries left; want %+v", answer.Status, n, left, step)
			}
		}
	})
}

// A provider that hangs costs one answer of our own, at the call's deadline, and not
// one for each attempt.
func TestHangCostsOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Hang: true, Times: -1})
		set := newRig(t, upstream).compile(plain+`timeout = "50s"
attempt_timeout = "20s"
retry = { attempts = 10 }`, nil)
		answer, c := send(t, set, "", "GET", "", nil)
		if answer.Took != 50*time.Second || c.NotRetried() != "deadline" || len(upstream.Requests()) != 3 {
			t.Errorf("%v after %v and %d attempts, ended by %q", answer.Err, answer.Took, len(upstream.Requests()), c.NotRetried())
		}
	})
}

// Without a status that is worth another attempt, nothing is foretold of one: explain said
// that "answered ", and no status, is sent again.
func TestForecastWithoutStatusesNamesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, settings := range []string{"retry = { statuses = [] }", "retry = { statuses = [429], unprocessed = [429] }"} {
			set := newRig(t, policytest.NewUpstream(t)).compile(plain+settings, nil)
			e, err := set.Explain(t.Context(), "GET", "/api/x", "")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range e.Retries {
				if r.When == "answered " {
					t.Errorf("%s: %+v", settings, r)
				}
			}
		}
	})
}

// The body of an answer that is sent for again may never end. It kept the turn of its
// call, and where there was no other, the next attempt waited for itself until the call
// was refused.
func TestAnswerThatStallsDoesNotKeepItsTurnFromTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 503, Body: "half", Stall: true}, policytest.Step{Status: 201})
		set := newRig(t, upstream).compile(plain+"limit = { concurrency = 1 }\n", nil)
		begun := time.Now()
		answer, _ := send(t, set, "", "GET", "", nil)
		if took := time.Since(begun); answer.Status != 201 || took != 500*time.Millisecond {
			t.Errorf("answered %d %v after %v", answer.Status, answer.Err, took)
		}
	})
}
