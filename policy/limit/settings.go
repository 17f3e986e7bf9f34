package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"outrider/policy/quota"
)

// Settings say what a quota allows. The zero value allows everything and
// learns nothing.
type Settings struct {
	// Count calls that cost one may be sent per Per. Count 0: no rate.
	Count float64
	Per   time.Duration

	// Burst is how many calls may be sent at once after a quiet time, if not
	// Window. 0: what Count and Per allow in 200 ms, at least 1. (A burst of
	// less than what a timer is late by cannot reach its rate.)
	Burst int

	// Concurrency is how many calls may be on their way at once; a call is on
	// its way until its response body is closed. 0: any number.
	Concurrency int

	// MaxWait is how long a call may wait for its turn. 0: no call waits. With each
	// third of it that a call has waited, it moves up a class.
	MaxWait time.Duration

	// MaxQueue is how many calls may wait. 0: none. When there are more, the one
	// that would go last is refused, whenever it came.
	MaxQueue int

	// Window says that Count calls may be sent at once, from the first of them
	// until Per later, and then Count again: how most providers count. A Count
	// below 1 is one call in each Per/Count; other fractions are dropped.
	// False: the calls are spread evenly, but for Burst.
	Window bool

	// Learn says that a 429 or 503 that carries a Retry-After closes the gate
	// of the quota until then, and so does an answer that says that nothing of
	// the quota is left, until that comes back: see package quota.
	Learn bool

	// Dialect is how the provider tells of its quotas. Nil: it is told by its look.
	Dialect *quota.Dialect

	// Answer, if not nil, says what an answer means where its status does not.
	Answer func(req *http.Request, resp *http.Response) Answer

	// Jitter gives a random duration in [0, max). A gate opens up to a tenth of
	// its hint later, but not more than 250 ms. It may be called with a lock
	// held. Nil: no jitter.
	Jitter func(max time.Duration) time.Duration

	// Claim, if not nil, gives the claim of a call that has to wait, with its
	// context. It is asked once, by the first of the call's quotas that makes it
	// wait, and may take its time. Nil: all are of normal priority and one caller.
	Claim func(ctx context.Context) Claim

	// OnQueue, if not nil, is told of each call that begins to wait, with the time
	// of its turn as far as that can be told (see Group.Estimate). It must not block.
	OnQueue func(ctx context.Context, key string, turn time.Time)

	// OnWait, if not nil, is told of each wait when it has ended. reason is
	// what the call waited for ("rate", "concurrency" or "gate") if it had its
	// turn, and else why it had not: the reason of the RefusedError, or
	// "canceled".
	OnWait func(ctx context.Context, key string, waited time.Duration, reason string)

	// OnGate, if not nil, is told of each gate that was closed, or moved to a
	// later time, with the context of the call whose answer closed it.
	OnGate func(ctx context.Context, key string, until time.Time)
}

// claim is that of a call that has to wait.
func (g *Group) claim(ctx context.Context) Claim {
	if g.settings.Claim == nil {
		return Claim{}
	}
	c := g.settings.Claim(ctx)
	c.Priority = min(max(c.Priority, Low), High)
	return c
}

// check reports everything that is wrong with s.
func (s *Settings) check() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(!(s.Count >= 0) || math.IsInf(s.Count, 1), "Count = %v: must be 0 or a positive number", s.Count)
	wrong(s.Count > 0 && s.Per <= 0, "Per = %v: must be positive", s.Per)
	wrong(s.Count > 0 && s.Count/s.Per.Seconds() > 1e9, "Count = %v per %v: more than one in a nanosecond is no limit", s.Count, s.Per)
	wrong(s.Burst < 0, "Burst = %d: must not be negative", s.Burst)
	wrong(s.Concurrency < 0, "Concurrency = %d: must not be negative", s.Concurrency)
	wrong(s.MaxWait < 0, "MaxWait = %v: must not be negative", s.MaxWait)
	wrong(s.MaxQueue < 0, "MaxQueue = %d: must not be negative", s.MaxQueue)
	return errors.Join(errs...)
}

// spread is how much later than hint a gate opens, so that everyone whom the
// provider gave the same hint does not come back in the same instant.
func (s *Settings) spread(hint time.Duration) time.Duration {
	most := min(hint/10, 250*time.Millisecond)
	if s.Jitter == nil || most <= 0 {
		return 0
	}
	return max(s.Jitter(most), 0)
}
