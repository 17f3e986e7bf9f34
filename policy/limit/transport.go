package limit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"outrider/policy/hint"
)

// A Quota is one of those that a request has to pass: the one that Key names, of
// Group.
type Quota struct {
	Group *Group
	Key   func(*http.Request) string
}

// Wrap returns a decorator that lets each request wait for its turn at all quotas
// at once. cost is how many tokens of each rate a request spends, at least 1. It
// returns a *RefusedError for a request that it will not send, and context.Cause
// of the request's context when that ends first.
func Wrap(cost int, quotas ...Quota) func(next http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return &transport{quotas: quotas, cost: max(cost, 1), next: next}
	}
}

// Wrap is the function Wrap for one quota, of which each request spends one.
func (g *Group) Wrap(key func(*http.Request) string) func(next http.RoundTripper) http.RoundTripper {
	return Wrap(1, Quota{g, key})
}

// A transport lets each request wait for its turn.
type transport struct {
	quotas []Quota
	cost   int
	next   http.RoundTripper
}

// few is for how many quotas a passage needs no memory of its own.
const few = 4

// maxHint cuts what can only be a mistake: a date in the wrong format, an
// epoch where seconds were meant.
const maxHint = 24 * time.Hour

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	var stops [few]stop
	p := passage{cost: t.cost, stops: stops[:0]}
	for _, q := range t.quotas {
		q.Group.Adopt()
		p.stops = append(p.stops, stop{group: q.Group, key: q.Key(req)})
	}
	if err := p.enter(ctx); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}

	returned := false
	defer func() {
		if !returned { // It panicked, or ended the goroutine.
			p.failed(true)
		}
	}()
	resp, err := t.next.RoundTrip(req)
	returned = true
	if err != nil {
		p.failed(!refusedLocally(err))
		return nil, err
	}
	for i := range p.stops {
		turn := p.stops[i].turn
		if turn.d.answered(turn, learn(ctx, turn, resp)) {
			resp.Body = holdUntilClose(resp.Body, turn)
		}
	}
	return resp, nil
}

// failed ends the turns of a call that had no answer.
func (p *passage) failed(sent bool) {
	for i := range p.stops {
		turn := p.stops[i].turn
		turn.d.failed(turn, sent)
	}
}

// learn reports whether the provider is content with our pace. RFC 6585
// section 4: 429, with or without a time; RFC 9110 section 15.6.4: a 503 that
// names a time. A 429 that names none closes no gate: it does not say for how
// long, and the call that got it backs off.
func learn(ctx context.Context, turn turn, resp *http.Response) (fine bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return true
	}
	now := time.Now()
	after, named := hint.RetryAfter(resp.Header, now)
	if named && after > 0 {
		turn.d.throttled(ctx, now, min(after, maxHint))
	}
	return !named && resp.StatusCode == http.StatusServiceUnavailable
}

// refusedLocally reports whether a stage below refused the call, so that the
// provider never saw it.
func refusedLocally(err error) bool {
	var refusal interface {
		error
		Refusal() (string, time.Duration)
	}
	return errors.As(err, &refusal)
}
