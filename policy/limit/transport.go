package limit

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/hint"
	"outrider/policy/quota"
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
// names a time; a 403 that names one, or says that nothing is left (GitHub). A 429 that
// names no time, neither by Retry-After nor as that of its quota, closes no gate: it does
// not say for how long, and the call that got it backs off.
func (t *transport) learn(ctx context.Context, turn turn, resp *http.Response) (fine bool) {
	now := time.Now()
	throttle := resp.StatusCode == http.StatusTooManyRequests
	var after time.Duration
	var named bool
	if throttle || resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusForbidden {
		after, named = hint.RetryAfter(resp.Header, now)
	}
	if !named {
		until, exhausted := t.exhausted(resp, now)
		after, throttle = until.Sub(now), throttle || exhausted && resp.StatusCode == http.StatusForbidden
	}
	if after > 0 {
		turn.d.throttled(ctx, now, min(after, maxHint))
	}
	return !throttle && !named
}

// exhausted reports whether the provider says that nothing is left of what this call
// counted to, and until when; an error that has its quota's reset beside it is only an
// error. A quota that has a name of its own ("search") is one of several: that it is
// spent holds up no other calls, unless it is what refused this one.
func (t *transport) exhausted(resp *http.Response, now time.Time) (until time.Time, exhausted bool) {
	refused := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusForbidden
	views := slices.DeleteFunc(quota.Parse(resp.Header, now, nil), func(v quota.View) bool {
		return !refused && (!usual(v.Bucket) || v.Partition != "" || v.Unit != quota.Requests)
	})
	return quota.Exhausted(views, resp.StatusCode, false, now)
}

// usual reports whether a bucket is the one that most calls count to: it has no name, or
// that of the examples of the IETF draft, or GitHub's, or is called after its window.
func usual(bucket string) bool {
	switch bucket {
	case "", "default", "core":
		return true
	}
	return strings.HasPrefix(bucket, "w=")
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
