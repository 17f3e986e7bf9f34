package policy

import (
	"context"
	"fmt"
	"net/http"
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

// timeoutKey carries Controls.Timeout where there is no Call.
type timeoutKey struct{}

// forever is long enough for any call, and so short that the sum of two is no overflow: 73 years.
const forever time.Duration = 1 << 61

// wholeTime is how long a call may take: as configured, or shorter where its caller asks.
func wholeTime(ctx context.Context, call *Call, timeout time.Duration) (limit time.Duration, asked bool) {
	var shorter time.Duration
	if call != nil {
		shorter = call.timeout
	} else {
		shorter, _ = ctx.Value(timeoutKey{}).(time.Duration)
	}
	if shorter > 0 && shorter < timeout {
		return shorter, true
	}
	return timeout, false
}

// tookTooLong is why a call ends that has taken its whole time.
func tookTooLong(limit time.Duration, asked bool) *TimeoutError {
	if asked {
		return &TimeoutError{Clock: CallerClock, Limit: limit}
	}
	return &TimeoutError{Clock: "timeout", Limit: limit}
}

// Late is why a call ends that has taken its whole time, which is the Limit, before it came to
// its plan: see Call.HeldBack.
func (p *Plan) Late(ctx context.Context) *TimeoutError {
	return tookTooLong(wholeTime(ctx, CallFrom(ctx), min(p.Policy.Timeout, forever)))
}

// deadline bounds a whole call, queue and backoff and all attempts, until the
// response headers are there. A body may take as long as it flows.
//
// The clocks of all calls that go through what it wraps are one [clocks]: it is made once for
// a plan, which is wrapped anew for each call that names a connection.
func deadline(timeout time.Duration) Stage {
	timeout = min(timeout, forever)
	all := newClocks()
	return Stage{Name: "deadline", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			b, req := bound(req, timeout, all)
			resp, err := next.RoundTrip(req)
			b.answered.Store(true)
			if err != nil {
				b.over()
				return nil, err
			}
			b.body.ReadCloser = resp.Body
			if resp.StatusCode == http.StatusSwitchingProtocols {
				resp.Body = whole((*answerBody)(b), resp.Body)
			} else {
				resp.Body = (*answerBody)(b)
			}
			return resp, nil
		})
	}}
}

// bound begins the time of a call, whose clock is one of all, and gives its request.
func bound(req *http.Request, timeout time.Duration, all *clocks) (*bounded, *http.Request) {
	b, made := req.Context().(*bounded) // mostly: see Within
	if !made || b.used.Swap(true) {
		b, req = boundAnew(req)
	}
	b.limit, b.asked = wholeTime(b.Context, b.call, timeout)
	b.time.begin(all, b.moments.Begin())
	if b.call != nil {
		b.time.began -= b.call.held
	}
	b.begun.Store(true)
	b.time.set(b.limit)
	return b, req
}

// boundAnew gives a request a context which is unused, where its own is none.
func boundAnew(req *http.Request) (*bounded, *http.Request) {
	ctx := req.Context()
	if b, made := ctx.(*bounded); made {
		ctx = b.Context // which has not ended with the call before
	}
	b := newBounded(ctx)
	return b, req.WithContext(b)
}

// Deadline tells the stages below when the call ends, by the clock that nobody sets. The ending
// itself is the clock's, so that it can be lifted once the answer has begun.
func (b *bounded) Deadline() (time.Time, bool) {
	if !b.begun.Load() {
		return b.Context.Deadline()
	}
	at := b.time.all.began.Add(b.time.began + b.limit)
	if earlier, ok := b.Context.Deadline(); ok && earlier.Before(at) {
		return earlier, true
	}
	return at, true
}

// over ends what goes with the call: its answer has been read.
func (b *bounded) over() {
	b.time.stop()
	b.endWith(leftOff)
}

// ring ends the call when its time is over, counted from the last byte of a request body
// that the client streams: a large upload is not a slow answer.
func (b *bounded) ring(now time.Duration) (again time.Duration, cause error) {
	switch {
	case b.answered.Load():
		return 0, nil
	case now < b.limit:
		return b.limit, nil
	}
	if passed, streamed := b.call.sinceUpload(); streamed && passed < b.limit {
		return now + b.limit - passed, nil
	}
	return 0, tookTooLong(b.limit, b.asked)
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
