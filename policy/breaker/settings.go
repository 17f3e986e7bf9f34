package breaker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Outcome is what the end of an attempt says about the provider.
type Outcome int

// The outcomes. Values that are none of these count as Ignored.
const (
	// Success: the provider answered, if only to say 404 or 429.
	Success Outcome = iota
	// Failure: it answered that it is broken, broke off, or did not answer in time.
	Failure
	// ConnectFailure is a Failure without a connection to it.
	ConnectFailure
	// Ignored says nothing about it: the client left, or the request was not sent.
	Ignored
)

// shortest is how long a circuit is open at least.
const shortest = time.Millisecond

// Settings say when a circuit opens, and for how long.
type Settings struct {
	// Window is how long an attempt counts. It is kept in ten buckets, so an
	// attempt counts for at least nine tenths of it. Required.
	Window time.Duration

	// MinCalls is how many attempts must have ended within Window before a
	// ratio is looked at. 0: one.
	MinCalls int

	// FailureRatio opens the circuit when this share of the attempts failed,
	// in (0, 1]. 0: never.
	FailureRatio float64

	// FailureRun opens it after so many failures of any kind within Window without
	// a Success between them, if they have gone on for a second, whatever their
	// share is. 0: never.
	FailureRun int

	// Overdue is how long an attempt is without an answer at least, from when it went
	// to the network, before it is taken for a failure of that run until it ends: see
	// the package's documentation. 0: each is waited for to its end.
	Overdue time.Duration

	// Slow and SlowRatio open it when this share of the attempts took longer
	// than Slow until the response headers, or an error. 0: never.
	Slow      time.Duration
	SlowRatio float64

	// Consecutive opens it after so many ConnectFailures without a Success or
	// Failure between them. 0: never.
	Consecutive int

	// Open is how long it stays open, before escalation and jitter; at least
	// 1 ms. OpenMax, at least Open, is the longest. Both required.
	Open, OpenMax time.Duration

	// Ramp is how long a circuit that a probe has closed takes until all calls
	// pass again: a tenth of them at first, but ten in each second in any case. The
	// others are refused. At most an hour; 0: all pass at once.
	Ramp time.Duration

	// Jitter gives a random duration in [0, max). Nil: no jitter.
	Jitter func(max time.Duration) time.Duration

	// Outcome judges the end of an attempt: a response, or an error. It is
	// asked again, with a nil response, about an error that ended the body of
	// a response which was a Success. Required.
	Outcome func(req *http.Request, resp *http.Response, err error) Outcome

	// Replayable reports that a request may be sent again if it fails, and so
	// may be the probe. Nil: every request.
	Replayable func(*http.Request) bool

	// Waited says how long a request has been kept from the provider so far by
	// ourselves or by its client, such as in line for its turn. What it grows
	// by during an attempt is not held to be slowness. Nil: nothing is.
	Waited func(*http.Request) time.Duration

	// OnChange, if not nil, is told of each change of state by the call that caused it,
	// with no lock held.
	OnChange func(ctx context.Context, c Change)
}

// A Change is one of the state of a circuit.
type Change struct {
	Key      string    // of the circuit
	From, To string    // "closed", "open", "half-open"
	Until    time.Time // when an open circuit lets a probe through; else zero
	Cause    string    // why it is not closed, as in State; "": it is
}

// check reports everything that is wrong with s.
func (s *Settings) check() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(s.Window < buckets, "Window = %v: must be positive", s.Window)
	wrong(s.MinCalls < 0, "MinCalls = %d: must not be negative", s.MinCalls)
	wrong(!(s.FailureRatio >= 0 && s.FailureRatio <= 1), "FailureRatio = %v: must be between 0 and 1", s.FailureRatio)
	wrong(s.FailureRun < 0, "FailureRun = %d: must not be negative", s.FailureRun)
	wrong(s.Overdue < 0, "Overdue = %v: must not be negative", s.Overdue)
	wrong(s.Slow < 0, "Slow = %v: must not be negative", s.Slow)
	wrong(!(s.SlowRatio >= 0 && s.SlowRatio <= 1), "SlowRatio = %v: must be between 0 and 1", s.SlowRatio)
	wrong(s.Consecutive < 0, "Consecutive = %d: must not be negative", s.Consecutive)
	wrong(s.Open < shortest, "Open = %v: must be at least %v", s.Open, shortest)
	wrong(s.OpenMax < s.Open, "OpenMax = %v: must be at least Open, which is %v", s.OpenMax, s.Open)
	wrong(s.Ramp < 0 || s.Ramp > time.Hour, "Ramp = %v: must be between 0 and 1h", s.Ramp)
	wrong(s.Outcome == nil, "Outcome: must be set")
	return errors.Join(errs...)
}

// slow reports whether an attempt that took so long is a slow one. Without a
// ratio nothing is: a slow probe would keep a circuit open by no rule.
func (s *Settings) slow(took time.Duration) bool {
	return s.Slow > 0 && s.SlowRatio > 0 && took > s.Slow
}

// openFor is how long the opening stays that follows on so many others:
// Open doubled each time, and anything from half to one and a half of that,
// but never more than OpenMax.
func (s *Settings) openFor(openings int) time.Duration {
	d := s.Open
	for ; openings > 0 && d < s.OpenMax; openings-- {
		if d > s.OpenMax/2 {
			d = s.OpenMax
		} else {
			d *= 2
		}
	}
	if s.Jitter == nil {
		return d
	}
	// Cutting the spread at OpenMax, and not the result, keeps it a spread.
	return d/2 + s.Jitter(min(d, s.OpenMax-d/2))
}
