package limit

import (
	"errors"
	"net/http"
	"time"
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
	now := time.Now()
	for i := range p.stops {
		turn := p.stops[i].turn
		said := p.stops[i].group.learn(req, resp, now)
		if said.after > 0 {
			turn.d.throttled(ctx, now, said.after)
		}
		if turn.d.answered(turn, said.fine) {
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

// refusedLocally reports whether a stage below refused the call, so that the
// provider never saw it.
func refusedLocally(err error) bool {
	var refusal interface {
		error
		Refusal() (string, time.Duration)
	}
	return errors.As(err, &refusal)
}
