package limit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"outrider/policy/moment"
)

// Wrap returns a decorator that lets each request wait for its turn at all quotas of
// the way at once. It returns a *RefusedError for a request that it will not send, and
// context.Cause of the request's context when that ends first.
func (q *Quotas) Wrap(way Way) func(next http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return &transport{quotas: q, way: way, next: next}
	}
}

// A transport lets each request wait for its turn.
type transport struct {
	quotas *Quotas
	way    Way
	next   http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	turn, moments := turn{req: req, cost: t.way.cost()}, moment.Of(ctx)
	if err := t.enter(ctx, &turn, moments); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}

	ended := false
	defer func() {
		if !ended { // It panicked, or ended the goroutine.
			turn.d.failed(&turn, true)
		}
	}()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		ended = true
		turn.d.failed(&turn, !refusedLocally(err))
		return nil, err
	}
	turn.said.fine = true
	now := moments.Arrival()
	if turn.learner != nil {
		turn.learner.learn(&turn.said, req, resp, now)
	}
	ended = true
	if turn.d.answered(ctx, &turn, now) {
		resp.Body = holdUntilClose(resp.Body, &turn)
	}
	return resp, nil
}

// enter returns when it is the turn of a call at all its quotas, or says why it
// will not be.
func (t *transport) enter(ctx context.Context, turn *turn, moments *moment.Moments) error {
	req := turn.req
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.quotas.Adopt()
	var buf [few]station
	stations := t.quotas.stations(&buf, &t.way, req)
	scope := t.way.scope(req)
	for {
		switch err := t.quotas.scopes.get(scope).try(moments.Departure(), turn, stations); err { //nolint:errorlint // it is never wrapped
		case nil:
			return nil
		case errOccupied:
			return t.wait(ctx, turn, moments, scope, stations)
		}
	}
}

// wait is enter for a call that has to wait.
func (t *transport) wait(ctx context.Context, turn *turn, moments *moment.Moments, scope string, stations []station) error {
	defer moments.Waited()
	w := newWaiter(time.Now(), Claim{}, turn.cost) // whose claim may take its time, in which it waits already
	w.req, w.route, w.behind = turn.req, routeOf(turn.req), turn.behind
	w.deadline, _ = ctx.Deadline()
	err := t.queue(ctx, w, scope, stations)
	*turn = w.turn
	return err
}

// queue has a call wait.
func (t *transport) queue(ctx context.Context, w *waiter, scope string, stations []station) error {
	w.claim = t.quotas.claim(ctx, &t.way)
	if w.claim.Now {
		return &RefusedError{Reason: QueueTimeout, Key: stations[0].key}
	}
	for {
		d := t.quotas.scopes.get(scope)
		switch err := d.join(w, stations); err { //nolint:errorlint // it is never wrapped
		case nil:
			return d.await(ctx, w)
		case errRetired:
		default:
			return err
		}
	}
}

// claim is that of a call that has to wait.
func (q *Quotas) claim(ctx context.Context, w *Way) Claim {
	for _, stop := range w.Stops {
		if ask := q.tables[stop.Table].Settings.Claim; ask != nil {
			c := ask(ctx)
			c.Priority = min(max(c.Priority, Low), High)
			return c
		}
	}
	return Claim{}
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
