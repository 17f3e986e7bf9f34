package quota

import (
	"math"
	"time"
)

// MaxReset is the furthest that a Reset lies ahead: 31 days, since there are
// quotas of a calendar month. A reset beyond it is a mistake of units, and is
// not cut but left out: nobody should wait for a month because of one. That is
// where it differs from hint.Max, which cuts what is a request to wait.
const MaxReset = 31 * 24 * time.Hour

// MaxWindow is the longest Window: a leap year.
const MaxWindow = 366 * 24 * time.Hour

// MaxCount is the greatest Count: of two numbers of 15 digits the sum.
const MaxCount = 2e15

// A View is what one response says of one quota. Each part may be unknown, but
// not all of them. Bucket and Partition together name the quota, among those of
// one host and credential.
type View struct {
	// Bucket is the provider's name for the quota, or the name of what it
	// counts ("requests", "daily"). A policy without a name is called after its
	// window, "w=60". Empty: the provider has one, or does not say which.
	// At most 64 visible ASCII characters.
	Bucket string

	// Partition is the key of the part that this response counts to, where a
	// provider divides a quota: a byte sequence of RateLimit in base64, or an
	// application's name. Empty: undivided. Bounded as Bucket.
	Partition string

	Unit      Unit
	Limit     Count // never 0: a limit of 0 is how some say that there is none
	Remaining Count // at most Limit, whatever was sent
	Used      Count // may be more than Limit: some providers let it pass

	// Window is in what time Limit may be used. 0: unknown; else at most
	// MaxWindow.
	Window time.Duration

	// Reset is when there is quota again, and Refill says how much. It is never
	// before the now that was given to Parse, and at most MaxReset after it.
	// Zero: unknown.
	Reset  time.Time
	Refill Refill

	// Restore is how much comes back in a second, of a Gradual refill; 0: not said. All of
	// Limit comes back in at most MaxReset.
	Restore float64

	// Asked is how much the call of this response had to find there, and Taken how much
	// it took of that in the end: at most Limit. Only GraphQL tells of it, see ParseThrottle.
	Asked, Taken Count
}

// A Unit is what a quota counts. Others than these come from the qu parameter
// of RateLimit-Policy, as they are. Empty: unknown.
type Unit string

// The units that have a meaning to us. The names of the IETF draft are the
// draft's.
const (
	Requests    Unit = "requests"
	Tokens      Unit = "tokens" // of a language model
	Points      Unit = "points" // by which a provider weighs calls
	Bytes       Unit = "content-bytes"
	Concurrency Unit = "concurrent-requests" // comes back when calls end, not with time
)

// A Count is a number that a response may have told: a whole one, but for
// providers that count in fractions. It is never negative, and at most MaxCount.
type Count struct {
	N     float64
	Known bool
}

// Known is a Count that was told.
func Known(n float64) Count { return Count{N: n, Known: true} }

// Refill says what there is at a Reset.
type Refill uint8

// The ways in which a quota comes back.
const (
	// Some quota is there at Reset, and none before; how much is not said.
	Some Refill = iota

	// Whole: all of Limit is there at Reset, and nothing before: a fixed window.
	Whole

	// Gradual: all of Limit is there at Reset, and it comes bit by bit before.
	// For a single call Reset is an upper bound.
	Gradual
)

// Spent reports whether nothing is left, by what the provider says. The quota of
// concurrent calls is never spent in this sense: no time brings it back.
func (v View) Spent() bool {
	return v.Remaining.Known && v.Remaining.N < 1 && v.Unit != Concurrency
}

// Short reports whether less is left than the call of the response had asked for: if it
// was refused, that is why.
func (v View) Short() bool {
	return v.Asked.Known && v.Remaining.Known && v.Remaining.N < v.Asked.N
}

// Back is when cost units are there again, for a View that was read at now:
// now, if there are as many already, and zero, if it is unknown. Of a Gradual
// refill it assumes that it is steady, as that of a token bucket. A cost beyond
// the limit is never there; Reset is said for it.
func (v View) Back(cost float64, now time.Time) time.Time {
	switch {
	case v.Remaining.Known && v.Remaining.N >= cost:
		return now
	case v.Refill != Gradual, !v.Limit.Known, !v.Remaining.Known, cost >= v.Limit.N, !v.Reset.After(now):
		return v.Reset
	}
	share := (cost - v.Remaining.N) / (v.Limit.N - v.Remaining.N)
	whole := v.Reset.Sub(now)
	return now.Add(min(whole, time.Duration(math.Ceil(share*float64(whole)))))
}

// settle makes the parts agree, and reports whether anything is known.
// What is missing follows from the two others; of two statements that disagree
// the one that lets fewer calls pass is believed.
func (v *View) settle() bool {
	if v.Limit.Known && v.Limit.N == 0 {
		return false // "no limit" at some, and then what remains says nothing either
	}
	if sum := v.Used.N + v.Remaining.N; !v.Limit.Known && v.Used.Known && v.Remaining.Known && sum > 0 {
		v.Limit = Known(sum)
	}
	if !v.Remaining.Known && v.Used.Known && v.Limit.Known {
		v.Remaining = Known(max(v.Limit.N-v.Used.N, 0))
	}
	if v.Remaining.Known && v.Limit.Known {
		v.Remaining.N = min(v.Remaining.N, v.Limit.N)
	}
	return v.Limit.Known || v.Remaining.Known || v.Used.Known || !v.Reset.IsZero()
}
