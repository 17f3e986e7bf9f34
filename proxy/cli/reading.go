package cli

import (
	"time"

	"outrider/policy/config"
)

// A reading is one look at a value that is read once, such as what a command prints.
// All who want the value meanwhile wait for the same one: behind a vault that does not
// answer, a look for each would have the tenth caller wait ten times as long.
type reading struct {
	done  chan struct{} // closed when value and err are there
	value string
	err   error
}

// once begins a reading, or joins the one that is under way. A value that was read
// stays; an error is for those who waited for it.
func (s *secrets) once(ref config.Reference, read func() (string, error)) *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.readings[ref]; r != nil {
		return r
	}
	r := &reading{done: make(chan struct{})}
	if known := s.values[ref]; known != nil {
		r.value = known.value
		close(r.done)
		return r
	}
	s.readings[ref] = r
	go func() {
		r.value, r.err = read()
		s.settle(ref, r)
	}()
	return r
}

// settle ends a reading.
func (s *secrets) settle(ref config.Reference, r *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.err == nil {
		s.values[ref] = &secret{value: r.value, read: time.Now()}
	}
	delete(s.readings, ref)
	close(r.done)
}
