package limit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"outrider/policy/hint"
)

// A transport lets each request wait for its turn.
type transport struct {
	group *Group
	key   func(*http.Request) string
	next  http.RoundTripper
}

// maxHint cuts what can only be a mistake: a date in the wrong format, an
// epoch where seconds were meant.
const maxHint = 24 * time.Hour

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	turn, err := t.group.enter(ctx, t.key(req))
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}

	returned := false
	defer func() {
		if !returned { // It panicked, or ended the goroutine.
			turn.d.failed(turn, true)
		}
	}()
	resp, err := t.next.RoundTrip(req)
	returned = true
	if err != nil {
		turn.d.failed(turn, !refusedLocally(err))
		return nil, err
	}
	fine := t.learn(ctx, turn, resp)
	if turn.d.answered(turn, fine) {
		resp.Body = holdUntilClose(resp.Body, turn)
	}
	return resp, nil
}

// learn reports whether the provider is content with our pace. RFC 6585
// section 4: 429, with or without a time; RFC 9110 section 15.6.4: a 503 that
// names a time. A 429 that names none closes no gate: it does not say for how
// long, and the call that got it backs off.
func (t *transport) learn(ctx context.Context, turn turn, resp *http.Response) (fine bool) {
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
