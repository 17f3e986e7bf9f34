package pace

import (
	"math"
	"time"
)

// window allows calls that cost count together from the first of them until per later.
// What is left when a call costs more than that is not spent.
//
// The provider's window begins when the first call arrives, and so it ends up to guard
// later than that call is sent and per after it. What is sent in that time may count to
// this window or may open the next, and so it is counted to both.
type window struct {
	count int
	per   time.Duration
	guard time.Duration
	way   way
	spent int
	sent  int       // what has passed in it, also beyond a count that has become smaller
	begun time.Time // when it began, at the latest; zero: none has
	heard bool      // a call of it has been answered
	open  time.Time // from when on calls may count to the next window
	end   time.Time // from when on they do
	late  struct {  // the calls between
		spent       int
		first, last time.Time
	}
}

// newWindow drops the fraction of a count above 1; one below is one call in each
// Per/Count.
func newWindow(r Rate, old Shape, now time.Time) *window {
	w := &window{count: int(min(r.Count, math.MaxInt32)), per: r.Per, guard: r.Guard}
	if r.Count < 1 {
		w.count, w.per = 1, nanoseconds(float64(r.Per)/r.Count)
	}
	w.spent = passed(old, w.count, w.per, now)
	if old, ok := old.(*window); ok && old.per == w.per && now.Before(old.end) {
		w.spent, w.sent = max(w.spent, min(old.sent, w.count)), old.sent
		w.way, w.begun, w.heard, w.open, w.end, w.late = old.way, old.begun, old.heard, old.open, old.end, old.late
		return w
	}
	if w.sent = w.spent; w.spent > 0 {
		w.begin(now, now)
	}
	return w
}

// begin sets when the provider's window began, at the earliest and at the latest.
func (w *window) begin(earliest, latest time.Time) {
	w.begun, w.heard = latest, false
	w.open, w.end = earliest.Add(w.per), latest.Add(w.per+w.guard)
}

// answered notes the first answer to a call of the window. By then the provider's had
// begun, and maybe not before: a burst opens many connections, which takes its time. One
// that takes longer than that tells of the provider's work.
func (w *window) answered(now, sent time.Time) (later bool) {
	if w.guard == 0 {
		return false
	}
	late := w.way.late(now, now.Sub(sent), w.per)
	if w.heard || w.begun.IsZero() || sent.Before(w.begun) {
		return false
	}
	w.heard = true
	end := sent.Add(late + w.per)
	if later = late <= guards(longestWay, w.guard) && end.After(w.end); later {
		w.end = end
	}
	return later
}

func (w *window) Ready(now time.Time, cost int) bool {
	return w.at(now).spent+w.needed(cost) <= w.count
}

// at is the window at a time, in which a call would count, as it is until one is sent.
func (w *window) at(now time.Time) window {
	next := *w
	if now.Before(w.end) {
		return next
	}
	next.late.spent = 0
	if late := &w.late; late.spent > 0 && now.Before(late.last.Add(w.per+w.guard)) {
		next.spent, next.sent = min(late.spent, w.count), late.spent
		next.begin(late.first, late.last)
		return next
	}
	next.spent, next.sent = 0, 0
	next.begin(now, now)
	return next
}

func (w *window) Spend(now time.Time, cost int) {
	next := w.at(now)
	if !now.Before(w.end) { // It may begin with this one.
		next.begin(next.open.Add(-w.per), now)
	}
	*w = next
	w.spent += w.needed(cost)
	w.sent += w.needed(cost)
	if now.Before(w.open) {
		return
	}
	if w.late.spent == 0 {
		w.late.first = now
	}
	w.late.spent += w.needed(cost)
	w.late.last = now
}

// needed is what a call spends: no more than a whole window. The configuration
// allows no higher cost, but the count may have become smaller since.
func (w *window) needed(cost int) int { return min(cost, w.count) }

func (w *window) Unspend(_, spent time.Time, cost int) {
	if w.spent == 0 || spent.Before(w.begun) {
		return // of a window that has ended
	}
	if !spent.Before(w.open) {
		w.late.spent = max(w.late.spent-w.needed(cost), 0)
	}
	w.sent = max(w.sent-w.needed(cost), 0)
	if w.spent = max(w.spent-w.needed(cost), 0); w.spent == 0 {
		w.begun, w.open, w.end = time.Time{}, time.Time{}, time.Time{} // The call that would have started it was not sent.
	}
}

// Turn reckons as if those ahead could be split between windows: where costs
// differ, it may come a window later.
func (w *window) Turn(from time.Time, ahead, cost int) time.Time {
	next := *w
	cost = w.needed(cost)
	for range 2 { // What counts to two windows is spent of the second before it begins.
		left := w.count - next.at(from).spent
		if ahead+cost <= left {
			return from
		}
		if fit := min(ahead, left); fit > 0 {
			next.Spend(from, fit)
			ahead -= fit
		}
		from = next.at(from).end
	}
	windows := ahead / w.count
	if ahead%w.count+cost > w.count {
		windows++
	}
	return from.Add(nanoseconds(float64(windows) * float64(w.per+w.guard)))
}

func (w *window) Left(now time.Time) float64 { return float64(w.count - w.at(now).spent) }

func (w *window) Room() float64 { return float64(w.count) }
