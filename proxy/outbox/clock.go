package outbox

import "time"

// clockStep is by how much the wall clock of the database has to differ from the time that
// has passed for it to have been set. Less is the time that a question to it takes.
const clockStep = time.Minute

// A clock notices that the wall clock of the database was set. When letters are due, and when
// they are too old, is kept as wall time, since nothing else survives a restart; but how much
// time passes is told by the monotonic clock of this process.
type clock struct {
	wall time.Time // of the database, when it was looked at last; zero: never
	at   time.Time // when that was, with its monotonic reading
	// ahead is by how much the clock was set forward, until what is kept from before is old
	// by any clock.
	ahead      time.Duration
	aheadUntil time.Time
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
	if jump.Abs() < clockStep {
		return 0
	}
	if ahead := c.grace() + jump; ahead > 0 {
		c.ahead, c.aheadUntil = ahead, now.Add(keep)
	} else {
		c.ahead = 0
	}
	return jump
}

// grace is how much older than it may be a letter is allowed to look.
func (c *clock) grace() time.Duration {
	if !time.Now().Before(c.aheadUntil) {
		c.ahead = 0
	}
	return c.ahead
}
