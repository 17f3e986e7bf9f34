package breaker

import "time"

const (
	// rampFirst is the share of the calls that pass when a ramp begins.
	rampFirst = 0.1
	// rampFree is how many calls pass in each second of a ramp, whatever its share.
	// A tenth of little traffic would be next to nothing, and spares nobody.
	rampFree = 10
)

// ramp is the way back of a circuit that a probe has closed: a share of the
// calls passes, which grows from a tenth to all of them. It counts in seconds,
// and not from its beginning, so that a share that has grown is that of the
// calls which come now. The zero value is none.
type ramp struct {
	begun        time.Time
	second       int64 // of the ramp: which one came and passed are about
	came, passed int
}

// share is the part of the calls that passes at a time, if the ramp is so long:
// less than 1 while it lasts.
func (r *ramp) share(length time.Duration, now time.Time) float64 {
	if r.begun.IsZero() { // mostly
		return 1
	}
	past := now.Sub(r.begun)
	if past >= length {
		return 1
	}
	return rampFirst + (1-rampFirst)*float64(past)/float64(length)
}

// admit counts a call, and reports whether it is one of the share.
func (r *ramp) admit(share float64, now time.Time) bool {
	if second := int64(now.Sub(r.begun) / time.Second); second != r.second {
		r.second, r.came, r.passed = second, 0, 0
	}
	r.came++
	if r.passed >= rampFree && float64(r.passed) >= share*float64(r.came) {
		return false
	}
	r.passed++
	return true
}

// again is when a call that was refused is told to come again: at any time until
// twice what is left of the ramp. Were it until its end, those that were refused
// would double the traffic there.
func (r *ramp) again(rules *Settings, now time.Time) time.Time {
	left := rules.Ramp - now.Sub(r.begun)
	if rules.Jitter == nil {
		return now.Add(left)
	}
	return now.Add(rules.Jitter(2 * left))
}
