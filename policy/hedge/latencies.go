package hedge

import (
	"slices"
	"time"
)

// Enough is how many answers must be known before there is a second request: of so many
// one is slower than 95 %.
const Enough = 20

const (
	remembered = 256                   // answers
	shortest   = 10 * time.Millisecond // below that a second request gains nothing that is felt
)

// latencies are how long the last answers took, until their headers.
type latencies struct {
	ring   [remembered]time.Duration // as they came
	oldest int                       // its place in a ring that is full, else where the next belongs
	sorted []time.Duration           // the same, the shortest first
}

// add remembers an answer, in place of the oldest.
func (l *latencies) add(took time.Duration) {
	if len(l.sorted) == remembered {
		i, _ := slices.BinarySearch(l.sorted, l.ring[l.oldest])
		l.sorted = slices.Delete(l.sorted, i, i+1)
	}
	i, _ := slices.BinarySearch(l.sorted, took)
	l.sorted = slices.Insert(l.sorted, i, took)
	l.ring[l.oldest] = took
	l.oldest = (l.oldest + 1) % remembered
}

// patience is for how long the first request is waited for alone: the 95th percentile,
// by nearest rank. False: too few answers are known.
func (l *latencies) patience() (time.Duration, bool) {
	n := len(l.sorted)
	if n < Enough {
		return 0, false
	}
	rank := (95*n + 99) / 100
	return max(l.sorted[rank-1], shortest), true
}
