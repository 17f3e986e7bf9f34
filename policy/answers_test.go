package policy_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
	"outrider/policy/preset"
)

// A refusal is an answer as a provider sends it, and what has to come of it.
type refusal struct {
	preset, name string // no preset: ""
	status       int
	header       string // "Name: value", one a line
	body         string
	want         outcome
}

// An outcome is what came of a call whose first answer was a refusal, and whose second
// would be 200.
type outcome struct {
	class policy.Class  // of the refusal
	get   string        // when a GET was sent, and how it ended
	post  string        // the same of a POST
	gate  time.Duration // for how long the quota was closed; 0: it was not
	alert string        // the word of the quota that is exhausted; "": none
}

const (
	once      = "sent at 0s: " // and the refusal is the answer
	forbidden = once + "403"
	limited   = once + "429"
)

// After a throttle without a time the pause is random, which is 0 here.
func again(after string) string { return "sent at 0s " + after + ": 200" }

var refusals = []refusal{
	{"openai", "too fast", 429, "Retry-After: 2", `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`,
		outcome{policy.ClassThrottled, again("2s"), limited, 2 * time.Second, ""}},
	{"openai", "no credit", 429, "", `{"error":{"message":"You exceeded your current quota, please check your plan","type":"insufficient_quota","code":"insufficient_quota"}}`,
		outcome{policy.ClassExhausted, limited, limited, 0, "insufficient_quota"}},
	{"openai", "the spend limit of a project, although a retry is asked for", 429, "x-should-retry: true", `{"error":{"code":"project_spend_limit_exceeded"}}`,
		outcome{policy.ClassExhausted, limited, limited, 0, "project_spend_limit_exceeded"}},
	{"openai", "no credit, with a time", 429, "Retry-After: 90", `{"error":{"code":"insufficient_quota"}}`,
		outcome{policy.ClassExhausted, limited, limited, 90 * time.Second, "insufficient_quota"}},

	{"salesforce", "the calls of a day", 403, "Sforce-Limit-Info: api-usage=5000/5000", `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`,
		outcome{policy.ClassExhausted, forbidden, forbidden, 0, "REQUEST_LIMIT_EXCEEDED"}},
	{"salesforce", "no permission", 403, "Sforce-Limit-Info: api-usage=25/5000", `[{"message":"no","errorCode":"INSUFFICIENT_ACCESS"}]`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},

	{"hubspot", "the calls of a day", 429, "", `{"status":"error","message":"limit","errorType":"RATE_LIMIT","policyName":"DAILY"}`,
		outcome{policy.ClassExhausted, limited, limited, 0, "DAILY"}},
	{"hubspot", "the calls of ten seconds", 429, "", `{"errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING"}`,
		outcome{policy.ClassThrottled, again("10s"), limited, 10 * time.Second, ""}},
	{"hubspot", "the calls of a second", 429, "", `{"errorType":"RATE_LIMIT","policyName":"SECONDLY"}`,
		outcome{policy.ClassThrottled, again("1s"), limited, time.Second, ""}},

	{"google", "too fast", 403, "", `{"error":{"errors":[{"domain":"usageLimits","reason":"userRateLimitExceeded"}],"code":403}}`,
		outcome{policy.ClassThrottled, again("714.285714ms"), forbidden, 0, ""}},
	{"google", "the calls of a day", 403, "", `{"error":{"errors":[{"domain":"usageLimits","reason":"dailyLimitExceeded"}],"code":403}}`,
		outcome{policy.ClassExhausted, forbidden, forbidden, 0, "dailyLimitExceeded"}},
	{"google", "no permission", 403, "Retry-After: 60", `{"error":{"errors":[{"domain":"global","reason":"insufficientPermissions"}],"code":403}}`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},
	{"google", "something else", 403, "", `{"error":{"errors":[{"reason":"forbidden"}],"code":403}}`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},

	{"github", "a quota that is spent", 403, "X-RateLimit-Limit: 5000\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: in 120s", `{"message":"API rate limit exceeded for user ID 1."}`,
		outcome{policy.ClassThrottled, again("2m0s"), forbidden, 2 * time.Minute, ""}},
	{"github", "a secondary limit with a time", 403, "X-RateLimit-Remaining: 4000\nX-RateLimit-Reset: in 3000s\nRetry-After: 30", `{"message":"You have exceeded a secondary rate limit."}`,
		outcome{policy.ClassThrottled, again("30s"), forbidden, 30 * time.Second, ""}},
	{"github", "a secondary limit without one", 403, "X-RateLimit-Remaining: 4000\nX-RateLimit-Reset: in 3000s", `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`,
		outcome{policy.ClassThrottled, again("1m0s"), forbidden, time.Minute, ""}},
	{"github", "too many, and it does not say of what", 429, "X-RateLimit-Remaining: 4000\nX-RateLimit-Reset: in 3000s", `{"message":"Too many requests."}`,
		outcome{policy.ClassThrottled, again("1m0s"), limited, time.Minute, ""}},
	{"github", "no permission", 403, "X-RateLimit-Remaining: 4000\nX-RateLimit-Reset: in 3000s", `{"message":"Must have admin rights to Repository."}`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},

	{"shopify", "points", 200, "", `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":500,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":400,"restoreRate":50}}}}`,
		outcome{policy.ClassThrottled, again("2s"), again("2s"), 2 * time.Second, ""}},
	{"shopify", "points, of a query that has begun", 200, "", `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"data":{"a":1},"extensions":{"cost":{"requestedQueryCost":500,"actualQueryCost":20,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":400,"restoreRate":50}}}}`,
		outcome{policy.ClassThrottled, again("2s"), once + "200", 2 * time.Second, ""}},
	{"shopify", "points, and not how many", 200, "", `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}`,
		outcome{policy.ClassThrottled, again("714.285714ms"), once + "200", 0, ""}},
	{"shopify", "calls", 429, "Retry-After: 2.0\nX-Shopify-Shop-Api-Call-Limit: 40/40", `{"errors":"Exceeded 2 calls per second for api client."}`,
		outcome{policy.ClassThrottled, again("2s"), limited, 2 * time.Second, ""}},
	{"shopify", "an answer", 200, "", `{"data":{"shop":{"name":"acme"}},"extensions":{"cost":{"requestedQueryCost":1,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":999,"restoreRate":50}}}}`,
		outcome{policy.ClassOK, once + "200", once + "200", 0, ""}},

	{"slack", "too fast", 200, "Retry-After: 30", `{"ok":false,"error":"ratelimited"}`,
		outcome{policy.ClassThrottled, again("30s"), once + "200", 30 * time.Second, ""}},
	{"slack", "a dead token", 200, "", `{"ok":false,"error":"token_revoked"}`,
		outcome{policy.ClassAuth, once + "200", once + "200", 0, ""}},
	{"slack", "a fault of its own", 200, "", `{"ok":false,"error":"internal_error"}`,
		outcome{policy.ClassFault, again("0s"), once + "200", 0, ""}},
	{"slack", "another error", 200, "", `{"ok":false,"error":"channel_not_found"}`,
		outcome{policy.ClassOK, once + "200", once + "200", 0, ""}},

	{"stripe", "a lock", 429, "", `{"error":{"code":"lock_timeout","type":"invalid_request_error"}}`,
		outcome{policy.ClassBusy, again("0s"), again("0s"), 0, ""}},
	{"stripe", "too fast", 429, "Retry-After: 1\nStripe-Rate-Limited-Reason: global-rate", `{"error":{"code":"rate_limit","type":"invalid_request_error"}}`,
		outcome{policy.ClassThrottled, again("1s"), again("1s"), time.Second, ""}},

	{"atlassian", "writes to one issue", 429, "Retry-After: 5\nRateLimit-Reason: jira-per-issue-on-write", `{}`,
		outcome{policy.ClassBusy, again("5s"), limited, 0, ""}},
	{"", "a quota that is spent", 403, "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: in 120s", `{}`,
		outcome{policy.ClassThrottled, again("2m0s"), forbidden, 2 * time.Minute, ""}},
	{"", "a quota that is spent, for longer than the call lasts", 403, "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: in 1200s", `{}`,
		outcome{policy.ClassThrottled, forbidden, forbidden, 20 * time.Minute, ""}},
	{"", "a quota that is spent until nobody knows when", 403, "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 0", `{}`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},
	{"", "no permission", 403, "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 1\nX-RateLimit-Reset: in 120s", `{}`,
		outcome{policy.ClassAuth, forbidden, forbidden, 0, ""}},

	{"atlassian", "the points of an hour", 429, "Retry-After: 50\nRateLimit-Reason: jira-quota-tenant-based", `{}`,
		outcome{policy.ClassThrottled, again("50s"), limited, 50 * time.Second, ""}},
}

