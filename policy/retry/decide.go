package retry

import (
	"context"
	"net/http"
	"time"

	"outrider/policy/replay"
)

// A next is an attempt that was decided on, and paid for.
type next struct {
	req   *http.Request // with a body of its own, from the beginning
	since time.Time     // when the wait before it began: with the end of the one before
	delay time.Duration // that it lasts
}

// decide says what follows the latest attempt: another one, or, if that is nil, the
// reason why not. The reason is empty where there is nothing to retry.
// The questions stand in the order of the package's documentation.
func (s *Stage) decide(c *course, resp *http.Response, a Answer, err error) (*next, string) {
	ctx := c.req.Context()

	// Is it worth it, and does anybody wait?
	var v Verdict
	if err == nil {
		switch v = s.verdict(c, resp, a); {
		case a.Meaning == AsFinal:
			return nil, a.Reason
		case v == Final || v == Reused:
			return nil, ""
		}
	} else if refused(err) {
		return nil, RefusedLocally
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	if err != nil && permanent(err) {
		return nil, Permanent
	}
	if v == Forbidden {
		return nil, ServerForbids
	}
	if ControlsFrom(ctx).Off {
		return nil, TurnedOff
	}

	// Is it harmless?
	if class := s.Class(c.req); !Lookup(class, phase(err), v).Retry {
		if class == Once {
			return nil, once(c.req)
		}
		return nil, UnsafeMethod
	}

	// Is it possible? The body comes last: to open it anew ends an upload that is still
	// under way, and with it the answer that would be passed on.
	if c.attempts >= s.set.Attempts {
		return nil, AttemptsSpent
	}
	now := time.Now() // The wait begins here: c.refused may ask who the caller is, which takes its time.
	delay := s.delay(c.attempts-1, resp, v, a, now)
	if deadline, ok := ctx.Deadline(); ok && !now.Add(delay).Before(deadline) {
		return nil, Deadline
	}
	if c.refused != nil {
		if reason := c.refused(c.req, delay); reason != "" {
			return nil, reason
		}
	}
	if !s.set.Budget.Spend() {
		return nil, BudgetSpent
	}
	again, err := repeat(c.req)
	if err != nil {
		s.set.Budget.Refund() // what is not sent is not charged
		return nil, BodyNotKept
	}
	c.moved = c.moved || v == Misdirected
	return &next{req: again, since: now, delay: delay}, ""
}

// repeat copies a request, with its body from the beginning.
func repeat(req *http.Request) (*http.Request, error) {
	body, err := replay.Body(req)
	if err != nil {
		return nil, err
	}
	r2 := clone(req)
	r2.Body = body
	return r2, nil
}

// wait lets go of the response that is being retried, if any, and returns at until, or with
// the cause when ctx is over.
func wait(ctx context.Context, until time.Time, dropped *http.Response) error {
	timer := time.NewTimer(time.Until(until)) // dropping is part of the wait
	defer timer.Stop()
	if dropped != nil {
		replay.Drop(ctx, dropped)
	}
	select {
	case <-timer.C:
		if ctx.Err() == nil { // both may be due
			return nil
		}
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}
