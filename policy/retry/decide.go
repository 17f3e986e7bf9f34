package retry

import (
	"context"
	"io"
	"net/http"
	"time"
)

// A next is an attempt that was decided on, and paid for.
type next struct {
	req   *http.Request // with a body of its own, from the beginning
	delay time.Duration
}

// decide says what follows attempt n: another one, or, if that is nil, the
// reason why not. The reason is empty where there is nothing to retry.
// The questions stand in the order of the package's documentation.
func (s *Stage) decide(req *http.Request, n int, resp *http.Response, err error) (*next, string) {
	ctx := req.Context()

	// Is it worth it, and does anybody wait?
	var v Verdict
	if err == nil {
		if v = s.verdict(resp); v == Final {
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
	if controlsFrom(ctx).Off {
		return nil, TurnedOff
	}

	// Is it harmless?
	if class := s.Class(req); !Lookup(class, phase(err), v).Retry {
		if class == Once {
			return nil, NotReplayable
		}
		return nil, UnsafeMethod
	}

	// Is it possible? The budget comes last: what is not sent is not charged.
	if n >= s.set.Attempts {
		return nil, AttemptsSpent
	}
	now := time.Now()
	delay := s.delay(n-1, resp, now)
	if deadline, ok := ctx.Deadline(); ok && !now.Add(delay).Before(deadline) {
		return nil, Deadline
	}
	again, err := replay(req)
	if err != nil {
		return nil, NotReplayable
	}
	if !s.set.Budget.spend() {
		closeBody(again)
		return nil, BudgetSpent
	}
	return &next{req: again, delay: delay}, ""
}

// replay copies a request, with its body from the beginning.
func replay(req *http.Request) (*http.Request, error) {
	r2 := clone(req)
	if req.Body == nil || req.Body == http.NoBody {
		return r2, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	r2.Body = body
	return r2, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

const (
	drainBytes = 64 << 10
	drainTime  = 500 * time.Millisecond
)

// wait lets go of the response that is being retried, if any, and returns when
// delay is over, or with the cause when ctx is.
func wait(ctx context.Context, delay time.Duration, dropped *http.Response) error {
	timer := time.NewTimer(delay) // what drop needs is part of the wait
	defer timer.Stop()
	if dropped != nil {
		drop(ctx, dropped)
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

// drop reads a response to its end, so that its connection can be used again,
// and closes it; that gives back its turn as well. A body that is too large, or
// does not come, is not worth the wait: the former is closed, the latter left
// to end with the context of the call.
func drop(ctx context.Context, resp *http.Response) {
	if resp.Body == nil {
		return
	}
	if resp.Body == http.NoBody || resp.ContentLength > drainBytes {
		resp.Body.Close()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyN(io.Discard, resp.Body, drainBytes)
		resp.Body.Close()
	}()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