func TestRefusalsMeanWhatTheirProvidersSay(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.preset+"/"+r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				get, onGet := r.met(t, "GET", "")
				post, _ := r.met(t, "POST", "{}")
				onGet.get, onGet.post = get, post
				if onGet != r.want {
					t.Errorf("got  %+v\nwant %+v", onGet, r.want)
				}
			})
		})
	}
}

// met makes a call that meets the refusal.
func (r *refusal) met(t *testing.T, method, body string) (told string, got outcome) {
	provider := policytest.NewUpstream(t, r.step(), policytest.Step{Status: 200, Body: "fine"})
	rig := newRig(t, provider)
	rig.env.Jitter = policytest.Jitter(0)
	set := rig.compile(withPreset(r.preset)+"timeout = \"10m\"\n", nil)
	answers := policytest.NewUpstream(t, r.step())
	got.class = classOf(t, rig, answers, r.preset)

	start := time.Now()
	rig.events = nil
	answer, call := call(t, set, method, "/x", body)
	var at []string
	for _, request := range provider.Requests() {
		at = append(at, request.At.Sub(start).String())
	}
	told = fmt.Sprintf("sent at %s: %d", strings.Join(at, " "), answer.Status)
	if len(at) == 1 && answer.Body != r.body {
		t.Errorf("%s: the refusal came as %q", method, answer.Body)
	}
	for _, e := range rig.events {
		switch e.Kind {
		case policy.EventGate:
			got.gate = e.Until.Sub(start)
		case policy.EventExhausted:
			got.alert = e.Reason
		case policy.EventGiveUp:
			if got.class == policy.ClassExhausted && e.Reason != "quota exhausted: "+got.alert {
				t.Errorf("%s: gave up for %q", method, e.Reason)
			}
		}
	}
	if exhausted := got.alert != ""; exhausted && !call.GaveUp() {
		t.Errorf("%s: its own client is not told to let it be", method)
	}
	return told, got
}

