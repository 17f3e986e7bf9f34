package pace

import "outrider/policy/quota"

// A scale is what a call of cost 1 takes, in the units of the provider. Of requests, and
// of points, it is as many as the cost says. Of others, such as tokens, it is what calls
// took so far, in the mean. And where answers tell what each call had to find there, as
// those of GraphQL do, it is the most that any of the latest had to: see peak.
type scale struct {
	weight float64 // what has to be there for it
	taken  float64 // what it takes of that in the end, in the mean
	asked  peak    // what calls had to find there, as their answers tell
	took   bool    // an answer has told what a call took

	last  quota.Count // what was left
	ended int         // calls that have ended since
}

func newScale() scale { return scale{weight: 1, taken: 1} }

// charged notes what a call of that cost had to find there, and what it took.
func (s *scale) charged(cost int, v quota.View) {
	s.asked.add(v.Asked.N / float64(cost))
	if !s.weighs() {
		return // It took nothing, as all before, and that others will is to be expected.
	}
	s.weight = s.asked.most()
	switch taken := v.Taken.N / float64(cost); {
	case !v.Taken.Known && !s.took: // It was refused.
		s.taken = s.weight
	case !v.Taken.Known:
	case !s.took:
		s.took, s.taken = true, taken
	default:
		s.taken = smoothed(s.taken, taken)
	}
}

func (s *scale) tell(v quota.View) {
	switch {
	case v.Asked.Known, s.weighs():
		return
	case v.Unit == quota.Requests, v.Unit == quota.Points, v.Unit == "":
		s.weight, s.taken = 1, 1
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
		s.weight = smoothed(s.weight, taken)
		s.taken = s.weight
	}
	s.last, s.ended = v.Remaining, 0
}

// weighs reports whether answers tell what each call takes, and that it is something.
func (s *scale) weighs() bool { return s.asked.most() > 0 }

// smoothed is the mean with another value, as that of round trip times (RFC 6298 section 2).
func smoothed(mean, value float64) float64 { return mean + (value-mean)/8 }

// A peak is the greatest of the latest values, of 100 at least and fewer than 200.
//
// The greatest, because who takes a call for cheaper than it is has it refused, and who
// takes it for dearer loses nothing: a bucket refills as fast whether it is kept empty or
// a little above. And of a hundred, because what comes more rarely than that costs less
// than one refusal in a hundred.
type peak struct {
	now, before float64 // of those that are counted, and of the hundred before
	count       int
}

func (p *peak) add(value float64) {
	if p.count == latest {
		*p = peak{before: p.now}
	}
	p.now = max(p.now, value)
	p.count++
}

func (p *peak) most() float64 { return max(p.now, p.before) }

// latest is after how many values a peak begins to forget.
const latest = 100
