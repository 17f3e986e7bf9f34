package answer_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/answer"
	"outrider/policy/policytest"
	"outrider/policy/quota"
)

// Where a word is found in a body, and which.
func TestPathsAreFollowedThroughLists(t *testing.T) {
	for name, test := range map[string]struct {
		path             string
		values, contains []string
		body             string
		want             string // "": it does not fit
	}{
		"at the top":                  {"error", []string{"ratelimited"}, nil, `{"ok":false,"error":"ratelimited"}`, "ratelimited"},
		"below":                       {"error.code", []string{"a", "b"}, nil, `{"error":{"code":"b"}}`, "b"},
		"in a list at the top":        {"errorCode", []string{"REQUEST_LIMIT_EXCEEDED"}, nil, `[{"errorCode":"X"},{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]`, "REQUEST_LIMIT_EXCEEDED"},
		"in a list on the way":        {"error.errors.reason", []string{"r"}, nil, `{"error":{"errors":[{"reason":"q"},{"reason":"r"}]}}`, "r"},
		"in a list of texts":          {"errors", []string{"r"}, nil, `{"errors":["q",["r"]]}`, "r"},
		"a number":                    {"code", []string{"20429"}, nil, `{"code":20429}`, "20429"},
		"a number as it is written":   {"code", []string{"20429"}, nil, `{"code":2.0429e4}`, ""},
		"a truth value":               {"ok", []string{"false"}, nil, `{"ok":false}`, "ok: false"},
		"nothing":                     {"ok", []string{"null"}, nil, `{"ok":null}`, ""},
		"a table in place of a text":  {"error", []string{"x"}, nil, `{"error":{"x":"x"}}`, ""},
		"a text in place of a table":  {"error.code", []string{"x"}, nil, `{"error":"x"}`, ""},
		"another case":                {"error", []string{"Ratelimited"}, nil, `{"error":"ratelimited"}`, ""},
		"a part, in any case":         {"message", nil, []string{"Secondary Rate Limit"}, `{"message":"You have exceeded a secondary rate limit."}`, "Secondary Rate Limit"},
		"no part":                     {"message", nil, []string{"secondary"}, `{"message":"Must have admin rights"}`, ""},
		"the last of two of one name": {"a", []string{"x"}, nil, `{"a":"y","a":"x"}`, "x"},
		"deeper than anybody writes":  {"a", nil, []string{"x"}, strings.Repeat("[", 11000) + `"x"` + strings.Repeat("]", 11000), ""},
		"a word by its numbers":       {"error", []string{"ratelimited"}, nil, `{"error":"r\u0061telim\u0069ted"}`, "ratelimited"},
		"behind another number":       {"error", []string{"ratelimited"}, nil, `{"a":"\u00e4","error":"\u0072atelimited"}`, "ratelimited"},
		"only another number":         {"error", []string{"ratelimited"}, nil, `{"a":"\u00e4","error":"r\u00e4telimited\u00"}`, ""},
		"a word that can be escaped":  {"error", []string{"rate/limited"}, nil, `{"error":"rate\/limited"}`, "rate/limited"},
		"a word beyond ASCII":         {"error", []string{"für"}, nil, `{"error":"f\u00fcr"}`, "für"},
		"a word in another place":     {"error", []string{"ratelimited"}, nil, `{"text":"ratelimited","error":"x"}`, ""},
		"no table":                    {"a", []string{"x"}, nil, `"x"`, ""},
	} {
		rule := answer.Rule{Statuses: []int{429}, Field: test.path, Values: test.values, Contains: test.contains, Means: answer.Refused}
		got := through(t, answer.Settings{Rules: []answer.Rule{rule}}, jsonStep(429, test.body)).found
		if word := wordOf(got); word != test.want {
			t.Errorf("%s: found %q, want %q", name, word, test.want)
		}
	}
}

func wordOf(f *answer.Finding) string {
	if f == nil {
		return ""
	}
	return f.Word
}

