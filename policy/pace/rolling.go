package pace

import (
	"slices"
	"sort"
	"time"
)

// rolling allows count in any span of time: it remembers what was spent.
type rolling struct {
	count int
	span  time.Duration
	guard time.Duration // how much of span is for the way of calls
	way   way
	debt  time.Duration // see bounded
	log   []entry       // the oldest first; those before gone have left the span
	gone  int
	left  int64 // what had been spent before log[gone]
	total int64 // what has been spent in all
}

// An entry is calls that were sent within a grain of each other, or arrived so late as if
// they had been. They leave the span with the last of them.
type entry struct {
	first, last time.Time
	upTo        int64 // what had been spent with them, of rolling.total
}

// grains is how many entries a span has at most, but for one: so a call is remembered
// for a thousandth longer than it has to be.
const grains = 1024

func newRolling(count int, span time.Duration, old Shape, now time.Time) *rolling {
	r := &rolling{count: max(count, 1), span: span}
	switch old := old.(type) {
	case *rolling:
		r.log, r.gone, r.left, r.total, r.way = old.log, old.gone, old.left, old.total, old.way
	case *even:
		return newRolling(count, span, old.span, now)
	case *smooth:
		r.spendEvenly(now, passed(old, count, span, now))
	default:
		if spent := passed(old, count, span, now); spent > 0 {
			r.Spend(now, spent)
		}
	}
	return r
}

func (r *rolling) Ready(now time.Time, cost int) bool { return r.spent(now)+r.needed(cost) <= r.count }

func (r *rolling) Spend(now time.Time, cost int) {
	r.forget(now)
	r.total += int64(r.needed(cost))
	n := len(r.log)
	if n > r.gone && now.Before(r.log[n-1].last) {
		now = r.log[n-1].last // The clock has been corrected.
	}
	if n > r.gone && now.Sub(r.log[n-1].first) < r.span/grains {
		r.log[n-1].last, r.log[n-1].upTo = now, r.total
		return
	}
	r.log = append(r.log, entry{now, now, r.total})
}

// spendEvenly takes units to have been spent one by one in the span before now, so that
// they come back one by one.
func (r *rolling) spendEvenly(now time.Time, units int) {
	steps := min(units, grains)
	for i := 1; i <= steps; i++ {
		share := units*i/steps - units*(i-1)/steps
		r.Spend(now.Add(nanoseconds(float64(r.span)*float64(i)/float64(steps))-r.span), share)
	}
}

// needed is what a call spends: no more than there is in a span.
func (r *rolling) needed(cost int) int { return min(cost, r.count) }

func (r *rolling) Unspend(_, spent time.Time, cost int) {
	i, ok := r.find(spent)
	if !ok {
		return // it has left already
	}
	before := r.before(i)
	back := min(int64(r.needed(cost)), r.log[i].upTo-before)
	for j := i; j < len(r.log); j++ {
		r.log[j].upTo -= back
	}
	r.total -= back
	if r.log[i].upTo == before {
		r.log = append(r.log[:i], r.log[i+1:]...)
	}
}

// find is the entry of what was spent at a time; false if it has left.
func (r *rolling) find(spent time.Time) (i int, ok bool) {
	i = r.notBefore(spent)
	return i, i < len(r.log) && !r.log[i].first.After(spent)
}

// notBefore is the first entry that does not end before a time.
func (r *rolling) notBefore(at time.Time) int {
	return r.gone + sort.Search(len(r.log)-r.gone, func(i int) bool { return !r.log[r.gone+i].last.Before(at) })
}

// before is what had been spent before an entry.
func (r *rolling) before(i int) int64 {
	if i == r.gone {
		return r.left
	}
	return r.log[i-1].upTo
}

// answered has a call that may have arrived later than guard allows for leave the span
// as if it had been sent later.
func (r *rolling) answered(now, sent time.Time, cost int) (later bool) {
	if r.guard == 0 {
		return false
	}
	late := min(r.way.late(now, now.Sub(sent), r.span), guards(longestWay, r.guard))
	if r.way.known() {
		late = r.bounded(late, r.needed(cost))
	}
	if late <= r.guard {
		return false
	}
	r.move(sent, sent.Add(late-r.guard), cost)
	return true
}

