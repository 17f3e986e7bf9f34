package pace

import (
	"math"
	"time"

	"outrider/policy/quota"
)

// rolls is a quota of which each unit comes back a window after it was spent. Where in
// truth all comes back at once, or bit by bit, it allows no more than that.
type rolls struct {
	own *rolling // what we have sent
	// What others have sent, as far as the last answer tells, if it had counted none of
	// ours that were on their way, and if all of them; until that is back.
	most, least float64
	until       time.Time

	said  float64   // what was left, by the last answer
	mute  bool      // which did not say
	named time.Time // when something is back, as it said; zero: it did not
}

func newRolls(limit float64, window time.Duration, now time.Time) *rolls {
	return &rolls{own: newRolling(count(limit), window, nil, now)}
}

// count is a number of units as a whole one.
func count(units float64) int { return int(math.Ceil(min(max(units, 0), math.MaxInt32))) }

func (r *rolls) tell(now time.Time, v quota.View, flying float64) {
	// The time until all is back is that of a window when nothing is left.
	window := max(r.own.span, v.Reset.Sub(now))
	if v.Window > 0 {
		window = v.Window
	}
	if limit := count(v.Limit.N); v.Limit.Known && limit != r.own.count || window != r.own.span {
		if !v.Limit.Known {
			limit = r.own.count
		}
		r.own = newRolling(limit, window, r.own, now)
	}
	if r.mute = !v.Remaining.Known; r.mute {
		return
	}
	r.least = max(float64(r.own.count)-v.Remaining.N-float64(r.own.spent(now)), 0)
	r.most = max(float64(r.own.count)-v.Remaining.N-float64(r.own.spent(now))+flying, 0)
	r.until = now.Add(window)
	r.said, r.named = v.Remaining.N, time.Time{}
	if v.Reset.After(now) {
		r.until = v.Reset
		if v.Refill != quota.Gradual {
			r.named = v.Reset
		}
	}
}

// settle takes over what an answer says that has counted all that was sent: of what we
// remember no more counts than that. So a day that ends at midnight begins again then.
func (r *rolls) settle(now time.Time, v quota.View) {
	if !v.Remaining.Known {
		return
	}
	if over := r.own.spent(now) - count(float64(r.own.count)-v.Remaining.N); over > 0 {
		r.own.forgive(now, over)
	}
}

// trial is when the provider said that something is back, or a while after it was last
// asked: not all windows move on call by call, and nobody knows when others spent theirs.
// Who only says what is allowed does not answer that.
func (r *rolls) trial(last time.Time, sent bool) time.Time {
	switch {
	case r.mute:
		return time.Time{}
	case sent:
	case r.said >= 1: // It is we who remember more than the provider does.
		return last.Add(min(r.own.span/60, shortestDoubt))
	case r.named.After(last):
		return r.named
	}
	return last.Add(doubt(r.own.span))
}

func (r *rolls) spend(now time.Time, units float64) {
	if n := count(units); n > 0 {
		r.own.Spend(now, n)
	}
}

func (r *rolls) unspend(spent time.Time, units float64) {
	r.own.Unspend(spent, spent, count(units))
}

func (r *rolls) silent(_, _ time.Time, _ float64) {}

func (r *rolls) refused(time.Time) {}

func (r *rolls) left(at time.Time, flying float64) float64 {
	return r.own.Left(at) - float64(count(r.theirs(at, flying)))
}

func (r *rolls) hoped(at time.Time) float64 { return r.left(at, 0) }

// theirs is what others have spent that is not back at a time.
func (r *rolls) theirs(at time.Time, flying float64) float64 {
	if !at.Before(r.until) {
		return 0
	}
	return min(r.most, r.least+flying)
}

// turn takes what others have spent to stay as it is until it is back as a whole.
func (r *rolls) turn(from time.Time, flying, ahead, units float64) time.Time {
	cost := r.own.needed(count(units))
	theirs := count(r.theirs(from, flying))
	if theirs == 0 {
		return r.own.Turn(from, count(ahead), cost)
	}
	after := r.own.Turn(r.until, count(ahead), cost)
	if ours := r.own.count - theirs; ours >= cost {
		if before := r.own.turn(ours, from, count(ahead), cost); before.Before(after) {
			return before
		}
	}
	return after
}

func (r *rolls) spacing(_ time.Time, _, units float64) time.Duration {
	return nanoseconds(float64(r.own.span) * units / float64(r.own.count))
}

func (r *rolls) about(at time.Time) Facts {
	f := Facts{Limit: float64(r.own.count), Window: r.own.span, Shape: "rolling"}
	if at.Before(r.until) {
		f.Reset = r.until
	}
	return f
}
