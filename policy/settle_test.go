package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// A sending is one send of a letter in a test.
type sending struct {
	method   string // "": POST
	key      string // in Idempotency-Key; "": none
	settings string // of the upstream, besides those of letters
	steps    []policytest.Step
	controls policy.Controls
	depart   func(context.Context) error
	ctx      func(context.Context) (context.Context, context.CancelFunc)
}

const letters = plain + `
auth    = { type = "bearer", token = "env:T" }
outbox  = "allow"
limit   = []
`

// settled sends a letter, and says what it has come to.
func settled(t *testing.T, s sending) policy.Settlement {
	t.Helper()
	if s.method == "" {
		s.method = "POST"
	}
	upstream := policytest.NewUpstream(t, s.steps...)
	set := newRig(t, upstream).compile(letters+s.settings, nil)
	u, _ := set.ByName("api")
	plan := u.Plan(s.method, "/")
	req := policytest.NewRequest(t, s.method, "https://api.test/", "text")
	if s.key != "" {
		req.Header.Set("Idempotency-Key", s.key)
	}
	ctx := policy.WithCall(req.Context(), &policy.Call{Upstream: "api", Depart: s.depart})
	ctx = policy.WithControls(ctx, s.controls)
	if s.ctx != nil {
		var cancel context.CancelFunc
		ctx, cancel = s.ctx(ctx)
		defer cancel()
	}
	req = req.WithContext(ctx)
	resp, err := plan.RoundTrip(req)
	settlement := plan.Settle(req, resp, err)
	if resp != nil {
		resp.Body.Close()
	}
	return settlement
}

func status(code int, header ...string) policytest.Step {
	step := policytest.Step{Status: code, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		step.Header.Set(header[i], header[i+1])
	}
	return step
}

