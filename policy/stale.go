package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"outrider/policy/config"
	"outrider/policy/stale"
)

// A StaleAnswer is what a call ended with in truth that was answered with an earlier
// answer, which was kept.
type StaleAnswer struct {
	Class  Class
	Status int           // of the upstream's last answer; 0: there was none
	Err    error         // in place of one
	Reason string        // in words of ours: "status 503", "circuit-open"
	Age    time.Duration // of the answer that was given
}

// Stale tells of the failure of a call that was answered all the same; nil: it was
// answered by the upstream, or not at all.
func (c *Call) Stale() *StaleAnswer {
	if c == nil {
		return nil
	}
	return c.stale.Load()
}

// keepsAnswers reports whether an upstream, or one of its rules, keeps answers.
func keepsAnswers(cfg *config.Upstream) bool {
	return cfg.StaleIfError > 0 || slices.ContainsFunc(cfg.Rules, func(r config.Rule) bool { return r.StaleIfError > 0 })
}

// answerStore is where an upstream keeps answers; nil: it keeps none. Under other
// credentials than before it begins anew: their names may be the same.
func answerStore(u, old *Upstream) *stale.Store {
	switch {
	case !keepsAnswers(u.Config):
		return nil
	case old.stale != nil && maps.Equal(credentials(old.Config), credentials(u.Config)):
		return old.stale
	}
	return new(stale.Store)
}

// staleStage makes what answers for an upstream that fails; nil: nothing does. One that
// keeps nothing itself notes what its calls change.
func (c *compiler) staleStage(u *Upstream, p *config.Policy) *stale.Stage {
	if u.stale == nil {
		return nil
	}
	name, observe := u.Config.Name, c.env.Observe
	return stale.New(stale.Settings{
		Keep:  p.StaleIfError,
		Judge: judgeForStale,
		Owner: func(ctx context.Context) string { return guarded(ctx).Owner() },
		OnGive: func(ctx context.Context, f stale.Failure, age time.Duration) {
			given := &StaleAnswer{Class: ClassFault, Status: f.Status, Err: f.Err, Reason: f.Reason, Age: age}
			if f.Err != nil {
				given.Class = Classify(ctx, nil, f.Err)
			}
			if call := CallFrom(ctx); call != nil {
				call.stale.Store(given)
			}
			observe(ctx, Event{Kind: EventStale, Upstream: name, Reason: f.Reason, Delay: age})
		},
	}, u.stale)
}

// judgeForStale says which ends of a call an old answer is better than: that the upstream
// failed, or is taken to be down, or did not answer in the time that we or the caller give
// it. Our other refusals are no failure of it: who is refused for want of a turn comes too
// often, and is to hear it. Without a live token nobody knows whether the credential has
// still a right to what it once saw; when there is one again, its owner is compared. Whose
// an answer is without a Call, nobody knows.
func judgeForStale(req *http.Request, resp *http.Response, err error) (stale.Outcome, stale.Failure) {
	ctx := req.Context()
	failure := stale.Failure{Err: err}
	if CallFrom(ctx) == nil {
		return stale.Unrelated, failure
	}
	switch class := Classify(ctx, resp, err); {
	case class == ClassOK && err == nil && isQuiet(finding(ctx)): // not one to keep
		return stale.Unrelated, failure
	case class == ClassOK:
		return stale.Good, failure
	case class == ClassAuth:
		return stale.Denied, failure
	case class == ClassFault && err == nil:
		failure.Status, failure.Reason = resp.StatusCode, fmt.Sprintf("status %d", resp.StatusCode)
		if f := finding(ctx); isQuiet(f) {
			failure.Reason = string(f.Meaning) // its word may have any letters
		}
		return stale.Failed, failure
	}
	if refusal, ok := errors.AsType[Refusal](err); ok {
		failure.Reason, _ = refusal.Refusal()
		switch failure.Reason {
		case "circuit-open":
			failure.Local = CallFrom(ctx).Attempts() == 0 // else it opened under this very call
			return stale.Failed, failure
		}
		return stale.Unrelated, failure
	}
	if err == nil || ClientGone(ctx) || CallFrom(ctx).BodyFailed() {
		return stale.Unrelated, failure
	}
	failure.Reason = "no answer"
	if timeout, ok := errors.AsType[*TimeoutError](err); ok {
		failure.Reason = timeout.Clock
	}
	return stale.Failed, failure
}

// StaleStatus is what an upstream has kept of its answers.
type StaleStatus struct {
	Answers int   `json:"answers"`
	Bytes   int64 `json:"bytes"`
	Most    int64 `json:"most_bytes"`
}

// keptAnswers is what there is; nil: the upstream keeps nothing.
func (u *Upstream) keptAnswers() *StaleStatus {
	if u.stale == nil {
		return nil
	}
	usage := u.stale.Usage()
	return &StaleStatus{Answers: usage.Answers, Bytes: usage.Bytes, Most: stale.Most}
}
