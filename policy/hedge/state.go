package hedge

import (
	"sync"
	"time"
)

// The share of the calls that may have a second request is one in callsEach; maxSaved
// is how many of those may be left for later.
const (
	callsEach = 20
	maxSaved  = 10
)

// state is what is known of the calls so far. Stages share it across a reload.
type state struct {
	mu        sync.Mutex
	latencies latencies
	calls     int // that have not paid for a second request yet: at most callsEach · maxSaved
}

// called notes a call, and gives its patience.
func (s *state) called() (patience time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = min(s.calls+1, callsEach*maxSaved)
	return s.latencies.patience()
}

// answered notes how long an answer took.
func (s *state) answered(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latencies.add(took)
}

// take takes a second request from the share, or refuses it.
func (s *state) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls < callsEach {
		return false
	}
	s.calls -= callsEach
	return true
}

// giveBack puts back what was taken for a request that was not sent.
func (s *state) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = min(s.calls+callsEach, callsEach*maxSaved)
}

// State is what a Stage would do now.
type State struct {
	Known int           // answers that it goes by, at most 256
	After time.Duration // when a second request would be due; 0: too few answers are known
	Saved float64       // second requests that could be sent now, with the fraction
}

func (s *state) snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, _ := s.latencies.patience()
	return State{Known: len(s.latencies.sorted), After: after, Saved: float64(s.calls) / callsEach}
}
