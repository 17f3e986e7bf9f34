package retry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"outrider/policy/replay"
)

// Settings say when a call is sent again, and how soon.
type Settings struct {
	Attempts int           // in all, the first included; at least 1, which turns retries off
	Base     time.Duration // the first wait is at most this; more than 0 if Attempts > 1
	Cap      time.Duration // no wait of ours is longer; more than 0 if Attempts > 1. A server's hint may be
	Statuses []int         // of responses that are worth another attempt: 400 to 599

	// IdempotencyHeader is the field by which the upstream recognises a request
	// that it had before: whatever carries it may be retried. Empty: there is none.
	IdempotencyHeader string
	MintKey           bool          // give a POST or PATCH without a key one
	NewKey            func() string // makes a unique key; needed if MintKey

	// Answer, if not nil, says what a response means where its status does not.
	Answer func(req *http.Request, resp *http.Response) Answer

	Jitter func(max time.Duration) time.Duration // random in [0, max) for max > 0; needed if Attempts > 1
	Budget *Budget                               // of the host; nil: no budget

	OnRetry  func(ctx context.Context, e Event) // another attempt will follow; nil: nobody listens
	OnGiveUp func(ctx context.Context, e Event) // no other attempt follows one that did not succeed; nil: nobody listens
}

// An Event tells about one decision.
type Event struct {
	Attempt int           // OnRetry: the number of the attempt to come, 2 or more; OnGiveUp: of the last one
	Delay   time.Duration // OnRetry: the wait before it
	Reason  string        // OnRetry: the outcome that causes it, "status 503"; OnGiveUp: one of the reasons below, or that of an Answer
}

// The reasons for which no other attempt is made.
const (
	RefusedLocally = "refused locally" // one of our own stages refused to send it
	ClientGone     = "client gone"     // nobody waits for the answer any more
	Deadline       = "deadline"        // the call's time is over, or would be before the next attempt
	Permanent      = "permanent"       // the error would come again
	ServerForbids  = "server forbids"  // x-should-retry: false
	TurnedOff      = "turned off"      // the caller wants no retries
	NotReplayable  = "not replayable"  // it can be sent only once: see Once
	UnsafeMethod   = "unsafe method"   // it may have been applied: see Table
	AttemptsSpent  = "attempts"        // there are no more
	BudgetSpent    = "budget"          // too many calls of this host are being retried
)

// A Stage retries under one set of settings. It has no state of its own, and
// may be used concurrently.
type Stage struct {
	set    Settings
	header string // canonical form of IdempotencyHeader
}

// New checks the settings.
func New(s Settings) (*Stage, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Attempts < 1 {
		wrong("attempts = %d: must be at least 1", s.Attempts)
	}
	if s.Attempts > 1 && (s.Base <= 0 || s.Cap <= 0) {
		wrong("base = %v, cap = %v: both must be more than 0", s.Base, s.Cap)
	}
	if s.Attempts > 1 && s.Jitter == nil {
		wrong("no source of randomness")
	}
	for _, code := range s.Statuses {
		if code < 400 || code > 599 {
			wrong("statuses: %d: must be from 400 to 599", code)
		}
	}
	if s.MintKey && (s.IdempotencyHeader == "" || s.NewKey == nil) {
		wrong("minting keys: needs the header to put them in, and a maker of keys")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.Statuses = slices.Clone(s.Statuses)
	return &Stage{set: s, header: http.CanonicalHeaderKey(s.IdempotencyHeader)}, nil
}

// Wrap puts the stage around next, which makes one attempt per RoundTrip.
func (s *Stage) Wrap(next http.RoundTripper) http.RoundTripper {
	return &transport{stage: s, next: next}
}

type transport struct {
	stage *Stage
	next  http.RoundTripper
}

// RoundTrip makes attempts until one of them is the answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s, ctx := t.stage, req.Context()
	req, key := s.mint(req)
	for attempt, n := req, 1; ; n++ {
		resp, err := t.next.RoundTrip(attempt)
		if n == 1 && (err == nil || !refused(err)) {
			s.set.Budget.called()
		}
		means := s.answer(attempt, resp)
		again, reason := s.decide(req, n, resp, means, err)
		if again == nil {
			s.gaveUp(ctx, n, reason)
			if err != nil {
				return nil, last(n, err)
			}
			s.echo(resp, key)
			return resp, nil
		}
		if s.set.OnRetry != nil {
			s.set.OnRetry(ctx, Event{Attempt: n + 1, Delay: again.delay, Reason: describe(resp, means, err)})
		}
		if err := wait(ctx, again.delay, resp); err != nil {
			replay.CloseBody(again.req)
			s.gaveUp(ctx, n, ended(ctx))
			return nil, err
		}
		attempt = again.req
	}
}

func (s *Stage) gaveUp(ctx context.Context, n int, reason string) {
	if reason != "" && s.set.OnGiveUp != nil {
		s.set.OnGiveUp(ctx, Event{Attempt: n, Reason: reason})
	}
}

// last is the error of a call that ended with err at attempt n. An attempt that
// we refused ourselves was none.
func last(n int, err error) error {
	if refused(err) {
		n--
	}
	if n <= 1 {
		return err
	}
	return &ExhaustedError{Attempts: n, Err: err}
}
