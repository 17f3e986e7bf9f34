package limit

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A shape says when the next call may be sent, as far as the rate goes. Its
// dispatcher guards it.
type shape interface {
	// ready reports whether a call of that cost may be sent at now.
	ready(now time.Time, cost int) bool
	// spend spends the cost of a call that is sent at now.
	spend(now time.Time, cost int)
	// unspend returns at now the cost of a call that was spent at spentAt and not sent.
	unspend(now, spentAt time.Time, cost int)
	// turn is the earliest time, not before from, of a call of that cost which
	// comes after others that cost ahead together, all sent as soon as they may.
	turn(from time.Time, ahead, cost int) time.Time
	// left is what may be spent at now, room how much at most. Less than nothing
	// is left when a call has cost more than there was.
	left(now time.Time) float64
	room() float64
}

// newShape returns the shape that s describes, as it is after old: it has no
// more calls left than old has. With no old one it has room for all.
func newShape(s *Settings, old shape, now time.Time) shape {
	left := math.Inf(1)
	if old != nil {
		left = old.left(now)
	}
	switch {
	case s.Count == 0:
		return unlimited{}
	case s.Window:
		return newWindow(s, old, left, now)
	default:
		return newSmooth(s, old, left, now)
	}
}

// unlimited is the shape of a quota without a rate.
type unlimited struct{}

func (unlimited) ready(time.Time, int) bool               { return true }
func (unlimited) spend(time.Time, int)                    {}
func (unlimited) unspend(_, _ time.Time, _ int)           {}
func (unlimited) turn(from time.Time, _, _ int) time.Time { return from }
func (unlimited) left(time.Time) float64                  { return math.Inf(1) }
func (unlimited) room() float64                           { return math.Inf(1) }

// smooth is a token bucket.
type smooth struct{ lim *rate.Limiter }

func newSmooth(s *Settings, old shape, left float64, now time.Time) *smooth {
	limit := rate.Limit(s.Count / s.Per.Seconds())
	burst := s.Burst
	if burst == 0 {
		burst = int(min(float64(limit)*0.2, math.MaxInt32))
	}
	burst = max(burst, 1) // A Limiter with burst 0 never allows anything.

	if old, ok := old.(*smooth); ok {
		// SetBurstAt keeps tokens beyond the burst, but every look at them is
		// cut to the burst: min(old tokens, new burst).
		old.lim.SetLimitAt(now, limit)
		old.lim.SetBurstAt(now, burst)
		return old
	}
	lim := rate.NewLimiter(limit, burst)
	if spent := float64(burst) - left; spent > 0 {
		lim.AllowN(now, min(int(math.Ceil(spent)), burst))
	}
	return &smooth{lim: lim}
}

// ready allows, as AllowN does, what is due within the next nanosecond. The rest stays
// as a debt; nothing is gained.
func (b *smooth) ready(now time.Time, cost int) bool {
	missing := float64(b.needed(cost)) - b.left(now)
	return missing <= 0 || missing/float64(b.lim.Limit())*float64(time.Second) < 1
}

// spend never reserves: a Reservation that is cancelled 1 ns late returns
// nothing, and after a later one too little.
func (b *smooth) spend(now time.Time, cost int) {
	if needed := b.needed(cost); b.lim.AllowN(now, needed) {
		cost -= needed
	}
	if cost > 0 {
		b.owe(now, cost)
	}
}

// needed is what has to be in the bucket for a call. One that costs more than
// the bucket holds goes when it is full, and the next pay the rest.
func (b *smooth) needed(cost int) int { return min(cost, b.lim.Burst()) }

// owe takes tokens, be they there or not; less than none puts them back. A
// Limiter lets nobody reserve more than its burst, and so has a larger one for
// this moment.
func (b *smooth) owe(now time.Time, tokens int) {
	burst := b.lim.Burst()
	b.lim.SetBurstAt(now, max(burst, tokens))
	b.lim.ReserveN(now, tokens)
	b.lim.SetBurstAt(now, burst)
}

// unspend does without Reservation.CancelAt, which sets the clock of the
// Limiter back to its argument, so that the time since then counts twice. What
// is more than the bucket holds is cut off when it is looked at.
func (b *smooth) unspend(now, _ time.Time, cost int) { b.owe(now, -cost) }

func (b *smooth) turn(from time.Time, ahead, cost int) time.Time {
	missing := float64(ahead+b.needed(cost)) - b.left(from)
	if missing <= 0 {
		return from
	}
	return from.Add(nanoseconds(missing / float64(b.lim.Limit()) * float64(time.Second)))
}

func (b *smooth) left(now time.Time) float64 {
	return b.lim.TokensAt(now)
}

func (b *smooth) room() float64 { return float64(b.lim.Burst()) }

// window allows calls that cost count together from the first of them until per
// later. What is left when a call costs more than that is not spent.
type window struct {
	count int
	per   time.Duration
	spent int
	end   time.Time // of the window that spent is of; zero: none has started
}

func newWindow(s *Settings, old shape, left float64, now time.Time) *window {
	w := &window{count: int(min(s.Count, math.MaxInt32)), per: s.Per}
	if s.Count < 1 {
		w.count, w.per = 1, nanoseconds(float64(s.Per)/s.Count)
	}
	w.spent = w.count - int(min(max(left, 0), float64(w.count)))
	if w.spent == 0 {
		return w
	}
	w.end = now.Add(w.per)
	if old, ok := old.(*window); ok && old.per == w.per && now.Before(old.end) {
		w.end = old.end
	}
	return w
}

func (w *window) ready(now time.Time, cost int) bool {
	return !now.Before(w.end) || w.spent+w.needed(cost) <= w.count
}

func (w *window) spend(now time.Time, cost int) {
	if !now.Before(w.end) {
		w.end, w.spent = now.Add(w.per), 0
	}
	w.spent += w.needed(cost)
}

// needed is what a call spends: no more than a whole window. The configuration
// allows no higher cost, but the count may have become smaller since.
func (w *window) needed(cost int) int { return min(cost, w.count) }

func (w *window) unspend(_, spentAt time.Time, cost int) {
	if w.spent == 0 || spentAt.Before(w.end.Add(-w.per)) {
		return // of a window that has ended
	}
	if w.spent = max(w.spent-w.needed(cost), 0); w.spent == 0 {
		w.end = time.Time{} // The call that would have started it was not sent.
	}
}

// turn reckons as if those ahead could be split between windows: where costs
// differ, it may come a window later.
func (w *window) turn(from time.Time, ahead, cost int) time.Time {
	left, end := w.count-w.spent, w.end
	if !from.Before(end) {
		left, end = w.count, from.Add(w.per)
	}
	cost = w.needed(cost)
	if ahead+cost <= left {
		return from
	}
	over := max(ahead-left, 0)
	windows := over / w.count
	if over%w.count+cost > w.count {
		windows++
	}
	return end.Add(nanoseconds(float64(windows) * float64(w.per)))
}

func (w *window) left(now time.Time) float64 {
	if !now.Before(w.end) {
		return float64(w.count)
	}
	return float64(w.count - w.spent)
}

func (w *window) room() float64 { return float64(w.count) }

// nanoseconds rounds ns to whole ones, and cuts it to a century, which is as
// good as never and does not overflow. (A Limiter cuts off the fraction; then
// a float that is short of 100 ms by its last bit is 1 ns early.)
func nanoseconds(ns float64) time.Duration {
	return time.Duration(math.Round(min(ns, float64(100*365*24*time.Hour))))
}