// classOf is the class of a call that ends with the refusal: it is sent once.
func classOf(t *testing.T, rig *rig, provider http.RoundTripper, preset string) policy.Class {
	whole := newRig(t, provider)
	whole.env.Jitter = rig.env.Jitter
	set := whole.compile(withPreset(preset)+"retry.attempts = 1\n", nil)
	u, _ := set.ByName("api")
	c := &policy.Call{Upstream: "api"}
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
	ctx := policy.WithCall(req.Context(), c)
	resp, err := u.Plan("GET", "/x").RoundTrip(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return policy.Classify(ctx, resp, nil)
}

// withPreset is an upstream with a preset, or without one.
func withPreset(name string) string {
	const upstream = "[upstream.api]\nurl = \"https://api.test\"\n"
	if name == "" {
		return upstream
	}
	return upstream + fmt.Sprintf("preset = %q\n", name)
}

// step is the refusal as an answer of now: "in 120s" is an epoch.
func (r *refusal) step() policytest.Step {
	header := http.Header{"Content-Type": {"application/json"}}
	for line := range strings.Lines(r.header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if in, ok := strings.CutPrefix(value, "in "); ok {
			d, _ := time.ParseDuration(in)
			value = fmt.Sprint(time.Now().Add(d).Unix())
		}
		header.Set(name, value)
	}
	return policytest.Step{Status: r.status, Header: header, Body: r.body}
}

// Every preset that says what answers mean is among the refusals.
func TestEveryPresetsAnswersAreTried(t *testing.T) {
	tried := map[string]bool{}
	for _, r := range refusals {
		tried[r.preset] = true
	}
	for _, q := range quietFailures {
		tried[q.preset] = true
	}
	for _, name := range presetsWithAnswers() {
		if !tried[name] {
			t.Errorf("no refusal of %s", name)
		}
	}
}

// presetsWithAnswers are those that say what answers mean.
func presetsWithAnswers() (names []string) {
	for _, name := range preset.Names() {
		if p, _ := preset.Find(name); p.Upstream["answer"] != nil {
			names = append(names, name)
		}
	}
	return names
}

// Who is not to listen to the provider does not wait for its reset, either.
func TestSpentQuotaIsNotWaitedForWhereNothingIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := refusal{status: 403, header: "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: in 20s"}
		provider := policytest.NewUpstream(t, r.step(), policytest.Step{Status: 200})
		answer, _ := call(t, newRig(t, provider).compile(plain+"limit = { rate = \"100/s\", learn = false }", nil), "GET", "/", "")
		if answer.Status != 403 || answer.Took != 0 {
			t.Errorf("answer %+v", answer)
		}
	})
}

