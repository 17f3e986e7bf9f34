package simulator

import (
	"math/bits"
	"time"
)

// A terms is what the URL says a quota allows.
type terms struct {
	kind  string // "window", "sliding", "bucket", "concurrency"
	limit int
	per   time.Duration
	burst int // of the bucket
}

// A verdict is what a limiter says about one arrival.
type verdict struct {
	admitted  bool
	limit     int           // calls that fit into window
	window    time.Duration // zero: the limit is of calls at once
	remaining int
	reset     time.Duration // until the quota is whole again, if nothing comes
	wait      time.Duration // of a refused arrival, until one could be admitted
}

// A limiter counts one quota. Its owner's lock guards it; now never goes back.
type limiter interface {
	take(now time.Time) verdict
	leave() // the call that take admitted is over
}

func newLimiter(t terms) limiter {
	switch t.kind {
	case "window":
		return &fixedWindow{terms: t}
	case "sliding":
		return &slidingWindow{terms: t}
	case "bucket":
		return &tokenBucket{terms: t}
	case "concurrency":
		return &concurrency{terms: t}
	}
	return nil
}

// A fixedWindow opens with the first call and forgets everything when it ends.
type fixedWindow struct {
	terms
	ends time.Time
	used int
}

func (f *fixedWindow) take(now time.Time) verdict {
	if !now.Before(f.ends) {
		f.ends, f.used = now.Add(f.per), 0
	}
	v := verdict{limit: f.limit, window: f.per, reset: f.ends.Sub(now)}
	if f.used < f.limit {
		f.used++
		v.admitted = true
	} else {
		v.wait = v.reset
	}
	v.remaining = f.limit - f.used
	return v
}

func (f *fixedWindow) leave() {}

// A slidingWindow admits limit calls in any span of per: it remembers them all.
type slidingWindow struct {
	terms
	calls []time.Time // oldest first
	gone  int         // how many of them have left the window
}

func (s *slidingWindow) take(now time.Time) verdict {
	for s.gone < len(s.calls) && !s.calls[s.gone].Add(s.per).After(now) {
		s.gone++
	}
	if s.gone > len(s.calls)/2 { // so that what is forgotten never outweighs what counts
		s.calls, s.gone = append(s.calls[:0], s.calls[s.gone:]...), 0
	}
	v := verdict{limit: s.limit, window: s.per}
	if len(s.calls)-s.gone < s.limit {
		s.calls = append(s.calls, now)
		v.admitted = true
	} else {
		v.wait = s.calls[s.gone].Add(s.per).Sub(now)
	}
	v.remaining = s.limit - (len(s.calls) - s.gone)
	v.reset = s.calls[len(s.calls)-1].Add(s.per).Sub(now)
	return v
}

func (s *slidingWindow) leave() {}

// A tokenBucket is the generic cell rate algorithm (ITU-T I.371, the virtual
// scheduling form): due is when the bucket is full again, and a call is
// admitted if it would move due by no more than the whole bucket's worth.
type tokenBucket struct {
	terms
	due time.Time
}

func (b *tokenBucket) take(now time.Time) verdict {
	each := b.per / time.Duration(b.limit)
	whole := scale(b.per, b.burst, b.limit)
	if b.due.Before(now) {
		b.due = now
	}
	v := verdict{limit: b.burst, window: whole}
	if next := b.due.Add(each); next.Sub(now) <= whole {
		b.due = next
		v.admitted = true
	} else {
		v.wait = next.Sub(now) - whole
	}
	v.reset = b.due.Sub(now)
	v.remaining = min(int((whole-v.reset)/each), b.burst)
	return v
}

func (b *tokenBucket) leave() {}

// A concurrency limit knows nothing of time: a refused call is asked to come
// back after per, which is a guess, as it is with real providers.
type concurrency struct {
	terms
	inside int
}

func (c *concurrency) take(time.Time) verdict {
	v := verdict{limit: c.limit}
	if c.inside < c.limit {
		c.inside++
		v.admitted = true
	} else {
		v.wait = c.per
	}
	v.remaining = c.limit - c.inside
	return v
}

func (c *concurrency) leave() { c.inside-- }

// scale is d × n ÷ by without overflow on the way.
func scale(d time.Duration, n, by int) time.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(n))
	if hi >= uint64(by) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(by))
	if q > 1<<63-1 {
		return 1<<63 - 1
	}
	return time.Duration(q)
}