func TestHeadersAreLookedAtWithoutTheBody(t *testing.T) {
	for name, test := range map[string]struct {
		values, contains []string
		sent             []string
		want             string
	}{
		"is there":          {nil, nil, []string{""}, "X-Reason"},
		"is not there":      {nil, nil, nil, ""},
		"has the value":     {[]string{"0", "1"}, nil, []string{" 1 "}, "X-Reason: 1"},
		"in the second":     {[]string{"1"}, nil, []string{"2", "1"}, "X-Reason: 1"},
		"has another value": {[]string{"0"}, nil, []string{"01"}, ""},
		"has it in it":      {nil, []string{"per-issue"}, []string{"Jira-Per-Issue-on-write"}, "X-Reason: per-issue"},
	} {
		synctest.Test(t, func(t *testing.T) {
			step := jsonStep(403, "{}")
			step.Header["X-Reason"], step.BodyDelay = test.sent, time.Second
			rule := answer.Rule{Statuses: []int{403}, Header: "x-reason", Values: test.values, Contains: test.contains, Means: answer.Busy}
			got := through(t, answer.Settings{Rules: []answer.Rule{rule}}, step)
			if word := wordOf(got.found); word != test.want || got.waited != 0 {
				t.Errorf("%s: found %q after %v, want %q at once", name, word, got.waited, test.want)
			}
		})
	}
}

// The first rule that fits counts, and a header that comes first spares the body.
func TestFirstRuleThatFitsCounts(t *testing.T) {
	byHeader := answer.Rule{Statuses: []int{403, 429}, Header: "Retry-After", Means: answer.Throttled}
	for name, test := range map[string]struct {
		rules []answer.Rule
		want  answer.Meaning
		after time.Duration // until the body was read, or not
	}{
		"header first": {[]answer.Rule{byHeader, quotaSpent}, answer.Throttled, 0},
		"body first":   {[]answer.Rule{quotaSpent, byHeader}, answer.Exhausted, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			step := jsonStep(429, spent)
			step.Header.Set("Retry-After", "7")
			step.BodyDelay = time.Second
			got := through(t, answer.Settings{Rules: test.rules}, step)
			if got.found == nil || got.found.Meaning != test.want || got.found.After != 7*time.Second || got.waited != test.after {
				t.Errorf("%s: found %+v after %v", name, got.found, got.waited)
			}
		})
	}
}