const explained = plain + `
retry = { attempts = 1 }
[[upstream.api.answer]]
status = 429
field  = "code"
values = ["spent"]
means  = "exhausted"
`

func spent() policytest.Step {
	return policytest.Step{Status: 429, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"code":"spent"}`}
}

// kinds lists what events told of an exhausted quota.
func (r *rig) kinds() (kinds []string) {
	for _, e := range r.events {
		if e.Kind == policy.EventExhausted || e.Kind == policy.EventReplenished {
			kinds = append(kinds, string(e.Kind)+" "+e.Key)
		}
	}
	return kinds
}

// A quota is exhausted until a call of the kind that was refused goes through. That lists
// can be read all the while, at a provider that charges for orders, is no news.
func TestQuotaIsExhaustedUntilSuchACallGoesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ok := policytest.Step{Status: 200}
		r := newRig(t, policytest.NewUpstream(t, spent(), ok, policytest.Step{Status: 404}, spent(), ok, ok))
		set := r.compile(explained, nil)
		u, _ := set.ByName("api")
		for _, step := range []struct {
			method    string
			exhausted bool
		}{{"POST", true}, {"GET", true}, {"POST", true}, {"POST", true}, {"POST", false}, {"POST", false}} {
			call(t, set, step.method, "/", "")
			if got := u.Exhausted("api.test"); got != step.exhausted {
				t.Errorf("after %s it is %v", step.method, got)
			}
		}
		if got, want := r.kinds(), []string{"exhausted api.test", "exhausted api.test", "replenished api.test"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
	})
}

// When the money runs out, dozens of long calls may be under way that were taken before:
// each that came through ended the alert, and the next refusal raised it again.
func TestCallFromBeforeTheRefusalIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := policytest.Step{Status: 200, Delay: 10 * time.Second}
		r := newRig(t, policytest.NewUpstream(t, slow, spent(), policytest.Step{Status: 200}))
		set := r.compile(explained, nil)
		var under sync.WaitGroup
		under.Go(func() { call(t, set, "POST", "/", "") })
		time.Sleep(time.Second)
		call(t, set, "POST", "/", "")
		under.Wait()
		if got, want := r.kinds(), []string{"exhausted api.test"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
		call(t, set, "POST", "/", "")
		if got, want := r.kinds(), []string{"exhausted api.test", "replenished api.test"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
	})
}

// A refusal is told of after it was noted, which may take its time. A call that went
// through in between was told of first, and the alert stood for ever.
func TestRefusalThatIsToldOfLateIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, spent(), policytest.Step{Status: 200}))
		var set *policy.Set
		tell := r.env.Observe
		r.env.Observe = func(ctx context.Context, e policy.Event) {
			if e.Kind == policy.EventExhausted {
				call(t, set, "POST", "/", "")
			}
			tell(ctx, e)
		}
		set = r.compile(explained, nil)
		call(t, set, "POST", "/", "")
		if got, want := r.kinds(), []string{"replenished api.test", "exhausted api.test", "replenished api.test"}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
	})
}

// A reload does not forget what is exhausted, unless nothing could tell any more that it
// is over.
func TestReloadKeepsWhatIsExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, spent()))
		set := r.compile(explained, nil)
		call(t, set, "GET", "/", "")
		kept, _ := r.compile(explained+"[upstream.other]\nurl = \"https://other.test\"\n", set).ByName("api")
		silent, _ := r.compile(plain, set).ByName("api")
		if !kept.Exhausted("api.test") || silent.Exhausted("api.test") {
			t.Errorf("after a reload: %v; without answer: %v", kept.Exhausted("api.test"), silent.Exhausted("api.test"))
		}
	})
}

// A reload that has calls go elsewhere, or with another credential, forgets what was
// exhausted there, and nothing else: no call could tell any more that it is over, and the
// alert stood until the next start.
func TestReloadForgetsWhatNoCallCanTellOf(t *testing.T) {
	document := func(url, token, acme, orders string) string {
		return fmt.Sprintf(`
[upstream.api]
url = %q
auth = { type = "bearer", token = %q }
connection = { acme = { token = %q } }
retry = { attempts = 1 }
answer = [{ status = 429, field = "code", values = ["spent"], means = "exhausted" }]
[[upstream.api.rule]]
match = "/orders/**"
auth = { type = "bearer", token = %q }
`, url, token, acme, orders)
	}
	const home = "https://api.test"
	before := document(home, "env:A", "env:B", "env:C")
	for name, test := range map[string]struct {
		after string
		left  []string
	}{
		"another time":           {strings.Replace(before, "retry", "timeout = \"9s\"\nattempt_timeout = \"9s\"\nretry", 1), []string{"", " acme", " /orders/**"}},
		"another credential":     {document(home, "env:Z", "env:B", "env:C"), []string{" acme", " /orders/**"}},
		"another of acme":        {document(home, "env:A", "env:Z", "env:C"), []string{"", " /orders/**"}},
		"no acme":                {strings.Replace(before, "acme", "other", 1), []string{"", " /orders/**"}},
		"another of the rule":    {document(home, "env:A", "env:B", "env:Z"), []string{"", " acme"}},
		"another rule":           {strings.Replace(before, "/orders/", "/bills/", 1), []string{"", " acme"}},
		"another path":           {document(home+"/v2", "env:A", "env:B", "env:C"), []string{"", " acme", " /orders/**"}},
		"another host":           {document("https://eu.test", "env:A", "env:B", "env:C"), nil},
		"the host is still ours": {strings.Replace(before, home+"\"", "https://eu.test\"\nhosts = [\"api.test\"]", 1), []string{"", " acme", " /orders/**"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			refused := spent()
			refused.Times = 3
			r := newRig(t, policytest.NewUpstream(t, refused))
			set := r.compile(before, nil)
			call(t, set, "GET", "/", "")
			call(t, set, "GET", "/orders/1", "")
			as(t, set, "acme", "/")
			next := r.compile(test.after, set)
			if u := apiOf(t, set); !u.Exhausted("api.test") || !u.Exhausted("api.test acme") || !u.Exhausted("api.test /orders/**") {
				t.Fatalf("%s: not all are exhausted before it is published", name)
			}
			new(policy.Live).Publish(next)
			var left []string
			for _, of := range []string{"", " acme", " /orders/**"} {
				if apiOf(t, next).Exhausted("api.test" + of) {
					left = append(left, of)
				}
			}
			if !slices.Equal(left, test.left) {
				t.Errorf("%s: of %q it is exhausted, want %q", name, left, test.left)
			}
		})
	}
}

// So it is with the credentials of callers, which nobody sends any more where there is one
// for all.
func TestReloadForgetsWhatIsOfCallersOwnCredentials(t *testing.T) {
	for document, kept := range map[string]bool{
		explained: true,
		strings.Replace(explained, "retry", "auth = { type = \"bearer\", token = \"env:A\" }\nretry", 1): false,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policytest.NewUpstream(t, spent()))
			set := r.compile(explained, nil)
			req := policytest.NewRequest(t, "GET", "https://api.test/", "")
			req.Header.Set("Authorization", "Bearer own")
			policytest.Do(apiOf(t, set).Plan("GET", "/"), req.WithContext(policy.WithCall(req.Context(), &policy.Call{})))
			key, _ := strings.CutPrefix(r.kinds()[0], "exhausted ")
			next := r.compile(document, set)
			new(policy.Live).Publish(next)
			if got := apiOf(t, next).Exhausted(key); key == "api.test" || got != kept {
				t.Errorf("%s: %s is kept: %v", document, key, got)
			}
		})
	}
}

// A throttle that lasts for longer than the call has is its caller's at once, in the
// provider's own words, and the gate stays closed.
func TestThrottleBeyondTheDeadlineIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{
			Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"secondary rate limit"}`,
		}))
		set := r.compile("[upstream.api]\npreset = \"github\"\nurl = \"https://api.test\"\n", nil)
		answer, _ := call(t, set, "GET", "/", "")
		if answer.Status != 403 || answer.Body != `{"message":"secondary rate limit"}` || answer.Took != 0 {
			t.Errorf("got %d %q after %v", answer.Status, answer.Body, answer.Took)
		}
		if gate := set.Status()[0].Quotas[0].Gate; gate == nil || time.Until(*gate) < time.Minute {
			t.Errorf("the gate is closed until %v", gate)
		}
	})
}

