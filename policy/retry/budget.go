package retry

import (
	"math"
	"sync"
	"time"
)

// The bucket counts in millionths of a retry: in floating point ten tenths are
// less than one.
const (
	oneRetry   = 1_000_000
	bucketSize = 50 * oneRetry

	idleAfter  = time.Second           // a bucket without calls for this long is idle …
	idlePeriod = 2 * time.Second       // … and then earns a retry every so often
	idleUnit   = idlePeriod / oneRetry // the time in which it earns a millionth
)

// A Budget bounds what share of the calls to a host are retried, so that an
// outage is not answered with a multiple of the load. It is a bucket of at
// most 50 retries, which it starts with. Every first attempt that was not
// refused by ourselves adds ratio of a retry; every retry takes one, at the
// moment it is decided, and is refused where there is less than one. A call that
// is a retry of its caller's adds nothing, and takes one where there is one.
//
// So that a host with few calls keeps its retries, a bucket at which no first
// attempt has come back for one second is idle, and earns half a retry per
// second from then until the next one does. A host with a call or more every
// second earns nothing that way.
//
// A ratio of zero or less refuses every retry.
//
// A nil Budget allows every retry. All methods may be used concurrently.
type Budget struct {
	deposit int64   // per first attempt, in millionths
	bucket  *bucket // shared with the budgets that this one was built from
}

type bucket struct {
	made time.Time

	mu    sync.Mutex
	level int64         // millionths of a retry, at most bucketSize
	idle  time.Duration // from here on, counted since made, it is idle, and its earnings are not yet in level
}

// NewBudget returns a budget that allows ratio retries per call. The level of
// prev, if not nil, is not copied but shared: calls that still use prev spend
// from the same bucket, and a reload never refills it.
func NewBudget(ratio float64, prev *Budget) *Budget {
	if !(ratio > 0) { // not a number counts as zero
		ratio = 0
	}
	b := &Budget{deposit: int64(math.Round(min(ratio, 50) * oneRetry))}
	switch {
	case prev == nil:
		b.bucket = &bucket{made: time.Now(), level: bucketSize}
	case prev.deposit == b.deposit:
		return prev
	default:
		b.bucket = prev.bucket
	}
	return b
}

// Level is the number of retries that could be made now, with its fraction.
func (b *Budget) Level() float64 {
	if b == nil {
		return math.Inf(1)
	}
	if b.deposit == 0 {
		return 0
	}
	b.bucket.mu.Lock()
	defer b.bucket.mu.Unlock()
	b.bucket.earn(time.Since(b.bucket.made))
	return float64(b.bucket.level) / oneRetry
}

// called notes a first attempt that came back at a time. Each call comes here.
func (b *Budget) called(at time.Time) {
	if b == nil || b.deposit == 0 {
		return
	}
	since := at.Sub(b.bucket.made)
	b.bucket.mu.Lock()
	b.bucket.used(since)
	b.bucket.level = min(b.bucket.level+b.deposit, bucketSize)
	b.bucket.mu.Unlock()
}

// repeated notes a first attempt that is a retry of its caller's, and came back at a time.
func (b *Budget) repeated(at time.Time) {
	if b == nil || b.deposit == 0 {
		return
	}
	b.bucket.mu.Lock()
	defer b.bucket.mu.Unlock()
	b.bucket.used(at.Sub(b.bucket.made))
	if b.bucket.level >= oneRetry {
		b.bucket.level -= oneRetry
	}
}

// Spend takes one retry, or refuses it. Whatever is sent besides the first attempt of a
// call is paid for by it.
func (b *Budget) Spend() bool {
	if b == nil {
		return true
	}
	if b.deposit == 0 {
		return false
	}
	now := time.Since(b.bucket.made)
	b.bucket.mu.Lock()
	defer b.bucket.mu.Unlock()
	b.bucket.earn(now)
	if b.bucket.level < oneRetry {
		return false
	}
	b.bucket.level -= oneRetry
	return true
}

// Refund gives back what was spent on a request that was not sent after all.
func (b *Budget) Refund() {
	if b == nil || b.deposit == 0 {
		return
	}
	b.bucket.mu.Lock()
	defer b.bucket.mu.Unlock()
	b.bucket.level = min(b.bucket.level+oneRetry, bucketSize)
}

// used brings level up to date, and begins the second after which the bucket is idle.
// mu is held. The time may be a while ago, since stages may have waited after the answer
// came: what others have earned meanwhile is not earned again.
func (b *bucket) used(at time.Duration) {
	if at >= b.idle { // seldom
		b.earn(at)
	}
	b.idle = max(b.idle, at+idleAfter)
}

// earn brings level up to date. mu is held.
func (b *bucket) earn(now time.Duration) {
	if units := (now - b.idle) / idleUnit; units > 0 {
		b.level = min(b.level+int64(units), bucketSize)
		b.idle += units * idleUnit //nolint:durationcheck // a number of units
	}
}
