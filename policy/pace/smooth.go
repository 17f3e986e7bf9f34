package pace

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// smooth is a token bucket.
//
// The provider's is full until a call arrives, and what would come back before that is lost
// there. So the first call to a full bucket stops the clock of ours until one is answered,
// and not for longer than longestHold.
type smooth struct {
	lim     *rate.Limiter
	limit   rate.Limit // of lim, in calls a second, and its burst, for which it would have to be locked
	size    int
	changed time.Time // the last time, but for what time itself brings back
	guard   time.Duration
	looked  time.Time // at which there were least tokens, but for what was taken since
	least   float64
	first   time.Time     // when the call was sent that stopped the clock; zero: it runs
	lag     time.Duration // for how long it has stood
	dipped  time.Time     // by that clock, when tokens were taken last: it was not full then; zero: that is not known
}

func newSmooth(r Rate, old Shape, left float64, now time.Time) *smooth {
	limit := rate.Limit(r.Count / r.Per.Seconds())
	burst := r.burst()

	if old, ok := old.(*smooth); ok {
		// SetBurstAt keeps tokens beyond the burst, but every look at them is
		// cut to the burst: min(old tokens, new burst).
		at := old.clock(now)
		old.lim.SetLimitAt(at, limit)
		old.lim.SetBurstAt(at, burst)
		old.limit, old.size, old.changed, old.guard, old.dipped, old.least = limit, burst, now, r.Guard, time.Time{}, 0
		return old
	}
	lim := rate.NewLimiter(limit, burst)
	if spent := float64(burst) - left; spent > 0 {
		lim.AllowN(now, min(int(math.Ceil(spent)), burst))
	}
	return &smooth{lim: lim, limit: limit, size: burst, changed: now, guard: r.Guard}
}

// burst is Burst, or what there is of it if nothing is said. (A Limiter with burst 0 never
// allows anything.) Of a fast bucket so much is left as comes back during Guard: the
// provider's begins to empty when a call arrives, and the first, which opens a connection,
// takes longer than those that follow.
func (r Rate) burst() int {
	perSecond := r.Count / r.Per.Seconds()
	burst := r.Burst
	if burst == 0 {
		burst = max(int(min(perSecond*0.2, math.MaxInt32)), 1)
	}
	if r.Kind != Smooth {
		return burst
	}
	guard := min(r.Guard, maxBucketGuard)
	return max(burst-int(min(math.Round(perSecond*guard.Seconds()), math.MaxInt32)), burst-burst/10)
}

// maxBucketGuard is how much longer than others a call may be on its way to a bucket.
const maxBucketGuard = 20 * time.Millisecond

// Ready is true a nanosecond early where a float is short by its last bit: a Limiter
// cuts the missing time to whole ones, too.
func (b *smooth) Ready(now time.Time, cost int) bool {
	needed := float64(b.needed(cost))
	if b.least >= needed && !now.Before(b.looked) { // as mostly: time has only brought back more
		return true
	}
	b.looked, b.least = now, b.Left(now)
	missing := needed - b.least
	return missing <= 0 || missing/float64(b.limit)*float64(time.Second) < 1
}

func (b *smooth) Spend(now time.Time, cost int) {
	at := b.clock(now)
	if b.first.IsZero() && b.fullAt(at.Add(-b.guard)) { // It is full, and not just now.
		b.first = now // which stops the clock at this very time
	}
	b.spend(now, at, cost)
}

// fullAt reports whether it was full at a time of its clock.
func (b *smooth) fullAt(at time.Time) bool {
	return !at.Before(b.dipped) && b.lim.TokensAt(at) >= b.Room()
}

// answered has the clock run again with the first answer.
func (b *smooth) answered(now, sent time.Time) (sooner bool) {
	if b.first.IsZero() || sent.Before(b.first) {
		return false
	}
	stood := b.stood(now)
	b.lag, b.first = b.lag+stood, time.Time{}
	return stood < guards(longestHold, b.guard)
}

// clock is the time that the Limiter is told.
func (b *smooth) clock(now time.Time) time.Time {
	return now.Add(-b.lag - b.stood(now))
}

// stood is for how long the clock has stood since it was last stopped; 0: it runs.
func (b *smooth) stood(now time.Time) time.Duration {
	if b.first.IsZero() {
		return 0
	}
	return min(max(now.Sub(b.first), 0), guards(longestHold, b.guard))
}

// needed is what has to be in the bucket for a call. One that costs more than
// the bucket holds goes when it is full, and the next pay the rest.
func (b *smooth) needed(cost int) int { return min(cost, b.size) }

// spend takes tokens at a time of its clock, be they there or not; less than none
// puts them back. It never reserves ahead: a Reservation that is cancelled 1 ns
// late returns nothing, and after a later one too little.
func (b *smooth) spend(now, at time.Time, tokens int) {
	if tokens > b.size {
		b.overdraw(at, tokens)
	} else {
		b.lim.ReserveN(at, tokens)
	}
	b.changed = now
	if tokens <= 0 {
		b.dipped = time.Time{}
		return
	}
	b.dipped = at
	b.least -= float64(tokens)
}

// overdraw takes more tokens than the bucket holds. A Limiter lets nobody reserve more
// than its burst, and so has a larger one for this moment.
func (b *smooth) overdraw(at time.Time, tokens int) {
	b.lim.SetBurstAt(at, tokens)
	b.lim.ReserveN(at, tokens)
	b.lim.SetBurstAt(at, b.size)
}

// Unspend does without Reservation.CancelAt, which sets the clock of the
// Limiter back to its argument, so that the time since then counts twice. What
// is more than the bucket holds is cut off when it is looked at.
func (b *smooth) Unspend(now, spent time.Time, cost int) {
	b.spend(now, b.clock(now), -cost)
	if spent.Equal(b.first) {
		b.first = time.Time{} // It was not sent, and nobody waits for its answer.
	}
}

func (b *smooth) Turn(from time.Time, ahead, cost int) time.Time {
	missing := float64(ahead+b.needed(cost)) - b.Left(from)
	if missing <= 0 {
		return from
	}
	if !b.first.IsZero() { // As far as is known, the clock stands as long as it may.
		from = from.Add(guards(longestHold, b.guard) - b.stood(from))
	}
	return from.Add(nanoseconds(missing / float64(b.limit) * float64(time.Second)))
}

func (b *smooth) Left(now time.Time) float64 { return b.lim.TokensAt(b.clock(now)) }

func (b *smooth) Room() float64 { return float64(b.size) }