// What a retry meets is judged by itself: the 503 after a throttle is a 503.
func TestMeaningIsOfTheLatestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := policytest.Step{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"code":"slow down"}`}
		provider := policytest.NewUpstream(t, throttled, policytest.Step{Status: 403})
		r := newRig(t, provider)
		set := r.compile(plain+`answer = [{ status = 403, field = "code", contains = ["slow"], means = "throttled" }]`, nil)
		answer, _ := call(t, set, "GET", "/", "")
		if n := len(provider.Requests()); answer.Status != 403 || n != 2 {
			t.Errorf("ended with %d after %d requests, want the 403 of the second", answer.Status, n)
		}
		var reasons []string
		for _, e := range r.events {
			if e.Kind == policy.EventRetry {
				reasons = append(reasons, e.Reason)
			}
		}
		if want := []string{"throttled: slow"}; !slices.Equal(reasons, want) {
			t.Errorf("retried for %q, want %q", reasons, want)
		}
	})
}

// A throttle is retried where a 429 is: not at all, where that is not.
func TestThrottleIsRetriedWhereA429Is(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := policytest.Step{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"error":"ratelimited"}`}
		provider := policytest.NewUpstream(t, throttled)
		set := newRig(t, provider).compile("[upstream.api]\npreset = \"slack\"\nurl = \"https://api.test\"\nretry.statuses = [503]\n", nil)
		if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 || answer.Body != throttled.Body {
			t.Errorf("got %d %q", answer.Status, answer.Body)
		}
	})
}

