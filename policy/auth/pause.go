package auth

import "time"

// A pause is how long something is left alone. It is one of the wall clock, which goes on
// while a machine sleeps. That may be set back, by hours where a machine comes up with the
// clock of another zone: a pause that would begin after now is over, or it would last for
// as long as the step was.
type pause struct{ began, until time.Time }

// pauseOf is a pause of so long from now on.
func pauseOf(length time.Duration, now time.Time) pause { return pause{now, now.Add(length)} }

func (p pause) lasts(now time.Time) bool { return !now.Before(p.began) && now.Before(p.until) }
