package pace

import (
	"time"
)

// Kept is the state of a limit that outlives the process, so that a restart does not
// believe in a fresh day. It is encoded as JSON, in less than 4 KiB.
type Kept struct {
	At      time.Time   `json:"at"`
	Until   time.Time   `json:"until"`             // when it says nothing any more
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

// Long is the shortest time to come back for which a state is worth keeping.
const Long = time.Minute

// Keep is the state of s at now; false if nothing of it is worth keeping.
func Keep(s Shape, now time.Time) (Kept, bool) {
	k := Kept{At: now}
	switch s := s.(type) {
	case *smooth:
		missing := s.Room() - s.Left(now)
		k.Until = now.Add(nanoseconds(missing / float64(s.lim.Limit()) * float64(time.Second)))
		left := s.Left(now)
		k.Left = &left
	case *window:
		k.Spent, k.End, k.Until = s.spent, s.end, s.end
	case *rolling:
		k.Log, k.Until = s.keep(now)
	case *even:
		k.Log, k.Until = s.span.keep(now)
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore spends of s, which is new, what had been spent of it.
func (k Kept) Restore(s Shape, now time.Time) {
	switch s := s.(type) {
	case *smooth:
		if k.Left != nil {
			left := *k.Left + float64(s.lim.Limit())*now.Sub(k.At).Seconds()
			s.spend(now, count(s.Left(now)-left))
		}
	case *window:
		if now.Before(k.End) && k.End.Sub(now) <= s.per+s.guard {
			s.spent, s.end = min(max(k.Spent, s.spent), s.count), k.End
			s.open = k.End.Add(-s.guard)
		}
	case *rolling:
		s.restore(k.Log, now)
	case *even:
		s.span.restore(k.Log, now)
	}
}

// keptEntries bounds the log of a span.
const keptEntries = 64

// keep is the log in few entries, each as late as the last of its calls.
func (r *rolling) keep(now time.Time) (log []KeptSpent, until time.Time) {
	r.forget(now)
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
	restored := rolling{count: r.count, span: r.span}
	for _, e := range log {
		// One from the future was kept by a clock that has been set back since.
		if at := time.UnixMilli(e.At); at.Add(r.span).After(now) && !at.After(now) && e.Cost > 0 {
			restored.total += e.Cost
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
	k := Kept{At: now, Learned: &KeptQuota{
		Refill: facts.Shape, Limit: facts.Limit, Window: facts.Window, Reset: facts.Reset,
		// What is on its way has been counted by the time when somebody reads this.
		Left: l.refill.left(now, l.units(l.flying)), Weight: l.scale.weight,
	}}
	switch r := l.refill.(type) {
	case *whole:
		k.Until, k.Learned.Trusted = facts.Reset, r.trusted
		if r.at(now).probing {
			return Kept{}, false
		}
	case *gradual:
		k.Until, k.Learned.Speed = facts.Reset, r.rate()
	case *rolls:
		k.Log, k.Until = r.own.keep(now)
		if facts.Reset.After(k.Until) {
			k.Until = facts.Reset
		}
		k.Learned.Left = r.theirs(now, l.units(l.flying))
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore takes over what was known, if nothing has been told yet.
func (l *Learned) Restore(k Kept, now time.Time) {
	q := k.Learned
	if l.refill != nil || q == nil || !k.Until.After(now) {
		return
	}
	switch {
	case q.Refill == "window":
		l.refill = &whole{limit: q.Limit, window: q.Window, said: q.Left, reset: q.Reset, trusted: q.Trusted}
	case q.Refill == "bucket":
		l.refill = &gradual{limit: q.Limit, level: q.Left, told: k.At, speed: q.Speed}
	case q.Refill == "rolling" && q.Limit > 0 && q.Window > 0:
		r := newRolls(q.Limit, q.Window, now)
		r.own.restore(k.Log, now)
		r.most, r.least, r.until = max(q.Left, 0), max(q.Left, 0), q.Reset
		l.refill = r
	default:
		return
	}
	if q.Weight > 0 {
		l.scale.weight = q.Weight
	}
	l.until = k.Until.Add(time.Minute)
	if l.flying > 0 {
		l.refill.spend(now, l.units(l.flying))
	}
}