func says(code int, body string) policytest.Step {
	return policytest.Step{Status: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

const (
	single = "retry = { attempts = 1, idempotency_header = \"Idempotency-Key\" }\n"
	thrice = "retry = { base = \"1s\", cap = \"1s\", idempotency_header = \"Idempotency-Key\" }\n"
)

func TestSettlements(t *testing.T) {
	reset := errors.New("connection reset")
	for name, tt := range map[string]struct {
		sending
		want policy.Settlement // without Why
	}{
		"2xx is delivered":                  {sending{steps: []policytest.Step{status(201)}}, policy.Settlement{Verdict: policy.VerdictDelivered}},
		"304 is the answer to a condition":  {sending{method: "GET", steps: []policytest.Step{status(304)}}, policy.Settlement{Verdict: policy.VerdictDelivered}},
		"3xx is not delivered":              {sending{steps: []policytest.Step{status(303)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "redirected"}},
		"nor is it of a GET":                {sending{method: "GET", steps: []policytest.Step{status(301)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "redirected"}},
		"4xx is permanent":                  {sending{steps: []policytest.Step{status(400)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"404 of a DELETE is permanent":      {sending{method: "DELETE", steps: []policytest.Step{status(404)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"501 is permanent":                  {sending{key: "k", steps: []policytest.Step{status(501)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"status 200 that failed":            {sending{settings: `answer = [{ status = 200, field = "error", means = "failed" }]`, steps: []policytest.Step{says(200, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"status 200 of which a part failed": {sending{settings: `answer = [{ status = 200, field = "error", means = "partial" }]`, steps: []policytest.Step{says(200, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},

		// The credential.
		"401 is the credential's":       {sending{steps: []policytest.Step{status(401)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute, NothingDone: true}},
		"403 too":                       {sending{steps: []policytest.Step{status(403)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute, NothingDone: true}},
		"403 with a time":               {sending{steps: []policytest.Step{status(403, "Retry-After", "60")}}, policy.Settlement{Verdict: policy.VerdictLater, After: time.Minute, NothingDone: true}},
		"an answer that means refused":  {sending{settings: `answer = [{ status = 400, field = "error", means = "refused" }]`, steps: []policytest.Step{says(400, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute, NothingDone: true}},
		"403 with nothing left":         {sending{steps: []policytest.Step{status(403, "X-RateLimit-Limit", "60", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "946688400")}}, policy.Settlement{Verdict: policy.VerdictLater, After: time.Hour, NothingDone: true, Rescue: true}},
		"403 that a table says is fast": {sending{settings: `answer = [{ status = 403, field = "error", means = "throttled", wait = "30s" }]`, steps: []policytest.Step{says(403, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 30 * time.Second, NothingDone: true, Rescue: true}},

		// What passes, by what a second sending could do.
		"no answer to a POST":              {sending{steps: []policytest.Step{{Err: reset}}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
		"no answer to a POST with a key":   {sending{settings: single, key: "k", steps: []policytest.Step{{Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"no answer to a key not honoured":  {sending{key: "k", steps: []policytest.Step{{Err: reset}}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
		"no answer to a PUT":               {sending{settings: "retry = { attempts = 1 }", method: "PUT", steps: []policytest.Step{{Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"no answer to a POST vouched for":  {sending{settings: "retry = { attempts = 1 }", controls: policy.Controls{Idempotent: true}, steps: []policytest.Step{{Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"no byte left":                     {sending{settings: single, steps: []policytest.Step{{Unsent: true, Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, NothingDone: true, Rescue: true}},
		"503 to a POST":                    {sending{steps: []policytest.Step{status(503)}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
		"503 to a POST with a key":         {sending{settings: single, key: "k", steps: []policytest.Step{status(503, "Retry-After", "90")}}, policy.Settlement{Verdict: policy.VerdictLater, After: 90 * time.Second, Rescue: true}},
		"524, which no status list has":    {sending{settings: single, key: "k", steps: []policytest.Step{status(524)}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"429 to a POST":                    {sending{steps: []policytest.Step{status(429, "Retry-After", "5")}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
		"429 that is unprocessed":          {sending{settings: "retry = { attempts = 1, unprocessed = [429] }", steps: []policytest.Step{status(429, "Retry-After", "5")}}, policy.Settlement{Verdict: policy.VerdictLater, After: 5 * time.Second, NothingDone: true, Rescue: true}},
		"421":                              {sending{settings: "retry = { attempts = 1 }", steps: []policytest.Step{status(421)}}, policy.Settlement{Verdict: policy.VerdictLater, NothingDone: true, Rescue: true}},
		"a quota that is spent":            {sending{settings: `answer = [{ status = 429, field = "error", means = "exhausted" }]`, steps: []policytest.Step{says(429, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute, NothingDone: true, Rescue: true}},
		"409 under a key":                  {sending{settings: single, key: "k", steps: []policytest.Step{status(409)}}, policy.Settlement{Verdict: policy.VerdictLater}},
		"409 under a key of nobody else":   {sending{settings: single, key: "k", controls: policy.Controls{FirstUse: true}, steps: []policytest.Step{status(409)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"409 after no answer":              {sending{settings: thrice, key: "k", controls: policy.Controls{FirstUse: true}, steps: []policytest.Step{{Err: reset}, status(409), status(409)}}, policy.Settlement{Verdict: policy.VerdictLater}},
		"409 about something else":         {sending{settings: single, key: "k", steps: []policytest.Step{{Status: 409, Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: `{"type":"/taken"}`}}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"409 without a key":                {sending{steps: []policytest.Step{status(409)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"422 under a key":                  {sending{settings: single, key: "k", steps: []policytest.Step{status(422)}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"a word against it":                {sending{settings: single, key: "k", steps: []policytest.Step{status(429, "X-Should-Retry", "false")}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"a word against it, of a failure":  {sending{settings: single, key: "k", steps: []policytest.Step{status(500, "X-Should-Retry", "false")}}, policy.Settlement{Verdict: policy.VerdictDead, Reason: "refused"}},
		"a word against it, without a key": {sending{settings: single, steps: []policytest.Step{status(500, "X-Should-Retry", "false")}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
		"a word for it":                    {sending{settings: single, key: "k", steps: []policytest.Step{status(400, "X-Should-Retry", "true")}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"status 200 that is throttled":     {sending{settings: single + `answer = [{ status = 200, field = "error", means = "throttled", wait = "7s" }]`, key: "k", steps: []policytest.Step{says(200, `{"error":"no"}`)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 7 * time.Second, Rescue: true}},

		// Several attempts: the last one counts, and none of a keyed one is forgotten.
		"a PUT that never left, 3 times":         {sending{settings: thrice, method: "PUT", steps: []policytest.Step{{Times: 3, Unsent: true, Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, NothingDone: true, Rescue: true}},
		"a POST with a key that never left":      {sending{settings: thrice, key: "k", steps: []policytest.Step{{Times: 3, Unsent: true, Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, NothingDone: true, Rescue: true}},
		"no answer, then a shortage":             {sending{settings: thrice, key: "k", steps: []policytest.Step{{Err: reset}, {Times: 2, Unsent: true, Err: localError{reset}}}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"refused to connect, then a 401":         {sending{settings: thrice, key: "k", steps: []policytest.Step{{Unsent: true, Err: reset}, status(401)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute, NothingDone: true}},
		"no answer, then a 401":                  {sending{settings: thrice, key: "k", steps: []policytest.Step{{Err: reset}, status(401)}}, policy.Settlement{Verdict: policy.VerdictLater, After: 15 * time.Minute}},
		"no answer, then refused to connect":     {sending{settings: thrice, key: "k", steps: []policytest.Step{{Err: reset}, {Times: 2, Unsent: true, Err: reset}}}, policy.Settlement{Verdict: policy.VerdictLater, Rescue: true}},
		"a POST that was never applied, 3 times": {sending{settings: "retry = { base = \"1s\", cap = \"1s\", unprocessed = [429] }", steps: []policytest.Step{status(429), {Unsent: true, Err: reset}, status(429)}}, policy.Settlement{Verdict: policy.VerdictLater, NothingDone: true, Rescue: true}},
		"a POST that may have been, the 2nd":     {sending{settings: "retry = { base = \"1s\", cap = \"1s\", unprocessed = [429] }", steps: []policytest.Step{status(429), {Err: reset}}}, policy.Settlement{Verdict: policy.VerdictUnknown, Reason: "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := settled(t, tt.sending)
				if got.Why == "" {
					t.Error("nobody is told why")
				}
				if got.Why = ""; got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

// With auth none there is no credential of ours that somebody could mend.
func TestDeniedWithoutACredentialIsPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 401})
		set := newRig(t, upstream).compile(plain+"auth = { type = \"none\" }\noutbox = \"allow\"", nil)
		u, _ := set.ByName("api")
		req := policytest.NewRequest(t, "POST", "https://api.test/", "text")
		req = req.WithContext(policy.WithCall(req.Context(), &policy.Call{}))
		resp, err := u.Plan("POST", "/").RoundTrip(req)
		if got := u.Plan("POST", "/").Settle(req, resp, err); got.Verdict != policy.VerdictDead || got.Reason != "refused" {
			t.Errorf("got %+v", got)
		}
	})
}

// What we refuse ourselves is no attempt, and comes back when the refusal says.
func TestLocalRefusalIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := settled(t, sending{depart: func(context.Context) error { return errors.New("lost") }})
		if got.Verdict != policy.VerdictNotSent || got.After != 0 || !got.NothingDone {
			t.Errorf("one that may not depart: %+v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2, Unsent: true, Err: errors.New("refused")})
		set := newRig(t, upstream).compile(letters+"retry = { attempts = 1 }\ncircuit = { consecutive = 2, open = \"10s\" }", nil)
		u, _ := set.ByName("api")
		var got policy.Settlement
		for range 3 {
			req := policytest.NewRequest(t, "POST", "https://api.test/", "text")
			req = req.WithContext(policy.WithCall(req.Context(), &policy.Call{}))
			resp, err := u.Plan("POST", "/").RoundTrip(req)
			got = u.Plan("POST", "/").Settle(req, resp, err)
		}
		want := policy.Settlement{Verdict: policy.VerdictNotSent, After: 10 * time.Second, NothingDone: true, Rescue: true, Why: got.Why}
		if got != want {
			t.Errorf("behind an open circuit: %+v, want %+v", got, want)
		}
	})
}

// A send that is broken off while it waits for its turn has done nothing; one that is on the
// wire may have.
func TestSendThatIsBrokenOff(t *testing.T) {
	shutdown := func(after time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, after)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		got := settled(t, sending{steps: []policytest.Step{{Hang: true}}, ctx: shutdown(time.Second)})
		if got.Verdict != policy.VerdictUnknown {
			t.Errorf("a POST on the wire: %+v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		got := settled(t, sending{settings: thrice, key: "k", steps: []policytest.Step{{Hang: true}}, ctx: shutdown(time.Second)})
		if got.Verdict != policy.VerdictLater || got.NothingDone {
			t.Errorf("one with a key on the wire: %+v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{})
		set := newRig(t, upstream).compile(strings.Replace(letters, "limit   = []", `limit = { rate = "1/h", shape = "window", max_wait = "3h" }`, 1)+`timeout = "5s"`, nil)
		u, _ := set.ByName("api")
		plan := u.Plan("POST", "/")
		for _, want := range []policy.Verdict{policy.VerdictDelivered, policy.VerdictNotSent} {
			req := policytest.NewRequest(t, "POST", "https://api.test/", "text")
			ctx, cancel := context.WithTimeout(policy.WithCall(req.Context(), &policy.Call{}), time.Second)
			req = req.WithContext(ctx)
			resp, err := plan.RoundTrip(req)
			if got := plan.Settle(req, resp, err); got.Verdict != want {
				t.Errorf("in line: %+v (%v), want %s", got, err, want)
			}
			cancel()
		}
	})
}

// A live call with a key of ours is rescued under that key. A letter is never given one on
// its way, since each send would have another.
func TestKeyOfACallOnItsWay(t *testing.T) {
	const minting = "retry = { attempts = 1, idempotency_header = \"Idempotency-Key\", mint_key = true }"
	synctest.Test(t, func(t *testing.T) {
		got := settled(t, sending{settings: minting, steps: []policytest.Step{{Err: errors.New("reset")}}})
		if got.Verdict != policy.VerdictLater || !got.Rescue {
			t.Errorf("a call that got a key: %+v", got)
		}
		got = settled(t, sending{settings: minting, controls: policy.Controls{NoKey: true}, steps: []policytest.Step{
			{Do: func(req *http.Request) {
				if key := req.Header.Get("Idempotency-Key"); key != "" {
					t.Errorf("a letter without a key got %q on its way", key)
				}
			}, Err: errors.New("reset")},
		}})
		if got.Verdict != policy.VerdictUnknown {
			t.Errorf("a letter without a key: %+v", got)
		}
	})
}

// An answer of old is no delivery.
func TestEarlierAnswerIsNoDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Body: "old"}, policytest.Step{Status: 500})
		set := newRig(t, upstream).compile(letters+"stale_if_error = \"1h\"\nretry = { attempts = 1 }", nil)
		u, _ := set.ByName("api")
		plan := u.Plan("GET", "/")
		for _, want := range []policy.Verdict{policy.VerdictDelivered, policy.VerdictLater} {
			req := policytest.NewRequest(t, "GET", "https://api.test/", "")
			req = req.WithContext(policy.WithCall(req.Context(), &policy.Call{}))
			resp, err := plan.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got := plan.Settle(req, resp, err)
			buffer := make([]byte, 8)
			for err == nil {
				_, err = resp.Body.Read(buffer)
			}
			resp.Body.Close()
			if got.Verdict != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
	})
}

// The table of settlements and that of retries are about the same harm: what may not be sent
// again now may not be later.
func TestSettlementsAreAsSafeAsRetries(t *testing.T) {
	for _, class := range []retry.Class{retry.Idempotent, retry.Keyed, retry.Vouched, retry.Unsafe} {
		for ending, now := range map[policy.Ending]retry.Row{
			"unsent":        retry.Lookup(class, retry.Unsent, ""),
			"no answer":     retry.Lookup(class, retry.NoAnswer, ""),
			"unprocessed":   retry.Lookup(class, retry.Answered, retry.Unprocessed),
			"to be retried": retry.Lookup(class, retry.Answered, retry.Listed),
			"permanent":     retry.Lookup(class, retry.Answered, retry.Final),
		} {
			for _, row := range policy.Settlements() {
				if row.Ending != ending || row.Class != "" && row.Class != class {
					continue
				}
				if again := row.Verdict == policy.VerdictLater; again != now.Retry {
					t.Errorf("%s, %s: later is %v, and now is %v", ending, class, again, now.Retry)
				}
				break
			}
		}
	}
}

func TestSettlementsAreACopy(t *testing.T) {
	rows := policy.Settlements()
	for i := range rows {
		rows[i].Verdict = policy.VerdictDelivered
	}
	if policy.Settlements()[0].Verdict == policy.VerdictDelivered {
		t.Error("the table that decides was written to")
	}
}

// TestDocumentationShowsTheSettlements: docs/decisions.md has the table row by row.
func TestDocumentationShowsTheSettlements(t *testing.T) {
	data, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| the send ended | request | the letter is | why |\n|---|---|---|---|\n")
	for _, row := range policy.Settlements() {
		class, becomes := string(row.Class), string(row.Verdict)
		if class == "" {
			class = "any"
		}
		switch {
		case row.Reason != "" && row.Verdict == policy.VerdictDead:
			becomes += ", `" + row.Reason + "`"
		case row.Slow:
			becomes += ", slowly"
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", row.Ending, class, becomes, row.Why)
	}
	if !strings.Contains(string(data), want.String()) {
		t.Errorf("docs/decisions.md does not have this table:\n%s", want.String())
	}
}
