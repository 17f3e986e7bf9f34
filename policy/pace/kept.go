package pace

import (
	"time"
)

// Kept is the state of a limit that outlives the process, so that a restart does not
// believe in a fresh day. It is encoded as JSON, in less than 4 KiB. Nothing in it moves
// by itself: as long as nobody spends, and no answer tells anything, it is the same.
type Kept struct {
	At      time.Time   `json:"at,omitzero"`       // of a bucket: the last change
	Until   time.Time   `json:"until,omitzero"`    // when it says nothing any more
	Left    *float64    `json:"left,omitempty"`    // of a bucket, at At
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

// KeptQuota is what was known of a provider's quota.
type KeptQuota struct {
	Refill  string        `json:"refill"` // "window", "bucket" or "rolling"
	Limit   float64       `json:"limit,omitempty"`
	Window  time.Duration `json:"window,omitempty"`
	Left    float64       `json:"left"`
	Reset   time.Time     `json:"reset,omitzero"`
	Speed   float64       `json:"speed,omitempty"`
	Trusted bool          `json:"trusted,omitempty"`
	Weight  float64       `json:"weight,omitempty"`
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
		left := s.Left(s.changed)
		missing := s.Room() - left
		k.At, k.Left = s.changed, &left
		k.Until = k.At.Add(nanoseconds(missing / float64(s.lim.Limit()) * float64(time.Second)))
	case *window:
		k.Spent, k.End, k.Until = s.spent, s.end, s.end
	case *rolling:
		k.Log, k.Until = s.keep()
	case *even:
		k.Log, k.Until = s.span.keep()
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore spends of s what had been spent of it. Where calls have been sent since, it
// comes on top of them: nobody has more room by it, now or later.
func (k Kept) Restore(s Shape, now time.Time) {
	switch s := s.(type) {
	case *smooth:
		if k.Left != nil {
			left := *k.Left + float64(s.lim.Limit())*max(now.Sub(k.At), 0).Seconds()
			s.restore(s.Room()-left, now)
		}
	case *window:
		if now.Before(k.End) && k.End.Sub(now) <= s.per+s.guard {
			s.restore(k.Spent, k.End, now)
		}
	case *rolling:
		s.restore(k.Log, now)
	case *even:
		s.span.restore(k.Log, now)
	}
}

// keptEntries bounds the log of a span.
const keptEntries = 64

// restore takes so many out of the bucket. A Limiter takes whole ones alone, and so it
// takes them a little earlier, by the time in which what is too many comes back.
func (b *smooth) restore(missing float64, now time.Time) {
	whole := count(missing)
	earlier := now.Add(-nanoseconds((float64(whole) - missing) / float64(b.lim.Limit()) * float64(time.Second)))
	if whole > 0 && !earlier.Before(b.changed) {
		now = earlier
	}
	b.spend(now, whole)
}

// restore goes back to a window that had begun before. What has been sent since was taken
// for the begin of the next one, and so it counts to both.
func (w *window) restore(spent int, end, now time.Time) {
	if *w = w.at(now); w.spent > 0 {
		w.late.spent, w.late.first, w.late.last = w.spent, w.open.Add(-w.per), now
	}
	w.sent = max(spent, 0) + w.spent
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

// restore puts what was spent before what has been spent since.
func (r *rolling) restore(log []KeptSpent, now time.Time) {
	since := r.log[r.gone:]
	restored := rolling{count: r.count, span: r.span, guard: r.guard, way: r.way}
	for _, e := range log {
		at := time.UnixMilli(e.At)
		if at.After(now) { // The clock has been set back since.
			at = now
		}
		if at.Add(r.span).After(now) && e.Cost > 0 {
			restored.total += min(e.Cost, int64(r.count))
			restored.log = append(restored.log, entry{at, at, restored.total})
		}
	}
	for _, e := range since {
		restored.log = append(restored.log, entry{e.first, e.last, restored.total + e.upTo - r.left})
	}
	restored.total += r.total - r.left
	*r = restored
}

// Keep is the state of l at now; false if nothing of it is worth keeping.
func (l *Learned) Keep(now time.Time) (Kept, bool) {
	if !l.Known(now) {
		return Kept{}, false
	}
	facts := l.refill.about(now)
	q := &KeptQuota{Refill: facts.Shape, Limit: facts.Limit, Window: facts.Window, Weight: l.scale.weight}
	k := Kept{Learned: q}
	// What is on its way has been counted by the time when somebody reads this.
	flying := l.units(l.flying)
	switch r := l.refill.(type) {
	case *whole:
		if r.at(now).probing {
			return Kept{}, false
		}
		k.Until = facts.Reset
		q.Left, q.Reset, q.Trusted = r.left(now, flying), facts.Reset, r.trusted
	case *gradual:
		k.At, k.Until = r.told, r.about(r.told).Reset
		q.Left, q.Speed = r.left(r.told, flying), r.rate()
	case *rolls:
		k.Log, k.Until = r.own.keep()
		if r.until.After(k.Until) {
			k.Until = r.until
		}
		q.Left, q.Reset = min(r.most, r.least+flying), r.until // that of others
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore takes over what was known, if nothing has been told yet.
func (l *Learned) Restore(k Kept, now time.Time) {
	now = now.Round(0)
	q := k.Learned
	if l.refill != nil || q == nil || !k.Until.After(now) {
		return
	}
	switch {
	case q.Refill == "window":
		l.refill = &whole{limit: q.Limit, window: q.Window, said: q.Left, reset: q.Reset, trusted: q.Trusted}
	case q.Refill == "bucket":
		told := k.At
		if told.After(now) { // The clock has been set back since.
			told = now
		}
		l.refill = &gradual{limit: q.Limit, level: q.Left, told: told, speed: q.Speed}
	case q.Refill == "rolling" && q.Limit > 0 && q.Window > 0:
		r := newRolls(q.Limit, q.Window, now)
		r.own.restore(k.Log, now)
		r.most, r.least, r.until = max(q.Left, 0), max(q.Left, 0), q.Reset
		l.refill = r
	default:
		return
	}
	if q.Weight > 0 {
		l.scale.weight, l.scale.taken = q.Weight, q.Weight
	}
	l.until = k.Until.Add(time.Minute)
	l.heard, l.sent = now, now // A restart is no reason to ask.
	if l.flying > 0 {
		l.refill.spend(now, l.units(l.flying))
	}
}
