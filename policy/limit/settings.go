package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// Settings say what a quota allows. The zero value allows everything and
// learns nothing.
type Settings struct {
	// Count calls that cost one may be sent per Per. Count 0: no rate.
	Count float64
	Per   time.Duration

	// Burst is how many calls may be sent at once after a quiet time. 0: see pace.Rate.
	Burst int

	// Concurrency is how many calls may be on their way at once; a call is on
	// its way until its response body is closed. 0: any number.
	Concurrency int

	// MaxWait is how long a call may wait for its turn. 0: no call waits for this
	// quota, but it may for another. Of several quotas the least counts, if it is not
	// 0. With each third of it that a call has waited, it moves up a class.
	MaxWait time.Duration

	// MaxQueue is how many calls may wait. 0: none. When there are more, the one
	// that would go last is refused, whenever it came.
	MaxQueue int

	// Kind is how Count, Per and Burst are used, and Guard for how much longer than Per
	// a call counts: see pace.Rate.
	Kind  pace.Kind
	Guard time.Duration

	// Learn says that the provider is listened to. A 429 or 503 that carries a
	// Retry-After closes the gate of the quota until then. What answers say of quotas
	// (see package quota) is a limit of its own for each of them, its bucket, beside
	// that of the table; and where they say nothing, refusals slow the calls down (see
	// pace.Adaptive). Of several tables that a call passes and that learn, the last is
	// the one that has the buckets.
	Learn bool

	// Style is how what is left of a bucket is used.
	Style pace.Style

	// Dialect is how the provider tells of its quotas. Nil: it is told by its look.
	Dialect *quota.Dialect

	// Answer, if not nil, says what an answer means where its status does not.
	Answer func(req *http.Request, resp *http.Response) Answer

	// Jitter gives a random duration in [0, max). A gate opens up to a tenth of
	// its hint later, but not more than 250 ms. It may be called with a lock
	// held. Nil: no jitter.
	Jitter func(max time.Duration) time.Duration

	// Claim, if not nil, gives the claim of a call that has to wait, with its
	// context, if the table is the first of the call's that has one. It is asked
	// once, and may take its time. Nil: all are of normal priority and one caller.
	Claim func(ctx context.Context) Claim

	// OnQueue, if not nil, is told of each call that begins to wait, for this quota
	// more than for its others, with the time of its turn as far as that can be told
	// (see Quotas.Forecast). It must not block.
	OnQueue func(ctx context.Context, key string, turn time.Time)

	// OnWait, if not nil, is told of each wait when it has ended, where OnQueue was of
	// its beginning: what Claim took is a part of it. reason is what the call waited for
	// if it had its turn ("rate", "concurrency", "gate", or "quota": what is left of it, as
	// answers tell), and else why it had not: the reason of the RefusedError, or "canceled".
	OnWait func(ctx context.Context, key string, waited time.Duration, reason string)

	// OnGate, if not nil, is told of each gate that was closed, or moved to a
	// later time, with the context of the call whose answer closed it.
	OnGate func(ctx context.Context, key string, until time.Time)
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

// gently reports whether a gate opens step by step: where no rate slows down those who
// have waited behind it, or a window lets all of them go at once.
func (s *Settings) gently() bool { return s.Count == 0 || s.Kind == pace.Window }

// speed is the rate in calls a second; 0: there is none.
func (s *Settings) speed() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Count / s.Per.Seconds()
}

func (s *Settings) rate() pace.Rate {
	return pace.Rate{Count: s.Count, Per: s.Per, Burst: s.Burst, Kind: s.Kind, Guard: s.Guard}
}

// maxSpread is the most that a gate opens later than its hint.
const maxSpread = 250 * time.Millisecond

// spread is how much later than hint a gate opens, so that everyone whom the
// provider gave the same hint does not come back in the same instant.
func (s *Settings) spread(hint time.Duration) time.Duration {
	most := min(hint/10, maxSpread)
	if s.Jitter == nil || most <= 0 {
		return 0
	}
	return max(s.Jitter(most), 0)
}
