package answer_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"outrider/policy/answer"
	"outrider/policy/policytest"
)

// Clients that accept br got it from providers that would rather send that, and then
// nobody found out that their quota was exhausted: what is not read is not asked for. An
// upstream whose bodies are not looked at is asked for what its caller accepts.
func TestOnlyCodingsThatAreReadAreAskedFor(t *testing.T) {
	byHeader := answer.Rule{Statuses: []int{429}, Header: "X-Reason", Means: answer.Busy}
	points := answer.Rule{Statuses: []int{200}, GraphQL: true, Means: answer.Throttled}
	for name, test := range map[string]struct {
		rule           answer.Rule
		accepted, want []string
	}{
		"browser's":       {quotaSpent, []string{"br, gzip, deflate"}, []string{"gzip"}},
		"with weights":    {points, []string{"zstd;q=1.0, GZip ; q=0.5,identity;q=0"}, []string{"GZip ; q=0.5, identity;q=0"}},
		"on two lines":    {quotaSpent, []string{"br", "gzip"}, []string{"gzip"}},
		"any":             {quotaSpent, []string{"*"}, []string{"identity"}},
		"none that we do": {quotaSpent, []string{"br"}, []string{"identity"}},
		"as they are":     {quotaSpent, []string{"gzip", "identity"}, []string{"gzip", "identity"}},
		"none":            {quotaSpent, nil, nil},
		"an empty one":    {quotaSpent, []string{""}, []string{""}},
		"no body is read": {byHeader, []string{"br, gzip"}, []string{"br, gzip"}},
	} {
		stage, err := answer.New(answer.Settings{Rules: []answer.Rule{test.rule}})
		if err != nil {
			t.Fatal(err)
		}
		provider := policytest.NewUpstream(t, policytest.Step{})
		req := policytest.NewRequest(t, "POST", "https://api.test/", "sent")
		if test.accepted != nil {
			req.Header["Accept-Encoding"] = test.accepted
		}
		before := req.Header.Clone()
		rt := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(provider)
		if a := policytest.Do(rt, req); a.Err != nil {
			t.Fatal(a.Err)
		}
		sent := provider.Requests()[0]
		if !slices.Equal(sent.Header["Accept-Encoding"], test.want) || sent.Body != "sent" {
			t.Errorf("%s: sent %q, want %q", name, sent.Header["Accept-Encoding"], test.want)
		}
		if !slices.Equal(req.Header["Accept-Encoding"], before["Accept-Encoding"]) {
			t.Errorf("%s: the request of the caller has %q now", name, req.Header["Accept-Encoding"])
		}
	}
}
