package simulator

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A refusal is how a provider says no where its status alone does not say why.
type refusal struct {
	status int
	header map[string]string
	resets time.Duration // X-RateLimit-Reset, from now; 0: there is none
	body   string
}

// refusals maps name → how it is said.
var refusals = map[string]refusal{
	"openai-quota":      {status: 429, body: `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`},
	"salesforce-day":    {status: 403, header: map[string]string{"Sforce-Limit-Info": "api-usage=5000/5000"}, body: `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`},
	"hubspot-day":       {status: 429, body: `{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY"}`},
	"hubspot-second":    {status: 429, body: `{"status":"error","message":"You have reached your secondly limit.","errorType":"RATE_LIMIT","policyName":"SECONDLY"}`},
	"google-rate":       {status: 403, body: `{"error":{"code":403,"message":"User Rate Limit Exceeded","errors":[{"domain":"usageLimits","reason":"userRateLimitExceeded"}]}}`},
	"google-day":        {status: 403, body: `{"error":{"code":403,"message":"Daily Limit Exceeded","errors":[{"domain":"usageLimits","reason":"dailyLimitExceeded"}]}}`},
	"google-permission": {status: 403, body: `{"error":{"code":403,"message":"Insufficient Permission","errors":[{"domain":"global","reason":"insufficientPermissions"}]}}`},
	"github-primary":    {status: 403, header: map[string]string{"X-Ratelimit-Limit": "5000", "X-Ratelimit-Remaining": "0"}, resets: 2 * time.Second, body: `{"message":"API rate limit exceeded for user ID 1."}`},
	"github-secondary":  {status: 403, header: map[string]string{"X-Ratelimit-Limit": "5000", "X-Ratelimit-Remaining": "4000"}, resets: 50 * time.Minute, body: `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`},
	"github-permission": {status: 403, header: map[string]string{"X-Ratelimit-Limit": "5000", "X-Ratelimit-Remaining": "4000"}, resets: 50 * time.Minute, body: `{"message":"Must have admin rights to Repository."}`},
	"atlassian-issue":   {status: 429, header: map[string]string{"Retry-After": "1", "Ratelimit-Reason": "jira-per-issue-on-write"}, body: `{}`},
	"shopify-points":    {status: 200, body: `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{"requestedQueryCost":100,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":50,"restoreRate":50}}}}`},
	"slack-rate":        {status: 200, header: map[string]string{"Retry-After": "1"}, body: `{"ok":false,"error":"ratelimited"}`},
	"stripe-lock":       {status: 429, body: `{"error":{"code":"lock_timeout","message":"This object cannot be accessed right now.","type":"invalid_request_error"}}`},
}

// Refusals are the names of the refusals, sorted.
func Refusals() []string { return slices.Sorted(maps.Keys(refusals)) }

// refuse says no in the words of a provider.
func refuse(_ *Simulator, w http.ResponseWriter, r *http.Request, _ *params) {
	said, ok := refusals[below(r, "/refused/")]
	if !ok {
		respond(w, http.StatusNotFound, problem{Error: "no such refusal", Hint: "there are " + strings.Join(Refusals(), ", ")})
		return
	}
	for name, value := range said.header {
		w.Header().Set(name, value)
	}
	if said.resets > 0 {
		w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(roundUp(time.Now().Add(said.resets), time.Second).Unix(), 10))
	}
	respondBytes(w, said.status, "application/json", []byte(said.body+"\n"))
}
