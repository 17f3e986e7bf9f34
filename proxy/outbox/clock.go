package outbox

import (
	"slices"
	"time"
)

// clockStep is by how much the wall clock of the database has to differ from the time that
// has passed for it to have been set. Less is the time that a question to it takes.
const clockStep = time.Minute

// A clock notices that the wall clock of the database was set. When letters are due, and when
// they are too old, is kept as wall time, since nothing else survives a restart; but how much
// time passes is told by the monotonic clock of this process.
type clock struct {
	wall  time.Time // of the database, when it was looked at last; zero: never
	at    time.Time // when that was, with its monotonic reading
	steps []step    // forward, the oldest first
}

// A step is by how much a clock was set forward, and when.
type step struct {
	by time.Duration
	at time.Time
}

// look takes the wall time of the database, and tells by how much it was set since the last
// look; 0: it was not. keep is for how long anything is kept.
func (c *clock) look(wall time.Time, keep time.Duration) (jump time.Duration) {
	now := time.Now()
	defer func() { c.wall, c.at = wall, now }()
	if c.wall.IsZero() {
		return 0
	}
	jump = wall.Sub(c.wall) - now.Sub(c.at)
	switch {
	case jump.Abs() < clockStep:
		return 0
	case jump > 0:
		c.forward(step{jump, now}, keep)
	default:
		c.back(-jump)
	}
	return jump
}

// stepsApart is how far two steps are apart that are told apart: so there are not many.
const stepsApart = time.Hour

func (c *clock) forward(next step, keep time.Duration) {
	c.steps = slices.DeleteFunc(c.steps, func(s step) bool { return next.at.Sub(s.at) >= keep })
	if last := len(c.steps) - 1; last >= 0 && next.at.Sub(c.steps[last].at) < stepsApart {
		c.steps[last] = step{c.steps[last].by + next.by, next.at}
		return
	}
	c.steps = append(c.steps, next)
}

// back takes steps back, the latest first.
func (c *clock) back(by time.Duration) {
	for last := len(c.steps) - 1; last >= 0 && by > 0; last-- {
		taken := min(by, c.steps[last].by)
		c.steps[last].by -= taken
		by -= taken
	}
}

// grace is how much older than it may be something is allowed to look that is kept for so
// long: by the steps since which it may be there.
func (c *clock) grace(kept time.Duration) (grace time.Duration) {
	for _, s := range c.steps {
		if time.Since(s.at) < kept {
			grace += s.by
		}
	}
	return grace
}

// now is the wall time of the database.
func (c *clock) now() time.Time { return c.wall.Add(time.Since(c.at)) }