// The time of a throttle is read as the limit reads it, which learns by the last of several
// tables: it was read as the first has it, and a rule's was not looked at.
func TestThrottleIsReadInTheDialectOfTheLimit(t *testing.T) {
	const answers = `[[upstream.api.answer]]
status = 403
field  = "error"
values = ["slow"]
means  = "throttled"
`
	for name, document := range map[string]string{
		"the last table": plain + "limit = [{ concurrency = 9 }, { concurrency = 5, dialect = \"milliseconds\" }]\n" + answers,
		"of the rule":    plain + "limit = []\n" + answers + "[[upstream.api.rule]]\nmatch = \"/**\"\nlimit = { concurrency = 5, dialect = \"milliseconds\" }\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			slow := policytest.Step{Status: 403, Body: `{"error":"slow"}`, Header: http.Header{
				"Content-Type": {"application/json"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1500"},
			}}
			provider := policytest.NewUpstream(t, slow, policytest.Step{})
			r := newRig(t, provider)
			r.env.Jitter = policytest.Jitter(0)
			if answer, _ := call(t, r.compile(document, nil), "GET", "/", ""); answer.Status != 200 || answer.Took != 1500*time.Millisecond {
				t.Errorf("%s: got %d after %v", name, answer.Status, answer.Took)
			}
		})
	}
}

