package policy

import (
	"context"
	"net/http"
	"slices"

	"outrider/policy/answer"
	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/hedge"
	"outrider/policy/quota"
	"outrider/policy/retry"
)

// A Plan is what happens to the calls of one upstream that match one rule.
type Plan struct {
	Match      string         // the rule as written; "" for the upstream itself
	Policy     *config.Policy // effective settings; those of the file
	Stages     []string       // names, outermost first
	Credential string         // names the credential that is injected; never its value
	quotas     []table        // its own
	retry      *retry.Stage
	hedge      *hedge.Stage   // nil: there are no second requests
	spoken     *quota.Dialect // of its quotas; nil: it is told by its look
	upstream   *Upstream
	source     auth.Source                   // of its own credential
	connects   bool                          // it has the upstream's credential, and so its connections
	chain      func(auth.Source, keys) Chain // with another credential
	http.RoundTripper
}

// plan builds the chain of one rule. own are the upstream's quotas, extra the
// rule's: a call that matches the rule has to pass all of them.
func (c *compiler) plan(u *Upstream, key, match, credential string, p *config.Policy, own, extra []table) *Plan {
	connects := credential == "default" && config.Connectable(p.Auth)
	source := c.injected(u, key+".auth", credential, p)
	// A placeholder is one credential, wherever its callers write it: it is not
	// told apart below by what the request carries.
	if p.Auth.Type == "passthrough" {
		credential = "passthrough"
	}
	passes := slices.Concat(extra, own) // those of the rule first: see Upstream.way
	again := c.retry(u, key, p.Retry, passes)
	hedged := c.hedge(u, match, p)
	means := c.answers(key, p, passes)
	old := c.staleStage(u, p)
	whole := deadline(p.Timeout)
	build := func(source auth.Source, keys keys) Chain {
		if signing, ok := source.(*auth.SigV4); ok && signing != nil {
			source = signing.WithReplayBody(p.ReplayBody)
		}
		way := u.way(passes, p.Cost, keys)
		chain := append(make(Chain, 0, 11), whole)
		if old != nil {
			chain = append(chain, Stage{"stale", old.Wrap(keys.credential)})
		}
		if len(p.Results) > 0 {
			chain = append(chain, c.resultsStage(u, p.Results))
		}
		if again != nil {
			chain = append(chain, Stage{"retry", again.WrapBefore(u.refuses(way, keys))})
		}
		if hedged != nil {
			chain = append(chain, Stage{"hedge", hedged.Wrap(u.mayHedge(keys))})
		}
		chain = append(chain, Stage{"auth", auth.Wrap(source, guard)}, Stage{"circuit", u.circuit.Wrap(keys.credential)})
		if len(passes) > 0 {
			chain = append(chain, Stage{"limit", u.quotas.Wrap(way)})
		}
		if means != nil {
			chain = append(chain, Stage{"answer", means.Wrap(u.found(keys, c.env.Observe))}) //nolint:bodyclose // it is told of the answer; the caller closes it
		}
		if last := auth.WrapLast(source, guard); last != nil {
			chain = append(chain, Stage{"credential", last})
		}
		return append(chain, attempt(p.AttemptTimeout, p.IdleTimeout, hedged != nil, &onlooker{u.seen, keys.name}))
	}
	chain := build(source, u.keys(credential))

	plan := &Plan{Match: match, Policy: p, Stages: chain.Names(), Credential: credential, quotas: extra, retry: again, hedge: hedged,
		spoken: spoken(passes), upstream: u, source: source, connects: connects, chain: build}
	if match == "" {
		plan.quotas = own
	}
	if len(c.errs) == 0 {
		plan.RoundTripper = chain.Wrap(u.transport)
	}
	return plan
}

// injected makes the source of what a plan injects, or gives the one that an earlier plan
// of the upstream has under this name: what is wrong with it was said there.
func (c *compiler) injected(u *Upstream, key, credential string, p *config.Policy) auth.Source {
	source, made := c.sources[credential]
	switch {
	case made:
	case credential == "default" && config.Connectable(p.Auth) && u.Config.Connections == config.ConnectionsRequired:
		source = nameless{}
	case p.Auth.Type == "sigv4":
		source = c.sigv4(u.Config, key, p)
	default:
		source = c.credential(u, key, credential, ConnectionID(u.Config.Name, ""), p.Auth)
	}
	c.sources[credential] = source
	return source
}

// endCall notes in a call that no other attempt follows. Where a caller's own retries
// would be in vain, or too many, it is to know.
func endCall(call *Call, e retry.Event) {
	if call == nil {
		return
	}
	exhausted := meaning(call.notes.meaning.Load()) == answer.Exhausted
	if exhausted || e.Reason == retry.AttemptsSpent && e.Attempt > 1 || e.Reason == retry.BudgetSpent {
		call.giveUp()
	}
	switch {
	case e.Reason == retry.RefusedLocally: // our answer says so itself
	case exhausted:
		call.ended = "quota exhausted" // the event has the provider's word
	default:
		call.ended = e.Reason
	}
}

func (c *compiler) retry(u *Upstream, key string, cfg config.Retry, passes []table) *retry.Stage {
	name, observe := u.Config.Name, c.env.Observe
	stage, err := retry.New(retry.Settings{
		Attempts: cfg.Attempts, Base: cfg.Base, Cap: cfg.Cap, Statuses: cfg.Statuses, Unprocessed: cfg.Unprocessed,
		IdempotencyHeader: cfg.IdempotencyHeader, MintKey: cfg.MintKey,
		NewKey: c.env.NewKey, Jitter: c.env.Jitter, Budget: u.budget, Answer: answerForRetry(passes), //nolint:bodyclose // it reads no body
		Repeats: u.repeats, Caller: requester, Account: customer,
		OnMint: func(ctx context.Context, key string) {
			if call := CallFrom(ctx); call != nil {
				call.minted = &minted{http.CanonicalHeaderKey(cfg.IdempotencyHeader), key}
			}
		},
		OnRepeat: func(ctx context.Context, e retry.Event) {
			observe(ctx, Event{Kind: EventRepeat, Upstream: name, Attempt: e.Attempt, Reason: e.Reason})
		},
		OnRetry: func(ctx context.Context, e retry.Event) {
			observe(ctx, Event{Kind: EventRetry, Upstream: name, Attempt: e.Attempt, Reason: e.Reason, Delay: e.Delay})
		},
		OnBackoff: func(ctx context.Context, e retry.Event) {
			CallFrom(ctx).addWait(e.Delay)
			observe(ctx, Event{Kind: EventBackoff, Upstream: name, Attempt: e.Attempt, Reason: e.Reason, Delay: e.Delay})
		},
		OnGiveUp: func(ctx context.Context, e retry.Event) {
			endCall(CallFrom(ctx), e)
			observe(ctx, Event{Kind: EventGiveUp, Upstream: name, Attempt: e.Attempt, Reason: e.Reason})
		},
	})
	c.fail(key+".retry", err)
	return stage
}