// For how long an answer asks to be left alone.
func TestAfter(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	const throttled = `{"errors":[{"extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":500,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":100,"restoreRate":50}}}}`
	word := func(means answer.Meaning, wait time.Duration) answer.Rule {
		return answer.Rule{Statuses: []int{429}, Field: "code", Values: []string{"x"}, Means: means, Wait: wait}
	}
	points := answer.Rule{Statuses: []int{429}, GraphQL: true, Means: answer.Throttled, Wait: time.Minute}
	for name, test := range map[string]struct {
		rule   answer.Rule
		header http.Header
		body   string
		want   time.Duration
	}{
		"it does not say":                  {word(answer.Throttled, 0), header(), `{"code":"x"}`, 0},
		"the rule says":                    {word(answer.Throttled, time.Minute), header(), `{"code":"x"}`, time.Minute},
		"Retry-After goes before the rule": {word(answer.Throttled, time.Minute), header("Retry-After", "2"), `{"code":"x"}`, 2 * time.Second},
		"at once, it says":                 {word(answer.Throttled, time.Minute), header("Retry-After", "0"), `{"code":"x"}`, 0},
		"a quota that is spent":            {word(answer.Throttled, time.Minute), header("X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "90"), `{"code":"x"}`, 90 * time.Second},
		"a quota that is not":              {word(answer.Throttled, time.Minute), header("X-Ratelimit-Remaining", "4000", "X-Ratelimit-Reset", "90"), `{"code":"x"}`, time.Minute},
		"a mistake":                        {word(answer.Throttled, 0), header("X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "2592000"), `{"code":"x"}`, 24 * time.Hour},
		"points":                           {points, header(), throttled, 8 * time.Second},
		"busy":                             {word(answer.Busy, time.Second), header("X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "90"), `{"code":"x"}`, time.Second},
		"busy, with a time":                {word(answer.Busy, time.Second), header("Retry-After", "3"), `{"code":"x"}`, 3 * time.Second},
		"exhausted":                        {word(answer.Exhausted, 0), header("X-Ratelimit-Reset-Tokens", "6m0s", "X-Ratelimit-Remaining-Tokens", "10"), `{"code":"x"}`, 0},
		"exhausted, with a time":           {word(answer.Exhausted, 0), header("Retry-After", "3600"), `{"code":"x"}`, time.Hour},
		"refused":                          {word(answer.Refused, 0), header("Retry-After", "3600"), `{"code":"x"}`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := through(t, answer.Settings{Rules: []answer.Rule{test.rule}}, policytest.Step{Status: 429, Header: test.header, Body: test.body}).found
			if got == nil || got.After != test.want {
				t.Errorf("%s: found %+v, want %v", name, got, test.want)
			}
		})
	}
}

// A query that went through means nothing else than its status says, and tells of its
// points all the same: plain or packed, and whatever rule after that fits.
func TestGoodAnswerOfGraphQLTellsOfItsPoints(t *testing.T) {
	graphql := answer.Rule{Statuses: []int{200}, GraphQL: true, Means: answer.Throttled}
	code := answer.Rule{Statuses: []int{200}, Field: "errors.extensions.code", Values: []string{"ACCESS_DENIED"}, Means: answer.Refused}
	const cost = `"extensions":{"cost":{"requestedQueryCost":12,"actualQueryCost":5,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":995,"restoreRate":50}}}}`
	for name, test := range map[string]struct {
		rules  []answer.Rule
		status int
		body   string
		packed bool
		points bool
		means  answer.Meaning
	}{
		"plain":               {[]answer.Rule{graphql}, 200, `{"data":{},` + cost, false, true, ""},
		"by gzip":             {[]answer.Rule{graphql}, 200, `{"data":{},` + cost, true, true, ""},
		"of another meaning":  {[]answer.Rule{graphql, code}, 200, `{"errors":[{"extensions":{"code":"ACCESS_DENIED"}}],` + cost, false, true, answer.Refused},
		"without any":         {[]answer.Rule{graphql}, 200, `{"data":{}}`, false, false, ""},
		"in a text":           {[]answer.Rule{graphql}, 200, `{"data":"throttleStatus"}`, false, false, ""},
		"of another status":   {[]answer.Rule{graphql}, 201, `{"data":{},` + cost, false, false, ""},
		"nobody asks for":     {[]answer.Rule{code}, 200, `{"data":{},` + cost, false, false, ""},
		"behind much data":    {[]answer.Rule{graphql, code}, 200, `{"data":"` + strings.Repeat("x", 300<<10) + `",` + cost, true, true, ""},
		"longer than is read": {[]answer.Rule{graphql}, 200, `{"data":"` + strings.Repeat("x", 512<<10) + `",` + cost, false, false, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			step := jsonStep(test.status, test.body)
			if test.packed {
				step.Header["Content-Encoding"], step.Body = []string{"gzip"}, zipped(test.body)
			}
			got := through(t, answer.Settings{Rules: test.rules}, step)
			if got.body != step.Body {
				t.Errorf("%s: the body goes on as %q", name, got.body)
			}
			f := got.found
			if !test.points && test.means == "" {
				if f != nil {
					t.Errorf("%s: found %+v", name, f)
				}
				return
			}
			want := quota.View{
				Bucket: "graphql", Unit: quota.Points, Limit: quota.Known(1000), Remaining: quota.Known(995),
				Reset: time.Now().Add(100 * time.Millisecond), Refill: quota.Gradual, Restore: 50, Asked: quota.Known(12), Taken: quota.Known(5),
			}
			if f == nil || f.Meaning != test.means || f.Points == nil || *f.Points != want {
				t.Errorf("%s: found %+v, want %q and %+v", name, f, test.means, want)
			}
		})
	}
}

// A call that is about to end is not spent on looking.
func TestHalfOfTheCallIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := jsonStep(429, spent)
		step.BodyDelay = 3 * time.Second
		stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{quotaSpent}})
		req := policytest.NewRequest(t, "GET", "https://api.test/", "")
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		resp, err := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(policytest.NewUpstream(t, step)).RoundTrip(req.WithContext(ctx))
		if err != nil || time.Since(begun) != 500*time.Millisecond {
			t.Errorf("answered %v after %v", err, time.Since(begun))
		}
		resp.Body.Close()
	})
}

