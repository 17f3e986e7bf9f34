package pace

import (
	"time"

	"outrider/policy/quota"
)

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
		g := gradual{limit: r.limit, level: r.left(r.told, flying), told: r.told, speed: r.rate()}
		k.At, k.Until = r.told, g.about(r.told).Reset
		q.Left, q.Speed = g.level, g.speed
	case *rolls:
		k.Log, k.Until = r.own.keep()
		k.Until = later(k.Until, r.until)
		q.Left, q.Reset = min(r.most, r.least+flying), r.until // that of others
	}
	return k, k.Until.Sub(now) >= Long
}

// Restore takes over what was known, if nothing has been told yet. It holds for as long as it
// says itself, and for no longer than a window can last: a state that no answers can have told
// may name no time at which anything comes back, and then who waits for it waits for nothing.
func (l *Learned) Restore(k Kept, now time.Time) {
	now = now.Round(0)
	if l.refill != nil || k.Learned == nil || !k.Learned.sound() {
		return
	}
	r, until := k.refill(now)
	if !until.After(now) || until.Sub(now) > quota.MaxWindow {
		return
	}
	l.refill = r
	if weight := k.Learned.Weight; weight > 0 {
		l.scale.weight, l.scale.taken = weight, weight
	}
	l.until = until.Add(time.Minute)
	l.heard, l.sent = now, now // A restart is no reason to ask.
	if l.flying > 0 {
		l.refill.spend(now, l.units(l.flying))
	}
}

// sound reports whether the numbers are such as answers tell: see quota.View. The window of a
// bucket follows from the others.
func (q *KeptQuota) sound() bool {
	count := func(n float64) bool { return n >= 0 && n <= quota.MaxCount }
	window := q.Refill == "bucket" || q.Window >= 0 && q.Window <= quota.MaxWindow
	return count(q.Limit) && count(q.Weight) && window
}

// refill is what comes back as the state says, and until when it says anything; never, if it
// says nothing.
func (k *Kept) refill(now time.Time) (r refill, until time.Time) {
	q := k.Learned
	switch {
	case q.Refill == "window":
		return &whole{limit: q.Limit, window: q.Window, said: q.Left, reset: q.Reset, trusted: q.Trusted}, q.Reset
	case q.Refill == "bucket" && q.Limit > 0:
		told := k.At
		if told.After(now) { // The clock has been set back since.
			told = now
		}
		g := &gradual{limit: q.Limit, level: q.Left, told: told, speed: q.Speed}
		return g, g.about(told).Reset
	case q.Refill == "rolling" && q.Limit > 0 && q.Window > 0:
		r := newRolls(q.Limit, q.Window, now)
		r.own.restore(k.Log, now)
		r.most, r.least, r.until = max(q.Left, 0), max(q.Left, 0), q.Reset
		_, until := r.own.keep()
		return r, later(until, r.until)
	}
	return nil, time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
