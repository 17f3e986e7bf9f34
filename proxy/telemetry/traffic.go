package telemetry

import (
	"math"
	"sync"
	"time"

	"outrider/policy"
)

// Traffic is what calls of one upstream came to, over the last minute. Durations are
// milliseconds; a share of the calls took no longer, to within 5 %.
type Traffic struct {
	Tally
	Seconds float64 `json:"seconds"` // the span that is counted: 55 to 60, or less after the first call
	P50MS   float64 `json:"p50_ms"`
	P95MS   float64 `json:"p95_ms"`
	P99MS   float64 `json:"p99_ms"`
	Course  Course  `json:"course"`
}

// A Course is the last ten minutes, in steps of ten seconds, from the oldest.
type Course struct {
	Calls     []int `json:"calls"`
	Failed    []int `json:"failed"`
	Throttled []int `json:"throttled"`
}

// A Tally counts the calls that ended in some span of time, and their attempts.
type Tally struct {
	Calls     int `json:"calls"`
	Failed    int `json:"failed"`    // answered with 5xx, or not at all; a client that left is not counted
	Attempts  int `json:"attempts"`  // requests on the wire
	Faults    int `json:"faults"`    // of the attempts, those that broke off or were answered with 5xx
	Throttled int `json:"throttled"` // of the attempts, those that were answered with 429
}

func (t *Tally) add(c counts) {
	t.Calls += int(c.calls)
	t.Failed += int(c.failed)
	t.Attempts += int(c.attempts)
	t.Faults += int(c.faults)
	t.Throttled += int(c.throttled)
}

// counts are a Tally of a short span of time, in half of the memory: each of thousands of
// upstreams has many.
type counts struct{ calls, failed, attempts, faults, throttled uint32 }

func (c *counts) add(more counts) {
	c.calls += more.calls
	c.failed += more.failed
	c.attempts += more.attempts
	c.faults += more.faults
	c.throttled += more.throttled
}

// countsOf counts one call.
func countsOf(r *Record) counts {
	c := counts{calls: 1, attempts: uint32(min(r.Attempts, math.MaxInt32))}
	if r.failed() {
		c.failed = 1
	}
	for i := range r.Tries {
		switch try := &r.Tries[i]; {
		case !try.Sent:
		case try.Status >= 500 || try.Error != "" && try.Error != canceled:
			c.faults++
		case try.Status == 429:
			c.throttled++
		}
	}
	return c
}

// failed reports that the client did not get what it asked for, and not by its own doing.
func (r *Record) failed() bool {
	return r.Class != policy.ClassClientGone && (r.Status >= 500 || r.Status == 0) || r.Class == policy.ClassFault && r.Quiet != ""
}

// The spans that are counted, each in steps: the minute, of which durations are known,
// too; and the ten minutes that people look at.
const (
	minuteStep, minuteSteps = 5 * time.Second, 12
	courseStep, courseSteps = 10 * time.Second, 60
)

// A stream are the calls of one upstream.
type stream struct {
	mu     sync.Mutex
	first  time.Time // when the first of them ended; steps count from there
	minute steps[timed]
	course steps[counts]
}

// timed are counts, with the durations of their calls.
type timed struct {
	counts
	durations spread
}

func newStream() stream {
	return stream{
		minute: steps[timed]{width: minuteStep, cells: make([]timed, minuteSteps)},
		course: steps[counts]{width: courseStep, cells: make([]counts, courseSteps)},
	}
}

// count notes a call that ended at now.
func (s *stream) count(r *Record, now time.Time) {
	counted, bucket := countsOf(r), durationBucket(r.DurationMS)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = now
	}
	age := now.Sub(s.first)
	cell := s.minute.at(age)
	cell.add(counted)
	cell.durations.add(bucket)
	s.course.at(age).add(counted)
}

