package retry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"outrider/policy/moment"
	"outrider/policy/replay"
)

// Settings say when a call is sent again, and how soon.
type Settings struct {
	Attempts int           // in all, the first included; at least 1, which turns retries off
	Base     time.Duration // the first wait is at most this; more than 0 if Attempts > 1
	Cap      time.Duration // no wait of ours is longer; more than 0 if Attempts > 1. A server's hint may be
	Statuses []int         // of responses that are worth another attempt: 400 to 599

	// Unprocessed are the statuses, 400 to 599, by which the upstream says that it did
	// nothing with a request: whatever was answered so may be sent again.
	Unprocessed []int

	// IdempotencyHeader is the field by which the upstream recognises a request
	// that it had before: whatever carries it may be retried. Empty: there is none.
	IdempotencyHeader string
	MintKey           bool          // give a POST or PATCH without a key one
	NewKey            func() string // makes a unique key; needed if MintKey

	// Answer, if not nil, says what a response means where its status does not.
	Answer func(req *http.Request, resp *http.Response) Answer

	Jitter func(max time.Duration) time.Duration // random in [0, max) for max > 0; needed if Attempts > 1
	Budget *Budget                               // of the host; nil: no budget

	Repeats *Repeats                         // what is known of the retries of callers; nil: what they say themselves
	Caller  func(ctx context.Context) string // whose call it is; nil: everybody's is the same
	Account func(ctx context.Context) string // with which of our credentials it goes out; nil: there is one

	OnMint    func(ctx context.Context, key string) // the call got a key of ours; nil: nobody listens
	OnRepeat  func(ctx context.Context, e Event)    // the call is a retry of its caller's; nil: nobody listens
	OnRetry   func(ctx context.Context, e Event)    // another attempt will follow; nil: nobody listens
	OnBackoff func(ctx context.Context, e Event)    // the wait before it is over, or was broken off; nil: nobody listens
	OnGiveUp  func(ctx context.Context, e Event)    // no other attempt follows one that did not succeed; nil: nobody listens
}

// An Event tells about one decision.
type Event struct {
	Attempt int           // OnRetry, OnBackoff: the number of the attempt to come, 2 or more; OnGiveUp: of the last one
	Delay   time.Duration // OnRetry: the wait before it; OnBackoff: how long that really was
	Reason  string        // OnRetry, OnBackoff: the outcome that causes it, "status 503"; OnGiveUp: one of the reasons below, or that of an Answer; OnRepeat: ByCount and so on
}

// The reasons for which no other attempt is made.
const (
	RefusedLocally = "refused locally" // one of our own stages refused to send it
	ClientGone     = "client gone"     // nobody waits for the answer any more
	Deadline       = "deadline"        // the call's time is over, or would be before the next attempt
	Permanent      = "permanent"       // the error would come again
	ServerForbids  = "server forbids"  // x-should-retry: false
	TurnedOff      = "turned off"      // the caller wants no retries
	Upgrade        = "upgrade"         // it wants to become another protocol, and is sent once
	EarlyData      = "early data"      // it came as TLS early data, and is sent once (RFC 8470 §5.2)
	BodyNotKept    = "body not kept"   // its body is too large to be kept for a second attempt
	UnsafeMethod   = "unsafe method"   // it may have been applied: see Table
	AttemptsSpent  = "attempts"        // there are no more
	NoTurn         = "no turn"         // its turn would come too late, or is too far away to be waited for
	CircuitOpen    = "circuit open"    // it would not be let through, since the circuit has just opened
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
	for _, list := range [...]struct {
		name  string
		codes []int
	}{{"statuses", s.Statuses}, {"unprocessed", s.Unprocessed}} {
		for _, code := range list.codes {
			if code < 400 || code > 599 {
				wrong("%s: %d: must be from 400 to 599", list.name, code)
			}
		}
	}
	if s.MintKey && (s.IdempotencyHeader == "" || s.NewKey == nil) {
		wrong("minting keys: needs the header to put them in, and a maker of keys")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.Statuses, s.Unprocessed = slices.Clone(s.Statuses), slices.Clone(s.Unprocessed)
	return &Stage{set: s, header: http.CanonicalHeaderKey(s.IdempotencyHeader)}, nil
}

// Wrap puts the stage around next, which makes one attempt per RoundTrip.
func (s *Stage) Wrap(next http.RoundTripper) http.RoundTripper { return s.WrapBefore(nil)(next) }

// WrapBefore is Wrap, where next may refuse attempts without sending them: refused says
// why one that follows after a delay would be, such as NoTurn; "": it would not. Then the
// outcome of the last one stands, which says more than a refusal of ours. nil: none is.
func (s *Stage) WrapBefore(refused func(req *http.Request, delay time.Duration) string) func(next http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return &transport{stage: s, refused: refused, next: next}
	}
}

