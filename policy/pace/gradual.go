package pace

import (
	"time"

	"outrider/policy/quota"
)

// gradual is a quota that comes back bit by bit, a bucket.
type gradual struct {
	limit  float64 // what it holds; 0: unknown
	level  float64 // at told
	told   time.Time
	speed  float64 // units a second, as the answers say; 0: unknown
	filled speedometer

	missing  float64       // what the bucket lacked when speed was measured, or up to twice that
	longest  time.Duration // from an answer to its reset
	refusals int           // of what was thought to be there, shortly after one another; those of a second are one
	refusing time.Time     // since when
}

// guess is the speed of a bucket of which nobody tells anything: one try a second.
const guess = 1

func (g *gradual) tell(now time.Time, v quota.View, flying float64) {
	expected := g.hoped(now)
	first := g.told.IsZero()
	if v.Limit.Known {
		g.limit = v.Limit.N
	}
	if !v.Remaining.Known {
		return
	}
	left := v.Remaining.N
	if full := v.Reset.Sub(now); v.Restore > 0 {
		g.speed = v.Restore
	} else if !v.Reset.IsZero() && full > 0 && g.limit > left {
		g.measure(g.limit-left, full)
	}
	g.longest = max(g.longest, v.Reset.Sub(now))
	taken := 1.0
	if v.Taken.Known {
		taken = v.Taken.N
	}
	g.filled.tell(now, left, taken, left < g.limit || g.limit == 0)
	// Answers overtake each other: one that leaves more than is expected may be the older.
	if most := expected + refund(v); first || left < most || flying == 0 {
		g.level = left
	} else {
		g.level = most
	}
	g.told = now
}

// refund is what is back with an answer: what its call was charged and did not take, which
// an answer before may have counted as spent.
func refund(v quota.View) float64 {
	if !v.Asked.Known || !v.Taken.Known {
		return 0
	}
	return max(v.Asked.N-v.Taken.N, 0)
}

// measure takes over in what time a bucket is full that lacks so much. What is left is
// rounded down, and resets are rounded up: so it lacks up to one unit less, which of a few
// matters, and the highest of the speeds is the truest, among those of a bucket that lacks
// about as much. One that lacks a single unit has it when it is full.
func (g *gradual) measure(missing float64, full time.Duration) {
	if missing >= 2 && missing < few {
		missing--
	}
	speed := missing / full.Seconds()
	switch {
	case g.speed == 0, missing >= 2*g.missing, missing < 2 && g.missing < 2:
		g.speed, g.missing = speed, missing
	case missing >= g.missing/2:
		g.speed = max(g.speed, speed)
	}
}

// few is of how many units one matters.
const few = 30

// rate is in units a second.
func (g *gradual) rate() float64 {
	switch {
	case g.speed > 0:
		return g.speed
	case g.filled.speed > 0:
		return g.filled.speed
	}
	return guess
}

func (g *gradual) spend(time.Time, float64)   {}
func (g *gradual) unspend(time.Time, float64) {}

func (g *gradual) silent(now, _ time.Time, units float64) {
	g.level, g.told = g.hoped(now)-units, now
	g.filled.count(units)
}

// refused forgets the speed that reset and remaining told, of which the highest counts.
func (g *gradual) refused(now time.Time) {
	if since := now.Sub(g.refusing); since > time.Second {
		if since > 10*g.longest { // Others spend too, now and then all of it.
			g.refusals = 0
		}
		g.refusing = now
		g.refusals++
	}
	g.speed = 0
	g.filled.count(-1) // It took nothing.
}

// trial is never: something is back soon, and then a call goes.
func (g *gradual) trial(time.Time, bool) time.Time { return time.Time{} }

func (g *gradual) left(at time.Time, flying float64) float64 { return g.hoped(at) - flying }

func (g *gradual) hoped(at time.Time) float64 {
	if g.told.IsZero() {
		return 0
	}
	level := g.level + g.rate()*max(at.Sub(g.told), 0).Seconds()
	if g.limit > 0 {
		return min(level, g.limit)
	}
	return level
}

func (g *gradual) turn(from time.Time, flying, ahead, units float64) time.Time {
	missing := flying + ahead + units - g.hoped(from)
	if missing <= 0 {
		return from
	}
	// What a float lacks at its last bit is less than a nanosecond.
	return from.Add(max(g.spacing(from, 0, missing), 1))
}

func (g *gradual) spacing(_ time.Time, _, units float64) time.Duration {
	return nanoseconds(units / g.rate() * float64(time.Second))
}

func (g *gradual) about(at time.Time) Facts {
	f := Facts{Limit: g.limit, Shape: "bucket"}
	if g.limit > 0 {
		f.Window = g.spacing(at, 0, g.limit)
		f.Reset = at.Add(g.spacing(at, 0, g.limit-g.hoped(at)))
	}
	return f
}

// A speedometer finds out how fast a bucket refills that does not tell, from what is
// left now and then and from what was spent between.
type speedometer struct {
	since time.Time // of the first answer of this measurement
	left  float64   // then
	spent float64   // since
	speed float64   // units a second; 0: not measured yet
}

// measured is how long a measurement takes at least: calls on their way blur it.
const measured = time.Second

// count notes units that were spent, and of which no answer will tell.
func (s *speedometer) count(units float64) { s.spent += units }

// tell notes an answer to a call that took so many units. refilling is false while the
// bucket is full: then nothing comes back.
func (s *speedometer) tell(now time.Time, left, taken float64, refilling bool) {
	s.spent += taken
	elapsed := now.Sub(s.since)
	if s.since.IsZero() || !refilling || elapsed > time.Minute {
		s.since, s.left, s.spent = now, left, 0
		return
	}
	back := left - s.left + s.spent
	if elapsed < measured || back <= 0 {
		return
	}
	speed := back / elapsed.Seconds()
	if s.speed > 0 {
		speed = s.speed + (speed-s.speed)/4
	}
	s.speed, s.since, s.left, s.spent = speed, now, left, 0
}