// Traffic tells what the calls of an upstream came to: "" are those of none. ok is false
// where it had no call yet.
func (t *Telemetry) Traffic(upstream string) (traffic Traffic, ok bool) {
	t.Flush()
	a := t.metrics.accounts.known(upstream)
	if a == nil {
		return Traffic{}, false
	}
	s, now := &a.traffic, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		return Traffic{}, false
	}
	age := now.Sub(s.first)
	traffic.Seconds = min(age, minuteStep*(minuteSteps-1)+age%minuteStep).Seconds()
	var all histogramOfDurations
	for _, cell := range s.minute.list(age) {
		traffic.add(cell.counts)
		cell.durations.addTo(&all)
	}
	traffic.P50MS, traffic.P95MS, traffic.P99MS = all.quantile(0.5), all.quantile(0.95), all.quantile(0.99)
	for _, cell := range s.course.list(age) {
		c := &traffic.Course
		c.Calls, c.Failed, c.Throttled = append(c.Calls, int(cell.calls)), append(c.Failed, int(cell.failed)), append(c.Throttled, int(cell.throttled))
	}
	return traffic, true
}

// steps are the latest spans of time, each as long as the others, and what is known of each.
// They are counted by age, the time since the first began, which is that of no clock that
// somebody sets: one that is put back an hour would have an hour be a minute.
type steps[T any] struct {
	width time.Duration
	cells []T
	last  int64 // which step the newest is, counted from the first
}

// at is the cell of an age.
func (s *steps[T]) at(age time.Duration) *T {
	s.turn(age)
	return &s.cells[s.last%int64(len(s.cells))]
}

// turn empties what is too old. What comes late is counted to the newest step.
func (s *steps[T]) turn(age time.Duration) {
	step := int64(age / s.width)
	if step <= s.last {
		return
	}
	var empty T
	for old := max(s.last+1, step-int64(len(s.cells))+1); old <= step; old++ {
		s.cells[old%int64(len(s.cells))] = empty
	}
	s.last = step
}

// list gives the cells from the oldest to the one of an age.
func (s *steps[T]) list(age time.Duration) []T {
	s.turn(age)
	list := make([]T, 0, len(s.cells))
	oldest := int((s.last + 1) % int64(len(s.cells)))
	return append(append(list, s.cells[oldest:]...), s.cells[:oldest]...)
}

// histogramOfDurations counts durations in buckets each of which reaches 9 % further
// than the one before: from 0.1 ms on, and up to more than five minutes.
type histogramOfDurations [176]uint32

const (
	shortest       = 0.1 // ms: where the first bucket ends
	bucketsADouble = 8
)

// durationBucket is the bucket of a duration in milliseconds.
func durationBucket(ms float64) int {
	if ms <= shortest {
		return 0
	}
	return min(int(math.Ceil(math.Log2(ms/shortest)*bucketsADouble)), len(histogramOfDurations{})-1)
}

// A spread is what a histogramOfDurations counts, without the empty buckets at its ends:
// most calls of an upstream in a few seconds take about as long as each other.
type spread struct {
	first  int // bucket that counts begins with
	counts []uint32
}

// add counts a duration of a bucket.
func (s *spread) add(bucket int) {
	switch before, after := s.first-bucket, bucket-s.first-len(s.counts)+1; {
	case len(s.counts) == 0:
		s.first, s.counts = bucket, []uint32{0}
	case before > 0:
		s.first, s.counts = bucket, append(make([]uint32, before, before+len(s.counts)), s.counts...)
	case after > 0:
		s.counts = append(s.counts, make([]uint32, after)...)
	}
	s.counts[bucket-s.first]++
}

// addTo adds what is counted.
func (s *spread) addTo(all *histogramOfDurations) {
	for i, n := range s.counts {
		all[s.first+i] += n
	}
}

// quantile is the duration, in milliseconds, that a share of those counted did not
// exceed: the middle of its bucket, so wrong by 5 % at most. 0: none is counted.
func (h *histogramOfDurations) quantile(share float64) float64 {
	var all uint64
	for _, n := range h {
		all += uint64(n)
	}
	rank := uint64(math.Ceil(share * float64(all)))
	for i, n := range h {
		if n := uint64(n); n < rank {
			rank -= n
			continue
		}
		if all == 0 {
			return 0
		}
		return shortest * math.Exp2((float64(i)-0.5)/bucketsADouble)
	}
	return 0
}
