package policy

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
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

// A clock ends a context when its limit has passed, counted from the last byte
// of a request body that the client streams: a large upload is not a slow answer.
type clock struct {
	timer   *time.Timer
	limit   time.Duration
	call    *Call
	end     context.CancelCauseFunc
	cause   *TimeoutError
	stopped atomic.Bool
}

// never is too far away to be reached before the Reset that follows.
const never = 1 << 62 * time.Nanosecond

func startClock(call *Call, limit time.Duration, cause *TimeoutError, end context.CancelCauseFunc) *clock {
	c := &clock{limit: limit, call: call, end: end, cause: cause}
	// fire reads c.timer, so it must not run before that is set.
	c.timer = time.AfterFunc(never, c.fire)
	c.timer.Reset(limit)
	return c
}

func (c *clock) fire() {
	passed, streamed := c.call.sinceUpload()
	if !streamed || passed >= c.limit {
		c.end(c.cause)
		return
	}
	c.timer.Reset(c.limit - passed)
	if c.stopped.Load() { // in the meantime: the Reset must not outlive it
		c.timer.Stop()
	}
}

// stop ends the clock, also one that is about to start anew.
func (c *clock) stop() {
	c.stopped.Store(true)
	c.timer.Stop()
}

// deadlineContext tells the stages below when the call ends. The ending itself
// is the clock's, so that it can be lifted once the answer has begun.
type deadlineContext struct {
	context.Context
	at time.Time
}

func (c deadlineContext) Deadline() (time.Time, bool) { return c.at, true }

// timeoutKey carries Controls.Timeout.
type timeoutKey struct{}

// wholeTime is how long a call may take: as configured, or shorter where its caller asks.
func wholeTime(ctx context.Context, timeout time.Duration) (limit time.Duration, clock string) {
	if asked, ok := ctx.Value(timeoutKey{}).(time.Duration); ok && asked < timeout {
		return asked, CallerClock
	}
	return timeout, "timeout"
}

// deadline bounds a whole call, queue and backoff and all attempts, until the
// response headers are there. A body may take as long as it flows.
func deadline(timeout time.Duration) Stage {
	return Stage{Name: "deadline", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			ctx := req.Context()
			limit, name := wholeTime(ctx, timeout)
			bounded, end := context.WithCancelCause(ctx)
			at := time.Now().Add(limit)
			if earlier, ok := ctx.Deadline(); ok && earlier.Before(at) {
				at = earlier
			}
			clock := startClock(CallFrom(ctx), limit, &TimeoutError{Clock: name, Limit: limit}, end)
			resp, err := next.RoundTrip(req.WithContext(deadlineContext{bounded, at}))
			clock.stop()
			if err != nil {
				end(nil)
				return nil, err
			}
			resp.Body = onClose(resp.Body, func() { end(nil) })
			return resp, nil
		})
	}}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
