package pace

import "outrider/policy/quota"

// A scale is what a call of cost 1 takes, in the units of the provider: of requests
// and points as many as the cost says, and of others, such as tokens, what calls took so
// far, in the mean.
type scale struct {
	weight float64
	last   quota.Count // what was left
	ended  int         // calls that have ended since
}

func (s *scale) tell(v quota.View) {
	switch v.Unit {
	case quota.Requests, quota.Points, "":
		s.weight = 1
		return
	}
	s.ended++
	if !v.Remaining.Known {
		return
	}
	// An increase says nothing of what calls took.
	if taken := (s.last.N - v.Remaining.N) / float64(s.ended); s.last.Known && taken > 0 {
		if s.weight == 1 {
			s.weight = taken
		}
		s.weight += (taken - s.weight) / 8 // smoothed as in RFC 6298 section 2
	}
	s.last, s.ended = v.Remaining, 0
}
