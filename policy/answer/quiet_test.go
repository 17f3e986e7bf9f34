package answer_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"outrider/policy/answer"
	"outrider/policy/policytest"
)

// What a good status does not say: that something is there, a number, and that something
// else is not there.
func TestConditionsOnAField(t *testing.T) {
	errors := answer.Rule{Field: "errors", Means: answer.Failed}
	code := answer.Rule{Field: "responses.status", AtLeast: 400, Means: answer.Partial}
	whole := answer.Rule{Field: "errors", Unless: "data", Means: answer.Failed}
	user := answer.Rule{Field: "data.*.userErrors", Means: answer.Failed}
	for _, test := range []struct {
		rule answer.Rule
		body string
		want string // "": it does not fit
	}{
		{errors, `{"errors":[{"message":"no"}]}`, "errors"},
		{errors, `{"errors": "no"}`, "errors"},
		{errors, `{"errors":true}`, "errors"},
		{errors, `{"errors":0.5}`, "errors"},
		{errors, `{"errors":{"a":1}}`, "errors"},
		{errors, `[{"errors":[]},{"errors":[0,1]}]`, "errors"},
		{errors, `{"errors":[]}`, ""},
		{errors, `{"errors":[ ]}`, ""},
		{errors, `{"errors":{}}`, ""},
		{errors, `{"errors":null}`, ""},
		{errors, `{"errors":false}`, ""},
		{errors, `{"errors":""}`, ""},
		{errors, `{"errors":0}`, ""},
		{errors, `{"errors":0e3}`, ""},
		{errors, `{"text":"errors","data":{"errors":[1]}}`, ""},
		{code, `{"responses":[{"status":200},{"status":400}]}`, "responses.status >= 400"},
		{code, `{"responses":[{"status":4e2}]}`, "responses.status >= 400"},
		{code, `{"responses":[{"status":399},{"status":"500"},{"status":-500}]}`, ""},
		{whole, `{"errors":[1]}`, "errors"},
		{whole, `{"errors":[1],"data":null}`, "errors"},
		{whole, `{"errors":[1],"data":{}}`, "errors"},
		{whole, `{"errors":[1],"data":{"a":null}}`, ""},
		{user, `{"data":{"a":{"userErrors":[]},"b":{"userErrors":[{"message":"no"}]}}}`, "data.*.userErrors"},
		{user, `{"data":{"a":{"userErrors":[]}}}`, ""},
		{user, `{"userErrors":[1]}`, ""},
	} {
		test.rule.Statuses = []int{200}
		got := through(t, answer.Settings{Rules: []answer.Rule{test.rule}}, jsonStep(200, test.body)).found
		if wordOf(got) != test.want || got != nil && !got.Quiet {
			t.Errorf("%s: found %+v, want %q", test.body, got, test.want)
		}
	}
}

// A refusal by its status is not quiet.
func TestQuietIsWhatTheStatusDoesNotSay(t *testing.T) {
	for status, quiet := range map[int]bool{200: true, 207: true, 302: true, 400: false, 500: false} {
		rule := answer.Rule{Statuses: []int{status}, Field: "error", Means: answer.Failed}
		got := through(t, answer.Settings{Rules: []answer.Rule{rule}}, jsonStep(status, `{"error":"no"}`)).found
		if got == nil || got.Quiet != quiet {
			t.Errorf("%d: found %+v", status, got)
		}
	}
}

// An answer to a call that no rule is about is not looked at, and its body may come in any
// coding.
func TestRulesAreAboutSomeCalls(t *testing.T) {
	rule := answer.Rule{Statuses: []int{200}, Field: "errors", Means: answer.Failed, Concerns: func(req *http.Request) bool { return req.Method == "POST" }}
	settings := answer.Settings{Rules: []answer.Rule{rule}}
	if got := through(t, settings, jsonStep(200, `{"errors":[1]}`)).found; got != nil {
		t.Errorf("a GET: %+v", got)
	}
	stage, err := answer.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]bool{"GET": true, "POST": false} {
		provider := policytest.NewUpstream(t, jsonStep(200, `{"errors":[1]}`))
		req := policytest.NewRequest(t, method, "https://api.test/", "")
		req.Header.Set("Accept-Encoding", "br")
		policytest.Do(stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(provider), req)
		if got := provider.Requests()[0].Header.Get("Accept-Encoding"); (got == "br") != want {
			t.Errorf("%s asks for %q", method, got)
		}
	}
}

// AWS answers 200 to a batch of which a part was not done.
func TestJSONOfAWSIsRead(t *testing.T) {
	rule := answer.Rule{Statuses: []int{200}, Field: "UnprocessedItems", Means: answer.Partial}
	for body, want := range map[string]string{`{"UnprocessedItems":{"t":[{}]}}`: "UnprocessedItems", `{"UnprocessedItems":{}}`: ""} {
		step := jsonStep(200, body)
		step.Header.Set("Content-Type", "application/x-amz-json-1.0")
		if got := wordOf(through(t, answer.Settings{Rules: []answer.Rule{rule}}, step).found); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// FuzzGlance looks at bodies twice: as they are, when a glance may spare reading them, and
// with a character by its number in front, when they are read in any case. Both say the same.
func FuzzGlance(f *testing.F) {
	for _, seed := range []string{`true`, `{"a":1}`, `[{"a":[]},{"a": "x"}]`, `{"a" :0}`, `{"a":4e2}`, `"a"`, `{"a":{"a":false}}`, `{"a":"false"}`, `{"b":"\"a\":1"}`} {
		f.Add(seed)
	}
	rules := map[string]answer.Rule{
		"something": {Field: "body.a", Means: answer.Failed},
		"number":    {Field: "body.a", AtLeast: 400, Means: answer.Failed},
		"false":     {Field: "body.a", Values: []string{"false", "x"}, Means: answer.Failed},
		"part":      {Field: "body.a", Contains: []string{"x"}, Means: answer.Failed},
		"any":       {Field: "body.*.a", Means: answer.Failed},
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return
		}
		for name, rule := range rules {
			rule.Statuses = []int{200}
			settings := answer.Settings{Rules: []answer.Rule{rule}}
			glanced := through(t, settings, jsonStep(200, `{"body":`+body+`}`)).found
			read := through(t, settings, jsonStep(200, `{"z":"\u007a","body":`+body+`}`)).found
			if wordOf(glanced) != wordOf(read) {
				t.Errorf("%s: at a glance %q, read %q", name, wordOf(glanced), wordOf(read))
			}
		}
	})
}
