package limit

import (
	"context"
	"net/http"
	"slices"
	"time"

	"outrider/policy/pace"
)

// A turn is the right to send one call. Its holder reports what came of it
// with answered or failed, and gives the slots back with release, once each.
type turn struct {
	slots
	req   *http.Request // the call
	cost  int
	lane  *lane
	seq   uint64   // lane.sent with it
	eased []*meter // those whose gates were opening

	behind string // what kept it from the call at first; "": nothing, or what has no name

	learner *Settings // by which the answer is read; nil: nothing is learned
	said    verdict   // what it said
}

// slots are what a turn holds until the call is over.
type slots struct {
	d      *dispatcher
	meters []*meter // that it took from
	taken  time.Time
}

// answered ends the waiting for an answer, which said something of our pace at now. The
// slots stay taken if hold is true, until release.
func (d *dispatcher) answered(ctx context.Context, t *turn, now time.Time) (hold bool) {
	hold, tell := d.lands(ctx, t, now)
	for _, f := range tell {
		f()
	}
	return hold
}

// lands is answered, but for what is called without the lock.
func (d *dispatcher) lands(ctx context.Context, t *turn, now time.Time) (hold bool, tell []func()) {
	d = d.lock()
	defer d.mu.Unlock()
	now = d.at(now)
	sooner, silent := false, t.said.nothing() && len(t.lane.buckets) == 0
	for _, m := range t.meters {
		silent = silent && m.learned == nil && m.adaptive.Rate() == 0
		hold = hold || m.settings.Concurrency > 0
		earlier, delayed := pace.Answered(m.shape, now, t.taken, t.cost)
		sooner = sooner || earlier
		if delayed && m.waiting.calls > 0 {
			d.disturbed = true // Before the next turn they are looked at.
		}
	}
	moved := false
	if silent { // mostly: there is no bucket that it lands at, and nobody who learns anything
		t.lane.flying -= t.cost
	} else {
		t.land()
		moved, tell = d.learn(ctx, t, now)
	}
	if !hold {
		t.free()
	}
	for _, m := range t.eased {
		m.gate.answered(t.said.fine, now, m.waiting.calls == 0)
	}
	if len(d.backlog) > 0 && (moved || sooner || awaited(t.eased)) {
		d.advance(now)
	}
	return hold, tell
}

// release gives back the slots of a call whose body is closed.
func (s *slots) release() {
	d := s.d.lock()
	defer d.mu.Unlock()
	missed := slices.ContainsFunc(s.meters, func(m *meter) bool { return m.waiting.calls > 0 && d.fullFor(m) })
	s.free()
	took := time.Since(s.taken)
	for _, m := range s.meters {
		if m.held == 0 {
			m.held = took
		} else {
			m.held += (took - m.held) / 8 // smoothed as a round trip time is, RFC 6298 section 2
		}
	}
	if missed {
		d.advance(d.now())
	}
}

// failed ends a turn that had no answer. sent is false if the call certainly
// did not go out; then it costs nothing.
func (d *dispatcher) failed(t *turn, sent bool) {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	t.drop(now, sent)
	if len(d.backlog) > 0 {
		d.advance(now)
	}
}

func (t *turn) drop(now time.Time, sent bool) {
	t.free()
	if sent {
		t.land()
	} else {
		t.leave()
	}
	for _, m := range t.meters {
		switch {
		case !sent:
			m.unspend(now, t.taken, t.cost) // It lands with that.
		case m.learned != nil:
			m.learned.Silent(now, t.taken, t.cost)
		}
	}
	for _, m := range t.eased {
		m.gate.passing--
	}
}

// free notes that the call is not on its way any more.
func (s *slots) free() {
	for _, m := range s.meters {
		m.active--
	}
}

// ease notes that the gate of a meter was opening.
func (t *turn) ease(m *meter) { t.eased = append(t.eased, m) }

// awaited reports whether somebody waits at one of them.
func awaited(meters []*meter) bool {
	return slices.ContainsFunc(meters, func(m *meter) bool { return m.waiting.calls > 0 })
}