// bounded is how much of its lateness is waited for: in the mean of all that is spent what
// is usual, and in advance that of a span, or of one call that is as late as can be.
func (r *rolling) bounded(late time.Duration, cost int) time.Duration {
	usual, longest := guards(usuallyLate, r.guard), guards(longestWay, r.guard)
	r.debt = max(r.debt-times(cost, usual), 0)
	late = min(late, (max(times(r.count, usual), times(cost, longest))-r.debt)/time.Duration(cost))
	if late > r.guard {
		r.debt += times(cost, late)
	}
	return late
}

// times is the time that so many take together.
func times(n int, each time.Duration) time.Duration { return nanoseconds(float64(n) * float64(each)) }

// move has what was spent at a time count as spent later.
func (r *rolling) move(from, to time.Time, cost int) {
	i, ok := r.find(from)
	if !ok {
		return
	}
	if entry := &r.log[i]; to.Sub(entry.first) < r.span/grains {
		if to.After(entry.last) {
			entry.last = to
		}
		return
	}
	moved := min(int64(r.needed(cost)), r.log[i].upTo-r.before(i))
	next := r.notBefore(to)
	for j := i; j < next; j++ {
		r.log[j].upTo -= moved
	}
	switch previous := &r.log[next-1]; {
	case next < len(r.log) && !r.log[next].first.After(to): // It is in there now.
	case to.Sub(previous.first) < r.span/grains:
		previous.last, previous.upTo = to, previous.upTo+moved
	default:
		r.log = slices.Insert(r.log, next, entry{to, to, previous.upTo + moved})
	}
}

// forget drops what has left the span, so that what is kept never outweighs what counts
// by more than as much.
func (r *rolling) forget(now time.Time) {
	for r.gone < len(r.log) && r.left < r.leftAt(now) {
		r.left = r.log[r.gone].upTo
		r.gone++
	}
	if r.gone > len(r.log)/2 {
		r.log, r.gone = append(r.log[:0], r.log[r.gone:]...), 0
	}
}

// forgive takes units to have left the span, the oldest first.
func (r *rolling) forgive(now time.Time, units int) {
	r.forget(now)
	r.left = min(r.left+int64(units), r.total)
	for r.gone < len(r.log) && r.log[r.gone].upTo <= r.left {
		r.gone++
	}
}

// leftAt is how much of what was ever spent has left the span at now.
func (r *rolling) leftAt(now time.Time) int64 {
	kept := r.log[r.gone:]
	if len(kept) == 0 || kept[0].last.Add(r.span).After(now) { // as mostly, since it is asked often
		return r.left
	}
	i := sort.Search(len(kept), func(i int) bool { return kept[i].last.Add(r.span).After(now) })
	return kept[i-1].upTo
}

// spent is what counts at now.
func (r *rolling) spent(now time.Time) int { return int(r.total - r.leftAt(now)) }

// Turn reckons as if the costs of those ahead could be split.
func (r *rolling) Turn(from time.Time, ahead, cost int) time.Time {
	return r.turn(r.count, from, ahead, r.needed(cost))
}

// turn is Turn for a part of the count, of which cost is not more. As much has to leave as is
// missing: first what has been spent, and then, a span after it could go, what is ahead.
func (r *rolling) turn(count int, from time.Time, ahead, cost int) time.Time {
	gone := r.leftAt(from)
	spent := int(r.total - gone)
	missing := ahead + cost - (count - spent)
	if missing <= 0 {
		return from
	}
	spans := (max(missing-spent, 0) + count - 1) / count
	turn := from
	if missing -= spans * count; missing > 0 {
		turn = r.leaves(gone + int64(missing))
	}
	return turn.Add(nanoseconds(float64(spans) * float64(r.span)))
}

// leaves is when so much of what was ever spent has left.
func (r *rolling) leaves(units int64) time.Time {
	kept := r.log[r.gone:]
	i := sort.Search(len(kept), func(i int) bool { return kept[i].upTo >= units })
	return kept[i].last.Add(r.span)
}

func (r *rolling) Left(now time.Time) float64 { return float64(r.count - r.spent(now)) }

func (r *rolling) Room() float64 { return float64(r.count) }
