package pace

import (
	"math"
	"time"
)

// A Shape says when the next call may be sent, as far as one limit goes.
type Shape interface {
	// Ready reports whether a call of that cost may be sent at now.
	Ready(now time.Time, cost int) bool
	// Spend notes that it is, after Ready at the same time.
	Spend(now time.Time, cost int)
	// Unspend gives back at now the cost of a call that was spent and then not sent.
	Unspend(now, spent time.Time, cost int)
	// Turn is the earliest time, not before from, of a call of that cost which comes
	// after others that cost ahead together, all sent as soon as they may.
	Turn(from time.Time, ahead, cost int) time.Time
	// Left is what may be spent at now, Room how much at most. Less than nothing is
	// left when a call has cost more than there was.
	Left(now time.Time) float64
	Room() float64
}

// A Kind is how a configured limit is used.
type Kind uint8

// The kinds.
const (
	Smooth Kind = iota // evenly, but for Burst: a token bucket
	Window             // Count from the first call until Per later, and then Count again
	Even               // evenly, but for Burst, and never more than Count in any span of Per
)

// A Rate is a configured limit. The zero Rate is none.
type Rate struct {
	// Count calls that cost one may be sent per Per. Count 0: no limit.
	Count float64
	Per   time.Duration

	// Burst is how many calls may be sent at once after a quiet time, if Kind is not
	// Window. 0: what Count and Per allow in 200 ms, at least 1, and for Even at least a
	// tenth of Count. (A burst of less than what a timer is late by cannot reach its rate.)
	Burst int

	// Kind is how it is used.
	Kind Kind

	// Guard is for how much longer than Per a call counts at least: one may take longer on
	// its way to the provider, which counts it when it arrives, than one that is sent a
	// window later. Where answers show that it may have (see Answered), it counts for up to
	// ten times as long. 0: however late it is, it counts from when it was sent. Of a
	// bucket (Smooth) what comes back in that time is not spent, but for 20 ms at most, and
	// never more than a tenth of Burst.
	Guard time.Duration
}

// New returns the shape of r as it is after old: what old let pass counts. After nil it
// has room for all.
func (r Rate) New(old Shape, now time.Time) Shape {
	left := math.Inf(1)
	if old != nil {
		left = old.Left(now)
	}
	switch {
	case r.Count == 0:
		return None{}
	case r.Kind == Window:
		return newWindow(r, old, now)
	case r.Kind == Even:
		return newEven(r, old, left, now)
	default:
		return newSmooth(r, old, left, now)
	}
}

// Answered has a configured limit learn by when a call of that cost had arrived at the
// latest that was sent at sent: it has been answered at now. sooner and later report whether
// turns may come earlier or later by that than was told.
func Answered(s Shape, now, sent time.Time, cost int) (sooner, later bool) {
	switch s := s.(type) {
	case *window:
		return false, s.answered(now, sent)
	case *even:
		return false, s.span.answered(now, sent, cost)
	case *smooth:
		return s.answered(now, sent), false
	}
	return false, false
}

// whole is the limit as a whole number of calls in a time: 2.5 a second are 3 in 1.2 s.
func (r Rate) whole() (count int, per time.Duration) {
	n := math.Ceil(min(r.Count, math.MaxInt32))
	return int(n), nanoseconds(float64(r.Per)*n/r.Count) + r.Guard
}

// None is the shape of a quota that has no limit.
type None struct{}

// Ready is always true.
func (None) Ready(time.Time, int) bool { return true }

// Spend does nothing.
func (None) Spend(time.Time, int) {}

// Unspend does nothing.
func (None) Unspend(_, _ time.Time, _ int) {}

// Turn is from.
func (None) Turn(from time.Time, _, _ int) time.Time { return from }

// Left is infinite.
func (None) Left(time.Time) float64 { return math.Inf(1) }

// Room is infinite.
func (None) Room() float64 { return math.Inf(1) }

// nanoseconds rounds ns to whole ones, and cuts it to a century, which is as
// good as never and does not overflow. (A Limiter cuts off the fraction; then
// a float that is short of 100 ms by its last bit is 1 ns early.)
func nanoseconds(ns float64) time.Duration {
	return time.Duration(math.Round(min(ns, float64(100*365*24*time.Hour))))
}
