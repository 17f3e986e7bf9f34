package telemetry

import "time"

// What is remembered of the requests and waits of a call, while it goes on.

// Passed says that the answer of the request that was answered last goes to the client, and that
// the call ends with that: so the request is told of together with the call.
func (s *Span) Passed() {
	s.mu.Lock()
	s.passed = true
	s.mu.Unlock()
}

// recording is the record. The lock is held, or the call has ended.
func (s *Span) recording() *kept {
	if s.record == nil {
		s.record = newKept()
	}
	return s.record
}

// answered notes that there is an answer to a request. Its try is remembered when the next thing
// happens to the call, which is its end most often.
func (s *Span) answered(w *wire) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.latest != nil {
		s.noted()
	}
	if s.latest = w; s.ended {
		s.latest, w.try = nil, -1
	}
	s.mu.Unlock()
}

// ends notes that a request ended as soon as it was answered, if its call ends in a moment, which
// then remembers that.
func (s *Span) ends(w *wire) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	whole := s.passed && s.latest == w
	if whole {
		w.whole, w.took = true, w.headers
	}
	s.mu.Unlock()
	return whole
}

// noted remembers the try of the request that was answered last, if that is to be done still. The
// lock is held.
func (s *Span) noted() {
	w := s.latest
	if w == nil {
		return
	}
	s.latest = nil
	s.add(w, Try{HeadersMS: ms(w.headers), Status: w.status, Sent: true, Reused: w.reused()})
	if w.whole { // and so nothing broke it off, nor has it lost: see [policy.Call.GotBody]
		s.lasted(w, w.took, "", false)
	}
}

// addTry remembers the try of a request that was not answered.
func (s *Span) addTry(w *wire, try Try) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted()
	s.add(w, try)
}

// add remembers a try, and who was asked. Its place is -1 when the list is full or the call has
// ended. The lock is held.
func (s *Span) add(w *wire, try Try) {
	w.try = -1
	if s.ended {
		return
	}
	s.account = w.account
	r := s.recording()
	if len(r.Tries) >= maxKept {
		return
	}
	try.StartMS = ms(w.start.Sub(s.start))
	w.try = int32(len(r.Tries))
	r.Tries = append(r.Tries, try)
}

// endTry tells how long the try of a request took, and what broke it off: an error of some
// kind, or that it lost.
func (s *Span) endTry(w *wire, d time.Duration, kind string, lost bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted()
	s.lasted(w, d, kind, lost)
}

// lasted is endTry with the lock held.
func (s *Span) lasted(w *wire, d time.Duration, kind string, lost bool) {
	if s.ended || w.try < 0 {
		return
	}
	try := &s.record.Tries[w.try]
	try.DurationMS, try.Lost = ms(d), lost
	if kind != "" {
		try.Error = kind
	}
}

// addWait remembers a wait that began at start.
func (s *Span) addWait(start time.Time, d time.Duration, kind, reason string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.recording().Waits) >= maxKept {
		return
	}
	s.record.Waits = append(s.record.Waits, Wait{
		StartMS: max(0, ms(start.Sub(s.start))), DurationMS: ms(d), Kind: kind, Reason: reason,
	})
}
