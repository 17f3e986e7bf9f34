package pace

import "time"

// even is a bucket that never sends more than so many in any span of time.
type even struct {
	bucket *smooth
	span   *rolling
	loose  bool
}

// A tenth of the count may be sent at once, if nothing else is said: what is large in a
// long time, such as the calls of a day, is not meant to be sent one by one.
const evenBurst = 0.1

func newEven(r Rate, old Shape, left float64, now time.Time) *even {
	count, per := r.whole()
	if r.Burst == 0 {
		r.Burst = max(r.burst(), int(evenBurst*float64(count)))
	}
	e := &even{span: newRolling(count, per, old, now)}
	e.span.guard, r.Guard = r.Guard, 0 // The span is enough.
	switch old := old.(type) {
	case *even:
		e.bucket, e.loose = newSmooth(r, old.bucket, left, now), old.loose
	default:
		e.bucket = newSmooth(r, old, left, now)
	}
	return e
}

// Loosen says whether calls need not be spread, since the provider counts by windows.
// It only has an effect on a limit of Kind Even.
func Loosen(s Shape, loose bool) {
	if e, ok := s.(*even); ok {
		e.loose = loose
	}
}

func (e *even) Ready(now time.Time, cost int) bool {
	return e.span.Ready(now, cost) && (e.loose || e.bucket.Ready(now, cost))
}

func (e *even) Spend(now time.Time, cost int) {
	e.span.Spend(now, cost)
	if !e.loose {
		e.bucket.Spend(now, cost)
	}
}

func (e *even) Unspend(now, spent time.Time, cost int) {
	e.span.Unspend(now, spent, cost)
	if !e.loose {
		e.bucket.Unspend(now, spent, cost)
	}
}

// Turn follows the bucket within a span, and takes the spans from then on to be like
// the first: the bucket, which is full when a span begins, has lost what did not fit.
func (e *even) Turn(from time.Time, ahead, cost int) time.Time {
	turn := e.span.Turn(from, ahead, cost)
	if e.loose {
		return turn
	}
	cost = e.span.needed(cost)
	spans := max(ahead+cost-1, 0) / e.span.count
	ahead = max(ahead-spans*e.span.count, 0)
	paced := e.bucket.Turn(from, ahead, cost).Add(nanoseconds(float64(spans) * float64(e.span.span)))
	if paced.After(turn) {
		return paced
	}
	return turn
}

func (e *even) Left(now time.Time) float64 {
	if e.loose {
		return e.span.Left(now)
	}
	return min(e.span.Left(now), e.bucket.Left(now))
}

func (e *even) Room() float64 {
	if e.loose {
		return e.span.Room()
	}
	return min(e.span.Room(), e.bucket.Room())
}
