package retry_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// What an answer means goes before its status: whether it is retried, after how long,
// and what is told of it.
func TestMeaningGoesBeforeTheStatus(t *testing.T) {
	const word = "a word"
	throttle := retry.Answer{Meaning: retry.AsThrottle, Reason: word}
	minute := retry.Answer{Meaning: retry.AsThrottle, After: time.Minute, Reason: word}
	undone := retry.Answer{Meaning: retry.AsThrottle, Unprocessed: true, Reason: word}
	final := retry.Answer{Meaning: retry.AsFinal, Reason: word}
	for name, test := range map[string]struct {
		method   string
		status   int
		header   http.Header
		means    retry.Answer
		statuses []int
		want     string
	}{
		"a throttle that is a 200":          {"GET", 200, nil, throttle, []int{429}, "retried after 500ms: a word"},
		"a throttle that is a 403":          {"GET", 403, nil, throttle, []int{429}, "retried after 500ms: a word"},
		"where a 429 is not retried":        {"GET", 503, nil, throttle, []int{503}, ""},
		"a throttle with a time":            {"GET", 403, nil, minute, []int{429}, "retried after 1m3.125s: a word"},
		"a time of the answer's own":        {"GET", 403, http.Header{"Retry-After": {"10"}}, minute, []int{429}, "retried after 10.625s: a word"},
		"what may have been applied":        {"POST", 403, nil, throttle, []int{429}, "gave up: unsafe method"},
		"what was not":                      {"POST", 200, nil, undone, []int{429}, "retried after 500ms: a word"},
		"what was not, as a 429":            {"POST", 200, nil, undone, []int{503}, ""},
		"what was not, as a 429, by a 400":  {"POST", 400, nil, undone, []int{503}, ""},
		"what the server forbids":           {"GET", 403, http.Header{"X-Should-Retry": {"false"}}, throttle, []int{429}, "gave up: server forbids"},
		"final":                             {"GET", 429, nil, final, []int{429}, "gave up: a word"},
		"final, and nothing to tell":        {"GET", 429, nil, retry.Answer{Meaning: retry.AsFinal}, []int{429}, ""},
		"final, although a retry is wanted": {"GET", 429, http.Header{"X-Should-Retry": {"true"}}, final, []int{429}, "gave up: a word"},
		"as its status says":                {"GET", 503, nil, retry.Answer{}, []int{503}, "retried after 500ms: status 503"},
	} {
		synctest.Test(t, func(t *testing.T) {
			told, answers := "", 0
			stage, err := retry.New(retry.Settings{
				Attempts: 2, Base: 100 * time.Millisecond, Cap: 20 * time.Second, Statuses: test.statuses, Jitter: policytest.Jitter(0.5),
				Answer: func(*http.Request, *http.Response) retry.Answer {
					if answers++; answers > 1 {
						return retry.Answer{}
					}
					return test.means
				},
				OnRetry:  func(_ context.Context, e retry.Event) { told = fmt.Sprintf("retried after %v: %s", e.Delay, e.Reason) },
				OnGiveUp: func(_ context.Context, e retry.Event) { told = "gave up: " + e.Reason },
			})
			if err != nil {
				t.Fatal(err)
			}
			provider := policytest.NewUpstream(t, policytest.Step{Status: test.status, Header: test.header, Body: "no"}, policytest.Step{Body: "yes"})
			got := policytest.Do(stage.Wrap(provider), policytest.NewRequest(t, test.method, "https://api.test/", "body"))
			if told != test.want {
				t.Errorf("%s: %s, want %s", name, told, test.want)
			}
			if retried := len(provider.Requests()) == 2; retried != (got.Body == "yes") || got.Err != nil {
				t.Errorf("%s: got %q, %v", name, got.Body, got.Err)
			}
		})
	}
}
