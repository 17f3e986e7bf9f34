package pace

import (
	"math"
	"time"

	"outrider/policy/quota"
)

// choose finds out how the quota comes back.
func (l *Learned) choose(now time.Time, v quota.View) {
	if w, ok := l.refill.(*whole); ok {
		switch {
		case w.moving(now, v):
			l.moves++
			w.moved = true
		case w.renewed(now, v):
			l.moves = 0
		}
	}
	spent := l.units(l.flying)
	switch r := l.refill.(type) {
	case nil:
		if l.refill = begin(now, v); l.refill == nil {
			return
		}
	case *whole:
		if l.moves+r.wrong < 3 || !v.Limit.Known {
			return
		}
		// The reset moves on with each call, or has been wrong: not all is back at once.
		spent += max(r.limit-r.hoped(now), 0)
		l.refill = newRolls(v.Limit.N, max(v.Window, v.Reset.Sub(now)), now)
	case *gradual:
		if r.refusals < 3 || r.limit == 0 || r.longest <= 0 {
			return
		}
		// What should have come back had not.
		spent = r.limit
		l.refill = newRolls(r.limit, r.longest, now)
	default:
		return
	}
	l.refill.spend(now, spent)
}

// another reports whether v is of another quota than those before, which has the same
// name: some providers have one for each model, or plan. What is known of one says
// nothing of the other.
func (l *Learned) another(now time.Time, v quota.View) bool {
	limit := l.refill.about(now).Limit
	return v.Limit.Known && limit > 0 && math.Abs(v.Limit.N-limit) >= 1
}

// begin is how a quota comes back, by what its first answer says.
func begin(now time.Time, v quota.View) refill {
	ahead := v.Reset.After(now)
	switch {
	case v.Unit == quota.Concurrency:
		return nil // time brings nothing back
	case v.Limit.Known && v.Window > 0 && v.Refill != quota.Whole:
		return newRolls(v.Limit.N, v.Window, now)
	case !v.Remaining.Known:
		return nil
	case v.Refill == quota.Gradual, v.Reset.IsZero() && v.Window == 0:
		return &gradual{}
	case !ahead && !(v.Reset.IsZero() && v.Limit.Known && v.Window > 0):
		return nil // It does not say when something comes back.
	}
	return &whole{}
}
