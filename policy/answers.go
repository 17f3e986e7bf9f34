package policy

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"outrider/policy/answer"
	"outrider/policy/config"
	"outrider/policy/limit"
	"outrider/policy/quota"
	"outrider/policy/retry"
)

// keyInUse is the problem (RFC 9457) of a request whose key is that of another one which
// is still running (draft-ietf-httpapi-idempotency-key-header). The draft leaves the type
// to each provider, and names its page about idempotency as an example.
var keyInUse = answer.Rule{
	Statuses: []int{http.StatusConflict}, Field: "type", Contains: []string{"idempoten"}, Means: answer.Busy,
}

// answers makes what finds out what the answers of a plan mean; nil: their statuses say
// it. passes are the quotas that its calls pass.
func (c *compiler) answers(key string, p *config.Policy, passes []table) *answer.Stage {
	rules := make([]answer.Rule, len(p.Answers), len(p.Answers)+1)
	for i, a := range p.Answers {
		rules[i] = answer.Rule{
			Statuses: a.Statuses, Concerns: concerns(a), Field: a.Field, Header: a.Header, GraphQL: a.GraphQL,
			Values: a.Values, Contains: a.Contains, AtLeast: a.AtLeast, Unless: a.Unless,
			Means: answer.Meaning(a.Means), Wait: a.Wait,
		}
	}
	if p.Retry.IdempotencyHeader != "" {
		rules = append(rules, keyInUse)
	}
	if len(rules) == 0 {
		return nil
	}
	stage, err := answer.New(answer.Settings{
		Rules: rules, Attempt: p.AttemptTimeout, Dialect: spoken(passes),
		Uploaded: func(ctx context.Context) (time.Duration, bool) { return CallFrom(ctx).sinceUpload() },
	})
	c.fail(key+".answer", err)
	return stage
}

// concerns says which calls an answer is to; nil: to any.
func concerns(a config.Answer) func(*http.Request) bool {
	if a.Calls == "" {
		return nil
	}
	return func(req *http.Request) bool { return a.Match.Matches(req.Method, pathOf(req.URL)) }
}

// pathOf is the path of an outbound request, as it is on the wire.
func pathOf(u *url.URL) string {
	if rest, ok := strings.CutPrefix(u.Opaque, "//"); ok {
		return rest[max(strings.IndexByte(rest, '/'), 0):]
	}
	return u.EscapedPath()
}

// spoken is the dialect in which these quotas are learned of: that of the last that learns,
// as limit.Settings has it. Nil: it is told by its look.
func spoken(passes []table) *quota.Dialect {
	for _, q := range slices.Backward(passes) {
		if q.Learn {
			return dialect(q.Limit)
		}
	}
	return nil
}

// dialect is that of a limit; nil: it is told by its look.
func dialect(l config.Limit) *quota.Dialect {
	d, _ := quota.Named(l.Dialect)
	return d
}

// found has the stages outside know what an answer means: by the notes of the call.
func (u *Upstream) found(keys keys, observe func(context.Context, Event)) answer.Found {
	return func(req *http.Request, resp *http.Response, f *answer.Finding, begun time.Time) {
		found(req.Context(), f)
		if isQuiet(f) {
			observe(req.Context(), Event{Kind: EventQuiet, Upstream: u.Config.Name, Reason: f.String()})
		}
		switch {
		case f != nil && f.Meaning == answer.Exhausted:
			key := keys.credential(req)
			if u.exhausted.refused(key, req.Method) {
				observe(req.Context(), Event{Kind: EventExhausted, Upstream: u.Config.Name, Key: key, Reason: f.Word})
				if !u.Exhausted(key) { // it was told of in the meantime, before this
					observe(req.Context(), Event{Kind: EventReplenished, Upstream: u.Config.Name, Key: key})
				}
			}
		case tookIt(f) && resp.StatusCode < http.StatusBadRequest && u.exhausted.some():
			key := keys.credential(req)
			if u.exhausted.succeeded(key, req.Method, begun) {
				observe(req.Context(), Event{Kind: EventReplenished, Upstream: u.Config.Name, Key: key})
			}
		}
	}
}

// tookIt reports whether the provider took a call, for all that its answer means.
func tookIt(f *answer.Finding) bool {
	switch meaning(f) {
	case "", answer.Failed, answer.Partial:
		return true
	}
	return false
}

// meaning is what the latest answer to a call means; "": what its status says.
func meaning(f *answer.Finding) answer.Meaning {
	if f == nil {
		return ""
	}
	return f.Meaning
}

// answerForRetry is what an answer means for another attempt of a call that passes these
// quotas.
func answerForRetry(passes []table) func(*http.Request, *http.Response) retry.Answer {
	learns, spoken := slices.ContainsFunc(passes, func(q table) bool { return q.Learn }), spoken(passes)
	return func(req *http.Request, resp *http.Response) retry.Answer {
		f := finding(req.Context())
		if f == nil && resp.StatusCode < http.StatusBadRequest { // mostly
			return retry.Answer{}
		}
		switch meaning(f) {
		case answer.Exhausted:
			return retry.Answer{Meaning: retry.AsFinal, Reason: f.String()}
		case answer.Refused:
			return retry.Answer{Meaning: retry.AsFinal}
		case answer.Fault:
			return retry.Answer{Meaning: retry.AsFault, Reason: f.String()}
		case answer.Throttled, answer.Busy:
			return retry.Answer{Meaning: retry.AsThrottle, After: f.After, Unprocessed: f.Unprocessed, Reason: f.String()}
		}
		if after := spentFor(resp, spoken); learns && after > 0 {
			return retry.Answer{Meaning: retry.AsThrottle, After: after, Reason: "throttled: nothing left"}
		}
		return retry.Answer{}
	}
}

// spentFor is for how long nothing is left of a quota, by a 403 that names the time; 0: it is
// another answer, or does not say so. GitHub and those who answer as it does refuse by 403
// what others refuse by 429. One about permission may come with the last call of a quota,
// too: then that is found out after the reset, before which no call could have gone.
func spentFor(resp *http.Response, spoken *quota.Dialect) time.Duration {
	if resp.StatusCode != http.StatusForbidden {
		return 0
	}
	now := time.Now()
	until, spent := quota.Exhausted(quota.Parse(resp.Header, now, spoken), resp.StatusCode, false, now)
	if !spent || until.IsZero() {
		return 0
	}
	return until.Sub(now)
}

// likeThrottle reports whether an answer is for retries what a 429 is.
func likeThrottle(a config.Answer) bool {
	means := answer.Meaning(a.Means)
	return means == answer.Throttled || means == answer.Busy
}

// likeFault reports whether an answer is for retries what a 500 is.
func likeFault(a config.Answer) bool { return answer.Meaning(a.Means) == answer.Fault }

// ofPoints reports whether an answer is GraphQL's to a query that it has not begun.
func ofPoints(a config.Answer) bool { return a.GraphQL && likeThrottle(a) }

// answerForLimit is what an answer means for its quota.
func answerForLimit(req *http.Request, _ *http.Response) limit.Answer {
	f := finding(req.Context())
	if f == nil { // mostly
		return limit.Answer{}
	}
	said := limit.Answer{After: f.After, Points: f.Points}
	switch f.Meaning {
	case answer.Exhausted:
		said.Meaning = limit.Exhausted
	case answer.Throttled:
		said.Meaning = limit.Throttled
	case answer.Busy, answer.Refused, answer.Fault, answer.Failed, answer.Partial:
		said.Meaning = limit.Unrelated
	}
	return said
}
