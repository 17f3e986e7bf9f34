package pace

import (
	"math"
	"time"
)

// passed is how much of a new count per time is spent when it takes the place of old: no
// more than old had left is left, unless old cannot have let so much pass in that time.
// Else a limit that is raised from a few calls to thousands an hour would send nothing
// for an hour.
func passed(old Shape, count int, per time.Duration, now time.Time) int {
	if old == nil {
		return 0
	}
	missing := count - int(min(max(old.Left(now), 0), float64(count)))
	return int(min(float64(missing), math.Ceil(most(old, per, now))))
}

// most is the most that a shape can have let pass in a time before now.
func most(s Shape, per time.Duration, now time.Time) float64 {
	switch s := s.(type) {
	case *smooth:
		return s.Room() - s.Left(now) + float64(s.limit)*per.Seconds()
	case *window:
		sent := s.at(now).sent
		return float64(sent) + s.Room()*math.Ceil(float64(per)/float64(s.per))
	case *even:
		return most(s.span, per, now)
	case *rolling:
		return s.Room() - s.Left(now) + s.Room()*(math.Ceil(float64(per)/float64(s.span))-1)
	}
	return math.Inf(1)
}