type transport struct {
	stage   *Stage
	refused func(req *http.Request, delay time.Duration) string
	next    http.RoundTripper
}

// A course is one call on its way.
type course struct {
	req      *http.Request // of the first attempt
	minted   string        // the key that it got from us; "": none
	attempts int           // so far
	moved    bool          // an attempt was answered 421, and another followed
	follows  bool          // the same request had just failed
	refused  func(req *http.Request, delay time.Duration) string
}

// RoundTrip makes attempts until one of them is the answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s, ctx := t.stage, req.Context()
	c := course{req: req, refused: t.refused}
	if s.set.MintKey {
		c.req, c.minted = s.mint(req)
	}
	repeat := s.repeated(&c)
	for attempt := c.req; ; {
		resp, err := t.next.RoundTrip(attempt)
		c.attempts++
		switch {
		case c.attempts > 1:
		case err == nil && repeat == "": // mostly
			s.set.Budget.called(moment.Of(ctx).Arrival())
		default:
			s.charge(&c, repeat, err)
		}
		means := s.answer(attempt, resp)
		var again *next
		var reason string
		if err != nil || !stands(resp, means.Meaning) {
			again, reason = s.decide(&c, resp, means, err)
		}
		if again == nil {
			if reason != "" {
				s.gaveUp(&c, reason)
			}
			if err != nil {
				return nil, last(c.attempts, err)
			}
			s.echo(resp, c.minted)
			return resp, nil
		}
		e := Event{Attempt: c.attempts + 1, Delay: again.delay, Reason: describe(resp, means, err)}
		if err := s.backoff(ctx, e, again.since, resp); err != nil {
			replay.CloseBody(again.req)
			s.gaveUp(&c, ended(ctx))
			return nil, err
		}
		attempt = again.req
	}
}

// backoff waits before the attempt that e announces, as the call has since then, and drops the
// answer of the last one meanwhile. It tells of the wait twice, since it is not known before its
// end how long it is: the client may leave.
func (s *Stage) backoff(ctx context.Context, e Event, since time.Time, dropped *http.Response) error {
	if s.set.OnRetry != nil {
		s.set.OnRetry(ctx, e)
	}
	err := wait(ctx, since.Add(e.Delay), dropped)
	moment.Of(ctx).Waited()
	if s.set.OnBackoff != nil {
		e.Delay = time.Since(since)
		s.set.OnBackoff(ctx, e)
	}
	return err
}

// charge tells the budget of a first attempt, which has failed or is a retry of the caller's,
// unless we refused it ourselves. Such a retry is paid for like one of ours, as far as there is
// something to pay with.
func (s *Stage) charge(c *course, repeat string, err error) {
	switch {
	case err != nil && refused(err):
		s.unsent(c)
	case repeat == "":
		s.set.Budget.called(moment.Of(c.req.Context()).Arrival())
	default:
		s.set.Budget.repeated(moment.Of(c.req.Context()).Arrival())
		if s.set.OnRepeat != nil {
			s.set.OnRepeat(c.req.Context(), Event{Attempt: 1, Reason: repeat})
		}
	}
}

// gaveUp tells why no other attempt follows.
func (s *Stage) gaveUp(c *course, reason string) {
	if c.attempts > 1 || reason != RefusedLocally {
		s.remember(c)
	}
	if s.set.OnGiveUp != nil {
		s.set.OnGiveUp(c.req.Context(), Event{Attempt: c.attempts, Reason: reason})
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
