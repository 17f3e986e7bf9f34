package policy

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"outrider/policy/config"
	"outrider/policy/hedge"
	"outrider/policy/retry"
)

// hedge makes what sends a second request where the first is slow; nil: nothing does. It
// knows what the stage of the same rule knew before a reload.
func (c *compiler) hedge(u *Upstream, match string, p *config.Policy) *hedge.Stage {
	if !p.Hedge {
		return nil
	}
	name, observe, statuses := u.Config.Name, c.env.Observe, p.Retry.Statuses
	return hedge.New(hedge.Settings{
		Begins: func(ctx context.Context) bool {
			call := CallFrom(ctx)
			return call == nil || !call.raced.Swap(true)
		},
		Failed: func(req *http.Request, resp *http.Response, err error) bool {
			class := Classify(req.Context(), resp, err)
			return class != ClassOK && class != ClassAuth || slices.Contains(statuses, resp.StatusCode)
		},
		Pay:      u.budget.Spend,
		GiveBack: u.budget.Refund,
		Apart:    apart,
		OnEnd: func(ctx context.Context, e hedge.Event) {
			observe(ctx, Event{Kind: EventHedge, Upstream: name, Reason: e.Outcome, Delay: e.After})
		},
	}, c.old.hedged(match))
}

// hedged is the stage of a rule; nil: it has none.
func (u *Upstream) hedged(match string) *hedge.Stage {
	for _, plan := range u.Plans() {
		if plan != nil && plan.Match == match {
			return plan.hedge
		}
	}
	return nil
}

// mayHedge allows a second request, unless the caller wants one only, or the circuit lets
// less than everything pass: what goes to a provider that is not well is what has to.
func (u *Upstream) mayHedge(keys keys) func(*http.Request) bool {
	return func(req *http.Request) bool {
		return !retry.ControlsFrom(req.Context()).Off && u.circuit.Closed(keys.credential(req))
	}
}

// HasLost reports that the request of a context, an attempt, was given up on purpose: the other
// one of its call has the answer.
func HasLost(ctx context.Context) bool { return hedge.HasLost(ctx) }

// hedgeText says when a call like req would have a second request now; "": its plan has
// none.
func (u *Upstream) hedgeText(plan *Plan, keys keys, req *http.Request) string {
	if plan.hedge == nil {
		return ""
	}
	now := plan.hedge.State()
	after := fmt.Sprintf("a second request after %s without an answer", now.After.Round(time.Millisecond))
	switch {
	case !hedge.Hedgeable(req):
		return "no: only a GET or a HEAD without a body has a second request"
	case u.Config.Retry.Budget <= 0:
		return "no: a second request takes a retry from the budget, which is 0%"
	case !u.circuit.Closed(keys.credential(req)):
		return "no: the circuit does not let everything pass"
	case now.After == 0:
		return fmt.Sprintf("no: %d answers are known, and it takes %d to tell which are slow", now.Known, hedge.Enough)
	case now.Saved < 1:
		return after + ", but not now: 5% of the calls have had one"
	case u.budget.Level() < 1:
		return after + ", but not now: the budget of retries is spent"
	}
	return after
}
