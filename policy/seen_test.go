package policy_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// told is an answer that says what is left of a bucket that comes back at some time.
func told(status, limit, remaining int, reset time.Time, bucket string) policytest.Step {
	return policytest.Step{Status: status, Header: http.Header{
		"X-Ratelimit-Limit":     {strconv.Itoa(limit)},
		"X-Ratelimit-Remaining": {strconv.Itoa(remaining)},
		"X-Ratelimit-Reset":     {strconv.FormatInt(reset.Unix(), 10)},
		"X-Ratelimit-Resource":  {bucket},
	}}
}

// explain says what would happen to a call now.
func explain(t *testing.T, set *policy.Set, method, path string) *policy.Explanation {
	t.Helper()
	e, err := set.Explain(t.Context(), method, "https://api.test"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// clock is a time of the day as verdicts have it.
func clock(t time.Time) string { return t.Local().Format("15:04:05 MST") }

func TestLearnedQuotaIsARowOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := time.Now().Add(time.Hour).UTC()
		set := newRig(t, policytest.NewUpstream(t, told(200, 5000, 4000, reset, "core"))).compile(plain, nil)
		call(t, set, "GET", "/user", "")
		got, err := json.Marshal(set.Status()[0].Quotas)
		if err != nil {
			t.Fatal(err)
		}
		want := `[{"key":"api.test","limit":"learned","tokens":0,"room":0,"active":0,"waiting":0,"line":{"high":0,"normal":0,"low":0}},` +
			`{"key":"api.test","bucket":"core","limit":"learned","learned":{"limit":5000,"remaining":4000,"reset":"` +
			reset.Local().Format(time.RFC3339) + `","shape":"window","unit":"requests"},"utilization":0.2,` +
			`"tokens":0,"room":0,"active":0,"waiting":0,"line":{"high":0,"normal":0,"low":0}}]`
		if string(got) != want {
			t.Errorf("status is\n%s, want\n%s", got, want)
		}
	})
}

func TestQuotaThatIsForgottenIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, told(200, 100, 10, time.Now().Add(time.Minute), "core"))).compile(plain, nil)
		call(t, set, "GET", "/user", "")
		for after, want := range []int{2, 2, 2, 1} { // known for two windows, and a minute
			if got := len(set.Status()[0].Quotas); got != want {
				t.Errorf("after %d minutes %d quotas, want %d", after, got, want)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestConfiguredQuotaTellsWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1})).compile(plain+`limit = { rate = "10/h", shape = "window", concurrency = 3 }`, nil)
		for range 4 {
			call(t, set, "GET", "/", "")
		}
		q := set.Status()[0].Quotas[0]
		if q.Tokens != 6 || q.Room != 10 || q.Utilization == nil || *q.Utilization != 0.4 {
			t.Errorf("%+v", q)
		}
		set = newRig(t, policytest.NewUpstream(t, policytest.Step{})).compile(plain+`limit = { concurrency = 3 }`, nil)
		call(t, set, "GET", "/", "")
		if q := set.Status()[0].Quotas[0]; q.Utilization != nil {
			t.Errorf("without a rate: %v", *q.Utilization)
		}
	})
}

// Once explain looked for the limit in the configuration of a quota that had been
// learned, which is not there, and ended the admin request in a panic.
func TestExplainNamesTheBucketsThatACallCountsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hour, minute := time.Now().Add(time.Hour), time.Now().Add(time.Minute)
		set := newRig(t, policytest.NewUpstream(t, told(200, 5000, 4000, hour, "core"), told(200, 30, 0, minute, "search"))).
			compile(plain+`limit = { rate = "100/s", max_wait = "2m" }`, nil)
		call(t, set, "GET", "/user", "")
		call(t, set, "GET", "/search/code", "")

		e := explain(t, set, "GET", "/repos/a/b")
		// The search was taken to count to core until it was answered.
		if len(e.Quotas) != 2 || e.Quotas[1].Bucket != "core" || e.Quotas[1].Learned.Remaining != 3999 || e.Verdict != "sent at once" {
			t.Errorf("another call: %s\n%+v", e.Verdict, e.Quotas)
		}
		e = explain(t, set, "GET", "/search/code")
		if len(e.Quotas) != 2 || e.Quotas[1].Bucket != "search" || e.Quotas[1].Wait != 60 || e.Quotas[1].Why != "quota" {
			t.Errorf("a search: %+v", e.Quotas)
		}
		if want := "sent in 60.000 s: search of api.test is spent until " + clock(minute); e.Verdict != want {
			t.Errorf("a search: %q, want %q", e.Verdict, want)
		}
	})
}

