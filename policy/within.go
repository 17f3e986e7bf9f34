package policy

import (
	"context"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/moment"
)

// A bounded call is one within its time: its context, and all that goes with it and with
// its first attempt, which most often is the only one, so that they are one allocation.
type bounded struct {
	scope
	time     clock
	limit    time.Duration
	begun    atomic.Bool // its time has
	used     atomic.Bool // by a request
	answered atomic.Bool // or it has ended without an answer
	asked    bool        // by its caller: else the limit is the configured one
	body     closingBody

	moments moment.Moments // of its attempts
	first   try            // the first of them, and what the stages have to remember of that
	auth    auth.Room
	circuit breaker.Room
}

// boundedKey finds the call that an attempt is part of.
type boundedKey struct{}

// Within gives a context for the request of the call that ctx belongs to, for one way through
// a plan, with which it ends. A plan makes one itself, and a copy of the request with it, for
// a request that comes without, or comes again.
func Within(ctx context.Context) context.Context { return newBounded(ctx) }

func newBounded(ctx context.Context) *bounded {
	b := &bounded{scope: scope{Context: ctx, call: CallFrom(ctx)}}
	b.clock, b.time.call = &b.time, b
	b.first.Context, b.first.call, b.first.clock, b.first.moments = b, b.call, b.clock, &b.moments
	return b
}

// Inner is the context of the first attempt: see auth.Outer.
func (b *bounded) Inner() context.Context { return &b.first }

// Value gives what is known of the call, and else what its context has.
func (b *bounded) Value(key any) any {
	switch key.(type) {
	case callKey:
		return b.call
	case moment.Key:
		return &b.moments
	case boundedKey:
		return b
	case tryKey:
		return nil
	case auth.RoomKey:
		return &b.auth
	case breaker.RoomKey:
		return &b.circuit
	}
	return b.scope.Value(key)
}
