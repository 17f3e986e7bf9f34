package pace

import (
	"math"
	"slices"
	"time"
)

// Kept is the state of a limit that outlives the process, so that a restart does not
// believe in a fresh day. It is encoded as JSON, in less than 4 KiB. Nothing in it moves
// by itself: as long as nobody spends, and no answer tells anything, it is the same.
type Kept struct {
	At      time.Time   `json:"at,omitzero"`       // of a bucket, or a span's: the last change
	Until   time.Time   `json:"until,omitzero"`    // when it says nothing any more
	Left    *float64    `json:"left,omitempty"`    // of a bucket, at At
	Burst   *float64    `json:"burst,omitempty"`   // of a span's bucket: what may be sent at once, at At
	Log     []KeptSpent `json:"log,omitempty"`     // of a span, the oldest first
	Spent   int         `json:"spent,omitempty"`   // of a window
	End     time.Time   `json:"end,omitzero"`      // of that window
	Learned *KeptQuota  `json:"learned,omitempty"` // of what answers told
}

// KeptSpent is calls that count until they are a span old.
type KeptSpent struct {
	At   int64 `json:"t"` // in milliseconds since 1970, rounded up
	Cost int64 `json:"n"`
}

// Used is how much is spent of a window that has a fixed end, in its units; 0: it has
// none, or what it holds is unknown.
func (k *Kept) Used() int64 {
	if q := k.Learned; q != nil {
		if q.Refill != "window" || q.Limit == 0 {
			return 0
		}
		return int64(count(q.Limit - q.Left))
	}
	return int64(k.Spent)
}

// Long is the shortest time to come back for which a state is worth keeping.
const Long = time.Minute

// Keep is the state of s at now; false if nothing of it is worth keeping.
func Keep(s Shape, now time.Time) (Kept, bool) {
	k := Kept{}
	switch s := s.(type) {
	case *smooth:
		left, until := s.keep()
		k.At, k.Left, k.Until = s.changed, &left, until
	case *window:
		k.Spent, k.End, k.Until = s.spent, s.end, s.end
	case *rolling:
		k.Log, k.Until = s.keep()
	case *even:
		k.Log, k.Until = s.span.keep()
		left, until := s.bucket.keep()
		k.At, k.Burst, k.Until = s.bucket.changed, &left, later(k.Until, until)
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore spends of s what had been spent of it. Where calls have been sent since, it
// comes on top of them: nobody has more room by it, now or later.
func (k Kept) Restore(s Shape, now time.Time) {
	switch s := s.(type) {
	case *smooth:
		if k.Left != nil {
			s.restore(*k.Left, k.At, now)
		}
	case *window:
		if now.Before(k.End) && k.End.Sub(now) <= s.per+s.guard {
			s.restore(k.Spent, k.End, now)
		}
	case *rolling:
		s.restore(k.Log, now)
	case *even:
		s.span.restore(k.Log, now)
		if k.Burst != nil { // else it is of a version that kept the span alone
			s.bucket.restore(*k.Burst, k.At, now)
		}
	}
}

// keptEntries bounds the log of a span.
const keptEntries = 64

// keep is what was left at the last change, and when the bucket is full again.
func (b *smooth) keep() (left float64, until time.Time) {
	left = b.Left(b.changed)
	missing := b.Room() - left
	return left, b.changed.Add(nanoseconds(missing / float64(b.limit) * float64(time.Second)))
}

// restore takes out of the bucket what was missing in one of which so much was left at a
// time, and has not come back since. A Limiter takes whole ones alone, and so it takes them
// a little earlier, by the time in which what is too many comes back: else each restart
// would cost a part of a call, and who restarts often would send none.
func (b *smooth) restore(left float64, at, now time.Time) {
	left += float64(b.limit) * max(now.Sub(at), 0).Seconds()
	missing := b.Room() - max(left, -b.Room()) // No bucket owes more than it holds.
	whole := count(missing)
	earlier := now.Add(-nanoseconds((float64(whole) - missing) / float64(b.limit) * float64(time.Second)))
	if whole > 0 && (!earlier.Before(b.changed) || b.Left(b.changed) >= b.Room()) { // It was full then, too.
		now = earlier
	}
	b.spend(now, b.clock(now), whole)
}

// restore goes back to a window that had begun before. What has been sent since was taken
// for the begin of the next one, and so it counts to both.
func (w *window) restore(spent int, end, now time.Time) {
	if *w = w.at(now); w.spent > 0 {
		w.late.spent, w.late.first, w.late.last = w.spent, w.open.Add(-w.per), now
	}
	w.sent = min(max(spent, 0), math.MaxInt32) + w.spent
	w.spent = min(w.sent, w.count)
	w.begun, w.heard = end.Add(-w.per-w.guard), true // How late it began is in its end.
	w.open, w.end = end.Add(-w.guard), end
}

// keep is the log in few entries, each as late as the last of its calls.
func (r *rolling) keep() (log []KeptSpent, until time.Time) {
	before := r.left
	entries := r.log[r.gone:]
	each := (len(entries) + keptEntries - 1) / keptEntries
	for i := each - 1; each > 0; i += each {
		e := entries[min(i, len(entries)-1)]
		log = append(log, KeptSpent{At: e.last.Add(time.Millisecond - 1).UnixMilli(), Cost: e.upTo - before})
		before, until = e.upTo, e.last.Add(r.span)
		if i >= len(entries)-1 {
			break
		}
	}
	return log, until
}

// restore adds what was spent to what has been spent since. Both come into order: a clock
// that is set back makes of the old the latest, and in a log that is out of order a turn is
// told for a time at which nothing leaves.
func (r *rolling) restore(log []KeptSpent, now time.Time) {
	restored := rolling{count: r.count, span: r.span, guard: r.guard, way: r.way}
	for _, e := range log {
		at := time.UnixMilli(e.At)
		if at.After(now) { // The clock has been set back since.
			at = now
		}
		if at.Add(r.span).After(now) && e.Cost > 0 {
			restored.log = append(restored.log, entry{at, at, min(e.Cost, int64(r.count))})
		}
	}
	for i := r.gone; i < len(r.log); i++ {
		e := r.log[i]
		restored.log = append(restored.log, entry{e.first, e.last, e.upTo - r.before(i)})
	}
	slices.SortStableFunc(restored.log, func(a, b entry) int { return a.last.Compare(b.last) })
	for i := range restored.log { // Up to here each entry has what was spent in it alone.
		restored.total += restored.log[i].upTo
		restored.log[i].upTo = restored.total
	}
	*r = restored
}
