package policy

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/hedge"
)

// attempt is the innermost stage: it asks whether the request may leave (see Call.Depart),
// counts what reaches the wire, gives each
// attempt its own clock until the response headers, and watches for silence
// inside the body afterwards.
func attempt(timeout, idle time.Duration) Stage {
	return Stage{Name: "attempt", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			call := CallFrom(req.Context())
			if err := call.depart(req.Context()); err != nil {
				if req.Body != nil {
					req.Body.Close()
				}
				return nil, err
			}
			t := begin(req, call, timeout, idle)
			hedge.Begun(req.Context())
			breaker.Begun(req.Context())
			resp, err := next.RoundTrip(&t.request)
			call.landed(err)
			call.gotBody(t.came)
			if err != nil {
				t.over()
				return nil, err
			}
			resp.Body = t.follow(resp.Body)
			return resp, nil
		})
	}}
}

// A try is an attempt under way: its context, by which the transport reports, its request,
// and then the body of its answer, so that they are one allocation.
type try struct {
	scope
	Attempt
	guard   *auth.Guard // knows what must not be shown; nil: there is nothing
	timeout time.Duration
	idle    time.Duration
	request http.Request
	came    bool         // the body of the answer had begun to come when its head was read
	waiting atomic.Int64 // since when somebody waits for the upstream to send more of its body, by the clock
	body    watchedBody
}

// What is in the place of the time in try.waiting.
const (
	noAnswer = -1 // the response headers are waited for
	nobody   = -2 // waits
	noEnd    = -3 // of any wait: it may be silent, or is over
)

// begin begins an attempt. It has a share in the clock of its call: deadline is above.
func begin(req *http.Request, call *Call, timeout, idle time.Duration) *try {
	ctx := req.Context()
	t := &try{scope: scope{Context: ctx, call: call}, guard: guarded(ctx), timeout: timeout, idle: idle}
	t.waiting.Store(noAnswer)
	whole, _ := ctx.Value(scopeKey{}).(*scope)
	t.clock = whole.clock
	now := t.clock.now()
	t.Start = t.clock.began.Add(now)
	t.request = *req.WithContext(t)
	t.clock.set(t, now+timeout)
	return t
}

// Value gives what is known of the attempt, and else what its call has.
func (t *try) Value(key any) any {
	switch key {
	case attemptKey{}:
		return &t.Attempt
	case traceKey:
		return t.trace()
	}
	return t.scope.Value(key)
}

// follow has the attempt end with the body of its answer, or when that is silent for
// longer than idle, and the request body is, if that is being sent still: where both
// directions flow on their own, one of them may have nothing to say for long. A connection
// that was upgraded may be silent for as long as it likes: its two ends have their own ways
// to find out.
func (t *try) follow(body io.ReadCloser) io.ReadCloser {
	t.body.try = t
	if _, upgraded := body.(io.ReadWriteCloser); upgraded || body == http.NoBody {
		t.waiting.Store(noEnd)
		return t.body.around(body, t)
	}
	t.body.around(body, t)
	now := t.clock.now()
	t.waiting.Store(int64(now))
	if t.idle < t.timeout {
		t.clock.set(t, now+t.idle)
	}
	return &t.body
}

// over ends what goes with the attempt.
func (t *try) over() {
	t.waiting.Store(noEnd)
	t.end(nil)
}

// ring ends the attempt if it has taken too long, counted from the last byte of a request
// body that the client streams, or if the body of its answer is silent for too long.
func (t *try) ring(now time.Duration) (again time.Duration, cause error) {
	since := time.Duration(t.waiting.Load())
	switch since {
	case noEnd:
		return 0, nil
	case nobody:
		return now + t.idle, nil
	case noAnswer:
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

// watchedBody is a body whose silence ends its attempt.
type watchedBody struct {
	closingBody
	try *try
}

// Read counts from its own beginning, so that a slow client of ours, which delays the next
// read, is not taken for a silent upstream.
func (b *watchedBody) Read(p []byte) (int, error) {
	began := int64(b.try.clock.now())
	b.try.waiting.Store(began)
	n, err := b.ReadCloser.Read(p)
	b.try.waiting.CompareAndSwap(began, nobody) // else it was closed meanwhile
	return n, err
}