func TestExplainSaysWhatACallWouldWaitFor(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(time.Minute) }
	for name, c := range map[string]struct {
		policy string
		steps  func() []policytest.Step
		want   func() string
	}{
		"a rate": {`limit = { rate = "1/s", burst = 1 }`, func() []policytest.Step { return []policytest.Step{{}} },
			func() string { return "sent in 1.000 s: 1/s of api.test is spent" }},
		"too long a wait": {`limit = { rate = "1/m", burst = 1 }`, func() []policytest.Step { return []policytest.Step{{}} },
			func() string {
				return "refused with 429: its turn would come in 60.000 s, and it may wait 30s: 1/m of api.test is spent"
			}},
		"a gate": {`limit = { max_wait = "2m" }`, func() []policytest.Step {
			return []policytest.Step{{Status: 429, Header: http.Header{"Retry-After": {"60"}}}}
		}, func() string {
			return "the provider has closed api.test until " + clock(time.Now().Add(time.Minute+125*time.Millisecond))
		}},
		"a window": {`limit = { max_wait = "2m", shape = "window" }`, func() []policytest.Step { return []policytest.Step{told(200, 100, 0, soon(), "core")} },
			func() string { return "sent in 60.000 s: core of api.test is spent until " + clock(soon()) }},
		"an even pace": {`limit = { shape = "smooth" }`, func() []policytest.Step {
			return []policytest.Step{told(200, 100, 6, soon(), "core"), told(200, 100, 5, soon(), "core")}
		},
			func() string { return "what is left of core of api.test is stretched until " + clock(soon()) }},
		"refusals that say nothing": {"", func() []policytest.Step { return []policytest.Step{{}, {Status: 429}} },
			func() string { return "api.test goes at " }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := c.steps()
				set := newRig(t, policytest.NewUpstream(t, steps...)).compile(plain+"retry = { attempts = 1 }\n"+c.policy, nil)
				want := c.want()
				for range steps {
					call(t, set, "GET", "/user", "")
				}
				if e := explain(t, set, "GET", "/user"); !strings.Contains(e.Verdict, want) {
					t.Errorf("%q, want %q\n%+v", e.Verdict, want, e.Quotas)
				}
			})
		})
	}
}

// A call that waits for one that is under way has no time that could be told.
func TestExplainTellsWhichSlotsAreTaken(t *testing.T) {
	jobs := policytest.Step{Header: http.Header{"Ratelimit-Policy": {`"jobs";q=2;qu="concurrent-requests"`}}}
	for policies, want := range map[string]string{
		"": "sent when another has its answer: all 2 that may be are under way for jobs of api.test",
		`limit = { rate = "9/s", burst = 9, concurrency = 2 }`: "sent when another has its answer: all 2 that may be are under way for api.test",
	} {
		synctest.Test(t, func(t *testing.T) {
			set := newRig(t, policytest.NewUpstream(t, jobs, policytest.Step{Times: 2, Delay: time.Second})).compile(plain+policies, nil)
			call(t, set, "GET", "/user", "")
			ended := []<-chan time.Duration{sendAs(t, set, "GET", "/user", policy.Controls{}), sendAs(t, set, "GET", "/user", policy.Controls{})}
			if e := explain(t, set, "GET", "/user"); e.Verdict != want {
				t.Errorf("%q, want %q\n%+v", e.Verdict, want, e.Quotas)
			}
			for _, q := range set.Status()[0].Quotas {
				if slots := q.Slots; (q.Bucket == "jobs") != (slots == 2) && policies == "" {
					t.Errorf("%s %s has %d slots", q.Key, q.Bucket, slots)
				}
			}
			for _, c := range ended {
				<-c
			}
		})
	}
}
