package policy

import (
	"context"
	"time"

	"outrider/policy/hedge"
	"outrider/policy/limit"
	"outrider/policy/retry"
)

// A Priority is how urgent its caller says that a call is. The zero Priority is
// PriorityNormal.
type Priority = limit.Priority

// The priorities that a caller can choose.
const (
	PriorityLow    = limit.Low
	PriorityNormal = limit.Normal
	PriorityHigh   = limit.High
)

// Controls are what the caller itself asks of one call, in its request headers, or whoever
// sends it in its place.
type Controls struct {
	Timeout    time.Duration // shortens the call's timeout; zero: as configured
	NoRetry    bool          // one attempt only
	Connection *string       // the credential that the caller chooses, by its name; nil: the upstream's own
	Idempotent bool          // the caller vouches that this request may be sent twice
	NoKey      bool          // it gets no idempotency key on its way: a letter has its own, or none, for all of its sends
	FirstUse   bool          // nobody has used its idempotency key before: a 409 to its first attempt is not about the key
	Priority   Priority      // before which other calls it goes, where it has to wait
	// Caller says whose call it is: callers who wait take turns. It is asked only
	// when the call has to wait, or calls of its upstream have just failed, and may
	// take its time. nil: nobody's.
	Caller func() string
}

// WithControls attaches the caller's wishes to the context of its call, or notes them in
// the Call that it has. What concerns the line is noted there alone: without one, it is a
// normal one of nobody.
func WithControls(ctx context.Context, c Controls) context.Context {
	if call := CallFrom(ctx); call != nil {
		call.priority, call.caller, call.timeout = c.Priority, c.Caller, c.Timeout
	} else if c.Timeout > 0 {
		ctx = context.WithValue(ctx, timeoutKey{}, c.Timeout)
	}
	if !c.NoRetry && !c.Idempotent && !c.NoKey && !c.FirstUse { // mostly
		return ctx
	}
	return retry.WithControls(ctx, retry.Controls{Off: c.NoRetry, Idempotent: c.Idempotent, NoKey: c.NoKey, FirstUse: c.FirstUse})
}

// requester says whose call it is.
func requester(ctx context.Context) string {
	if call := CallFrom(ctx); call != nil && call.caller != nil {
		return call.caller()
	}
	return ""
}

// customer says for whom a call is, where one upstream has several connections.
func customer(ctx context.Context) string {
	if call := CallFrom(ctx); call != nil {
		return call.Connection
	}
	return ""
}

// claim is what a call that has to wait claims.
func claim(ctx context.Context) limit.Claim {
	c := limit.Claim{Now: hedge.Second(ctx)}
	call := CallFrom(ctx)
	if call == nil {
		return c
	}
	c.Priority = call.priority
	if call.caller != nil {
		c.Caller = call.caller()
	}
	return c
}