func TestErrorsAreNobodysAnswer(t *testing.T) {
	stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{quotaSpent}})
	broken := errors.New("broken")
	rt := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) { t.Error("told of it") })(policytest.NewUpstream(t, policytest.Step{Err: broken}))
	if _, err := rt.RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", "")); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestRulesAreChecked(t *testing.T) {
	_, err := answer.New(answer.Settings{Rules: []answer.Rule{
		quotaSpent,
		{},
		{Statuses: []int{429}, Field: "a", Header: "b", Means: "later", Wait: -1},
		{Statuses: []int{429}, Field: "a", Values: []string{"x"}, Contains: []string{"y"}, Means: answer.Busy},
		{Statuses: []int{200}, Field: "a", Values: []string{"x"}, AtLeast: -1, Means: answer.Failed},
		{Statuses: []int{200}, Header: "b", Unless: "c", Means: answer.Failed},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"rule 1: needs a status\nneeds one of field", "rule 2: needs one of", "wait = -1ns: must", `means = "later": must be`, "rule 3: needs values or contains, and not both",
		"rule 4: needs at_least, or values or contains, and not both\nat_least = -1: must", "rule 5: has at_least and unless with a field alone"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "rule 0") {
		t.Errorf("%v", err)
	}
}

// An answer whose status no rule names costs nothing but the look at it.
func TestOtherAnswersCostNothing(t *testing.T) {
	stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{quotaSpent}})
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: http.NoBody}
	rt := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }))
	req := policytest.NewRequest(t, "GET", "https://api.test/", "")
	if n := testing.AllocsPerRun(100, func() { _, _ = rt.RoundTrip(req) }); n != 0 { //nolint:bodyclose // it has none
		t.Errorf("%v allocations", n)
	}
}

// A good answer that is looked into is not read as JSON, unless it has one of the words.
func TestGoodAnswersCostLittle(t *testing.T) {
	rules := []answer.Rule{
		{Statuses: []int{200}, GraphQL: true, Means: answer.Throttled},
		{Statuses: []int{200}, Field: "error", Values: []string{"ratelimited"}, Means: answer.Throttled},
	}
	stage, _ := answer.New(answer.Settings{Rules: rules})
	good := `{"ok":true,"channels":[` + strings.Repeat(`{"name":"f\u00fcr","num":12},`, 1000) + `{}]}`
	rt := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(good))}, nil
	}))
	req := policytest.NewRequest(t, "GET", "https://api.test/", "")
	n := testing.AllocsPerRun(100, func() {
		resp, _ := rt.RoundTrip(req)
		_ = resp.Body.Close()
	})
	if n > 60 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzValues finds whatever word a body has, however it is written there.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{`"r\u0061telimited"`, `"a\/b"`, `"\u00e4\u0065"`, `"\ud83d\ude00"`, `1e5`, `true`, `"\""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var text string
		if json.Unmarshal([]byte(value), &text) != nil || text == "" {
			return
		}
		rule := answer.Rule{Statuses: []int{429}, Field: "a", Values: []string{text}, Means: answer.Refused}
		if got := through(t, answer.Settings{Rules: []answer.Rule{rule}}, jsonStep(429, `{"a":`+value+`}`)).found; wordOf(got) != text {
			t.Errorf("%s: found %q, want %q", value, wordOf(got), text)
		}
	})
}

// FuzzFind looks for a word in what a provider may send: nothing panics, the body stays
// as it was, and a finding has the rule's own word.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{spent, `[{"error":[{"code":["insufficient_quota"]}]}]`, `{"error":{"code":1e400}}`, "\x1f\x8b", zipped(spent), `{"error":`} {
		f.Add(seed, "error.code", false)
		f.Add(seed, "a.b.c", true)
	}
	f.Fuzz(func(t *testing.T, body, path string, packed bool) {
		rule := answer.Rule{Statuses: []int{429}, Field: path, Contains: []string{"quota"}, Means: answer.Exhausted}
		if path == "" {
			return
		}
		step := jsonStep(429, body)
		if packed {
			step.Header.Set("Content-Encoding", "gzip")
		}
		got := through(t, answer.Settings{Rules: []answer.Rule{rule, {Statuses: []int{429}, GraphQL: true, Means: answer.Throttled}}}, step)
		if got.body != body || got.err != nil {
			t.Errorf("the reader got %q and %v of %q", got.body, got.err, body)
		}
		if word := wordOf(got.found); word != "" && word != "quota" && word != "THROTTLED" {
			t.Errorf("found %q", word)
		}
	})
}
