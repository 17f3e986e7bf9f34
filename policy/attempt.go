package policy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/hedge"
	"outrider/policy/moment"
)

// attempt is the innermost stage: it asks whether the request may leave (see Call.Depart),
// counts what reaches the wire, gives each
// attempt its own clock until the response headers, and watches for silence
// inside the body afterwards.
//
// hedged says that it may be one of two at a time, if its request may be sent twice. on looks at the answers; nil: nobody does.
func attempt(timeout, idle time.Duration, hedged bool, on *onlooker) Stage {
	timeout, idle = min(timeout, forever), min(idle, forever)
	return Stage{Name: "attempt", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			call := CallFrom(req.Context())
			if err := call.depart(req.Context()); err != nil {
				if req.Body != nil {
					req.Body.Close()
				}
				return nil, err
			}
			t, req := begin(req, timeout, idle)
			if t.hedged = hedged && hedge.Hedgeable(req); t.hedged {
				hedge.Begun(req.Context())
			}
			breaker.Begun(req.Context(), t.Start)
			resp, err := next.RoundTrip(req)
			now := t.moments.Arrive()
			call.landed(err)
			call.gotBody(t.came)
			if err != nil {
				t.over()
				return nil, err
			}
			if on != nil {
				on.see(req, resp, now)
			}
			resp.Body = t.follow(resp, now)
			return resp, nil
		})
	}}
}

// A try is an attempt under way: its context, by which the transport reports, and then the
// body of its answer. Requests may have it before it begins: it is nothing but a part of its
// call until then.
type try struct {
	scope
	Attempt
	begun   atomic.Bool
	moments *moment.Moments
	guard   *auth.Guard // knows what must not be shown; nil: there is nothing
	timeout time.Duration
	idle    time.Duration
	hedged  bool         // it may be one of two at a time
	came    bool         // the body of the answer had begun to come when its head was read
	waiting atomic.Int64 // since when somebody waits for the upstream to send more of its body, by the clock, or one of those below
	body    closingBody
}

// What is in the place of the time in try.waiting.
const (
	noAnswer  = -1 // the response headers are waited for
	nobody    = -2 // waits
	noEnd     = -3 // of any wait: it may be silent, or is over
	unwatched = -4 // somebody waits, and nobody for an end of that so far: see clock
)

// begin begins an attempt, and gives its request. It has a share in the clock of its call:
// deadline is above.
func begin(req *http.Request, timeout, idle time.Duration) (*try, *http.Request) {
	t, made := req.Context().(*try) // made for the first: see bounded
	if !made || t.begun.Load() {
		t, req = attemptOf(req)
	}
	t.guard, t.timeout, t.idle = guarded(t), timeout, idle
	t.waiting.Store(noAnswer)
	t.Start = t.moments.Departure()
	t.begun.Store(true)
	if t != &t.clock.call.first {
		t.clock.add(t)
	}
	t.clock.set(t.latest())
	return t, req
}

// attemptOf gives the attempt that a request has been given the context of, or else a new
// one, and the request with its context. The first of a call is a part of that.
func attemptOf(req *http.Request) (*try, *http.Request) {
	ctx := req.Context()
	if t, _ := ctx.Value(tryKey{}).(*try); t != nil && !t.begun.Load() {
		return t, req.WithContext(t)
	}
	whole, _ := ctx.Value(boundedKey{}).(*bounded)
	if room := whole.auth.Take(); room != nil {
		t := &whole.first
		t.Context, t.moments = ctx, moment.Of(ctx)
		*room = *req.WithContext(t)
		return t, room
	}
	t := &try{scope: scope{Context: ctx, call: CallFrom(ctx), clock: &whole.time}, moments: moment.Of(ctx)}
	return t, req.WithContext(t)
}

// latest is when the answer has to be there, by the clock.
func (t *try) latest() time.Duration { return t.clock.at(t.Start) + t.timeout }

// Earliest is when the attempt may end by its clocks, before its call has to, or by losing to
// another one, whose answer waits for that. It is no Deadline, since it may be put off: it
// tells the transport, which follows a context some time after its request has begun, what may
// not wait for that.
func (t *try) Earliest() time.Time {
	if t.hedged {
		return t.Start
	}
	return t.Start.Add(min(t.timeout, t.idle))
}

// tryKey finds the attempt that a context is of, also before it begins.
type tryKey struct{}

// ofCall is for what goes on beside an attempt, in whose context it was begun: what becomes of
// that is not to be told to the attempt. It has what the call has, and does not end with it.
func ofCall(ctx context.Context) context.Context {
	if t, _ := ctx.Value(tryKey{}).(*try); t != nil {
		return context.WithoutCancel(t.Context)
	}
	return ctx
}

// Value gives what is known of the attempt, and else what its call has.
func (t *try) Value(key any) any {
	switch key.(type) {
	case callKey:
		return t.call
	case moment.Key:
		return t.moments
	case attemptKey:
		if t.begun.Load() {
			return &t.Attempt
		}
		return nil
	case tryKey:
		return t
	}
	if key == traceKey && t.begun.Load() {
		return t.trace()
	}
	return t.scope.Value(key)
}

// follow has the attempt end with the body of its answer, or when that is silent for
// longer than idle, and the request body is, if that is being sent still: where both
// directions flow on their own, one of them may have nothing to say for long. A connection
// that was upgraded may be silent for as long as it likes: its two ends have their own ways
// to find out.
func (t *try) follow(resp *http.Response, arrived time.Time) io.ReadCloser {
	t.body.ReadCloser = resp.Body
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		t.waiting.Store(noEnd)
		return whole((*attemptBody)(t), resp.Body)
	}
	now := t.clock.at(arrived)
	t.waiting.Store(int64(now))
	t.clock.set(now + t.idle)
	return (*attemptBody)(t)
}

// over ends what goes with the attempt.
func (t *try) over() {
	t.waiting.Store(noEnd)
	t.endWith(wasOver)
}

// errOver is why the context of an attempt ends that is over. It is not context.Canceled itself:
// stages that judge the attempt by that context must not take it for a client that left.
var errOver = fmt.Errorf("the attempt is over: %w", context.Canceled)

// ring ends the attempt if it has taken too long, counted from the last byte of a request
// body that the client streams, or if the body of its answer is silent for too long.
func (t *try) ring(now time.Duration) (again time.Duration, cause error) {
	if !t.begun.Load() {
		return 0, nil
	}
	since := time.Duration(t.waiting.Load())
	switch since {
	case noEnd:
		return 0, nil
	case unwatched:
		t.waiting.CompareAndSwap(unwatched, int64(now))
		return now + t.idle, nil
	case nobody:
		return now + t.idle, nil
	case noAnswer:
		if now < t.latest() {
			return t.latest(), nil
		}
		if passed, streamed := t.call.sinceUpload(); streamed && passed < t.timeout {
			return now + t.timeout - passed, nil
		}
		return 0, &TimeoutError{Clock: "attempt_timeout", Limit: t.timeout}
	}
	if since+t.idle > now {
		return since + t.idle, nil
	}
	if quiet, streamed := t.call.uploadQuiet(); streamed && quiet < t.idle {
		return now + t.idle - quiet, nil
	}
	return 0, &TimeoutError{Clock: "idle_timeout", Limit: t.idle}
}