// A provider that says it is busy by a 503 is no better than one that says nothing.
func TestBusyFaultsOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := policytest.Step{Times: -1, Status: 503, Header: http.Header{"X-Busy": {"1"}}}
		set := newRig(t, policytest.NewUpstream(t, busy)).compile(plain+`
retry   = { attempts = 1 }
circuit = { min_calls = 3 }
answer  = [{ status = 503, header = "X-Busy", means = "busy" }]`, nil)
		for range 3 {
			call(t, set, "GET", "/", "")
		}
		if state := set.Status()[0].Circuits[0].State; state != "open" {
			t.Errorf("the circuit is %s", state)
		}
	})
}

func TestAnswerStageStandsInsideOfLimit(t *testing.T) {
	u, _ := newRig(t, nil).compile(explained, nil).ByName("api")
	if got, want := strings.Join(u.Plans()[0].Stages, " "), "deadline retry auth circuit limit answer attempt"; got != want {
		t.Errorf("chain is %q, want %q", got, want)
	}
	u, _ = newRig(t, nil).compile(plain+"limit = []", nil).ByName("api")
	if got, want := strings.Join(u.Plans()[0].Stages, " "), "deadline retry auth circuit attempt"; got != want {
		t.Errorf("chain without limit and answer is %q, want %q", got, want)
	}
}

// What is said of a call says what its answers mean.
func TestExplainKnowsWhatAnswersMean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, spent()))
		set := r.compile(explained, nil)
		call(t, set, "GET", "/", "")
		e, err := set.Explain(t.Context(), "GET", "/api/", "")
		if err != nil || e.Verdict != "sent at once; the provider has refused others, since the quota is exhausted" {
			t.Errorf("got %+v, %v", e, err)
		}
		for preset, when := range map[string]bool{"stripe": true, "github": false} {
			e, err := r.compile(fmt.Sprintf("[upstream.api]\npreset = %q\n", preset), nil).Explain(t.Context(), "POST", "/api/x", "")
			if err != nil {
				t.Fatal(err)
			}
			row := e.Retries[3]
			if row.When != "answered what means throttled or busy" || row.Retry != when {
				t.Errorf("%s: got %+v", preset, row)
			}
		}
		for method, again := range map[string]bool{"GET": true, "POST": false} {
			e, err := r.compile("[upstream.api]\npreset = \"slack\"\n", nil).Explain(t.Context(), method, "/api/x", "")
			if err != nil {
				t.Fatal(err)
			}
			if row := e.Retries[4]; row.When != "answered what means a fault" || row.Retry != again {
				t.Errorf("%s: got %+v", method, row)
			}
		}
	})
}

// Each connection has quotas of its own, and one that was handed over again, or removed,
// has none that is exhausted: nothing else would say so of a customer who has left.
func TestQuotaOfAConnectionIsForgottenWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := tenants(t, newShelves(), nil, spent(), policytest.Step{}, spent(), policytest.Step{Times: -1})
		answers := strings.TrimPrefix(explained, plain)
		set := r.compile(keyed+answers, nil)
		handOver(t, set, "acme", `{"token":"a"}`)
		handOver(t, set, "other", `{"token":"b"}`)
		as(t, set, "acme", "/")
		as(t, set, "other", "/")
		handOver(t, set, "acme", `{"token":"c"}`)
		as(t, set, "acme", "/")
		as(t, set, "acme", "/")
		if got, want := r.kinds(), []string{
			"exhausted api.test acme", "replenished api.test acme", "exhausted api.test acme", "replenished api.test acme",
		}; !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
	})
}
