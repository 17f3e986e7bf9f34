package limit

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A shape says when the next call may be sent, as far as the rate goes. Its
// dispatcher guards it.
type shape interface {
	// take spends one call at now, if it may be sent.
	take(now time.Time) bool
	// giveBack returns a call that was taken at that time and not sent.
	giveBack(taken time.Time)
	// turn is the earliest time, not before from, of the call that comes after
	// ahead others, all sent as soon as they may.
	turn(from time.Time, ahead int) time.Time
	// left is how many calls may be sent at now, room how many at most.
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

func (unlimited) take(time.Time) bool                  { return true }
func (unlimited) giveBack(time.Time)                   {}
func (unlimited) turn(from time.Time, _ int) time.Time { return from }
func (unlimited) left(time.Time) float64               { return math.Inf(1) }
func (unlimited) room() float64                        { return math.Inf(1) }

// smooth is a token bucket.
type smooth struct {
	lim      *rate.Limiter
	returned int // tokens taken from lim and given back; part of what is left
}

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

// take never reserves: a Reservation that is cancelled 1 ns late returns
// nothing, and after a later one too little.
func (b *smooth) take(now time.Time) bool {
	if b.returned > 0 {
		// What was given back counts as if it had stayed in the bucket, which
		// may have filled up since.
		b.returned = min(b.returned, int(b.room()-b.lim.TokensAt(now)))
	}
	if b.returned > 0 {
		b.returned--
		return true
	}
	// AllowN cuts the missing time to whole nanoseconds, so it allows what is
	// due within the next one. The rest stays as a debt; nothing is gained.
	return b.lim.AllowN(now, 1)
}

// giveBack does without Reservation.CancelAt, which sets the clock of the
// Limiter back to its argument, so that the time since then counts twice.
func (b *smooth) giveBack(time.Time) { b.returned++ }

func (b *smooth) turn(from time.Time, ahead int) time.Time {
	missing := float64(ahead+1) - b.left(from)
	if missing <= 0 {
		return from
	}
	return from.Add(nanoseconds(missing / float64(b.lim.Limit()) * float64(time.Second)))
}

func (b *smooth) left(now time.Time) float64 {
	return min(b.lim.TokensAt(now)+float64(b.returned), b.room())
}

func (b *smooth) room() float64 { return float64(b.lim.Burst()) }

// window allows count calls from the first of them until per later.
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

func (w *window) take(now time.Time) bool {
	if !now.Before(w.end) {
		w.end, w.spent = now.Add(w.per), 0
	}
	if w.spent >= w.count {
		return false
	}
	w.spent++
	return true
}

func (w *window) giveBack(taken time.Time) {
	if w.spent == 0 || taken.Before(w.end.Add(-w.per)) {
		return // of a window that has ended
	}
	if w.spent--; w.spent == 0 {
		w.end = time.Time{} // The call that would have started it was not sent.
	}
}

func (w *window) turn(from time.Time, ahead int) time.Time {
	left, end := w.count-w.spent, w.end
	if !from.Before(end) {
		left, end = w.count, from.Add(w.per)
	}
	if ahead < left {
		return from
	}
	return end.Add(nanoseconds(float64((ahead-left)/w.count) * float64(w.per)))
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
