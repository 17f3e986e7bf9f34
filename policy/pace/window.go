package pace

import (
	"math"
	"time"
)

// window allows calls that cost count together from the first of them until per
// later. What is left when a call costs more than that is not spent.
type window struct {
	count int
	per   time.Duration
	spent int
	end   time.Time // of the window that spent is of; zero: none has started
}

// newWindow drops the fraction of a count above 1; one below is one call in each
// Per/Count.
func newWindow(r Rate, old Shape, left float64, now time.Time) *window {
	w := &window{count: int(min(r.Count, math.MaxInt32)), per: r.Per}
	if r.Count < 1 {
		w.count, w.per = 1, nanoseconds(float64(r.Per)/r.Count)
	}
	w.per += r.Guard
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

func (w *window) Ready(now time.Time, cost int) bool {
	return !now.Before(w.end) || w.spent+w.needed(cost) <= w.count
}

func (w *window) Spend(now time.Time, cost int) {
	if !now.Before(w.end) {
		w.end, w.spent = now.Add(w.per), 0
	}
	w.spent += w.needed(cost)
}

// needed is what a call spends: no more than a whole window. The configuration
// allows no higher cost, but the count may have become smaller since.
func (w *window) needed(cost int) int { return min(cost, w.count) }

func (w *window) Unspend(_, spent time.Time, cost int) {
	if w.spent == 0 || spent.Before(w.end.Add(-w.per)) {
		return // of a window that has ended
	}
	if w.spent = max(w.spent-w.needed(cost), 0); w.spent == 0 {
		w.end = time.Time{} // The call that would have started it was not sent.
	}
}

// Turn reckons as if those ahead could be split between windows: where costs
// differ, it may come a window later.
func (w *window) Turn(from time.Time, ahead, cost int) time.Time {
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

func (w *window) Left(now time.Time) float64 {
	if !now.Before(w.end) {
		return float64(w.count)
	}
	return float64(w.count - w.spent)
}

func (w *window) Room() float64 { return float64(w.count) }
