package policy

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/limit"
	"outrider/policy/moment"
)

// A TimeoutError says which of our clocks ended a call or an attempt.
type TimeoutError struct {
	Clock string        // "timeout", "attempt_timeout" or "idle_timeout", as in the configuration; or CallerClock
	Limit time.Duration // what the clock was set to
}

// CallerClock names the clock that a caller sets for its own call.
const CallerClock = "Outrider-Timeout"

// Error names the clock, so that the operator knows which setting to look at.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s of %s passed", e.Clock, e.Limit)
}

// Timeout makes the error a timeout in the sense of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// Unwrap makes the error a context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// timeoutKey carries Controls.Timeout where there is no Call.
type timeoutKey struct{}

// wholeTime is how long a call may take: as configured, or shorter where its caller asks.
func wholeTime(ctx context.Context, call *Call, timeout time.Duration) (limit time.Duration, clock string) {
	var asked time.Duration
	if call != nil {
		asked = call.timeout
	} else {
		asked, _ = ctx.Value(timeoutKey{}).(time.Duration)
	}
	if asked > 0 && asked < timeout {
		return asked, CallerClock
	}
	return timeout, "timeout"
}

// deadline bounds a whole call, queue and backoff and all attempts, until the
// response headers are there. A body may take as long as it flows.
// begin is bound, or boundWithRooms.
func deadline(begin func(*http.Request, time.Duration) *bounded, timeout time.Duration) Stage {
	return Stage{Name: "deadline", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			b := begin(req, timeout)
			resp, err := next.RoundTrip(&b.request)
			b.answered.Store(true)
			if err != nil {
				b.over()
				return nil, err
			}
			resp.Body = b.body.around(resp.Body, b)
			return resp, nil
		})
	}}
}

// A bounded call is one within its time: its context, and all that goes with it and with
// its first attempt, which most often is the only one, so that they are one allocation.
type bounded struct {
	scope
	time     clock
	limit    time.Duration
	name     string // of the clock that the limit is of
	request  http.Request
	answered atomic.Bool // or it has ended without an answer
	body     closingBody

	moments moment.Moments // of its attempts
	begun   atomic.Bool    // its first attempt has
	first   try
	rooms   *rooms // for what the stages have to remember of that; nil: they see to it themselves
}

// rooms are those that stages look for.
type rooms struct {
	auth    auth.Room
	circuit breaker.Room
	limit   limit.Room
}

// A boundedWithRooms is a call that passes the stages that have one.
type boundedWithRooms struct {
	bounded
	own rooms
}

// boundedKey finds the call that an attempt is part of.
type boundedKey struct{}

// bound begins the time of a call.
func bound(req *http.Request, timeout time.Duration) *bounded {
	b := new(bounded)
	b.begin(req, timeout)
	return b
}

// boundWithRooms is bound for a call that passes the stages for which there are rooms.
func boundWithRooms(req *http.Request, timeout time.Duration) *bounded {
	b := new(boundedWithRooms)
	b.rooms = &b.own
	b.begin(req, timeout)
	return &b.bounded
}

func (b *bounded) begin(req *http.Request, timeout time.Duration) {
	ctx := req.Context()
	b.Context, b.call, b.clock = ctx, CallFrom(ctx), &b.time
	b.limit, b.name = wholeTime(ctx, b.call, timeout)
	b.request = *req.WithContext(b)
	b.time.begin(b, b.limit)
}

// Value gives what is known of the call, and else what its context has.
func (b *bounded) Value(key any) any {
	switch key {
	case callKey{}:
		return b.call
	case moment.Key{}:
		return &b.moments
	case boundedKey{}:
		return b
	}
	if b.rooms != nil {
		switch key {
		case auth.RoomKey{}:
			return &b.rooms.auth
		case breaker.RoomKey{}:
			return &b.rooms.circuit
		case limit.RoomKey{}:
			return &b.rooms.limit
		}
	}
	return b.scope.Value(key)
}

// Deadline tells the stages below when the call ends. The ending itself is the clock's, so
// that it can be lifted once the answer has begun.
func (b *bounded) Deadline() (time.Time, bool) {
	at := b.time.began.Add(b.limit)
	if earlier, ok := b.Context.Deadline(); ok && earlier.Before(at) {
		return earlier, true
	}
	return at, true
}

// over ends what goes with the call: its answer has been read.
func (b *bounded) over() {
	b.time.stop()
	b.end(nil)
}

// ring ends the call when its time is over, counted from the last byte of a request body
// that the client streams: a large upload is not a slow answer.
func (b *bounded) ring(now time.Duration) (again time.Duration, cause error) {
	if b.answered.Load() {
		return 0, nil
	}
	if passed, streamed := b.call.sinceUpload(); streamed && passed < b.limit {
		return now + b.limit - passed, nil
	}
	return 0, &TimeoutError{Clock: b.name, Limit: b.limit}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
