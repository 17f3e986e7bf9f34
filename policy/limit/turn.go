package limit

import (
	"context"
	"slices"
	"time"
)

// A turn is the right to send one call. Its holder reports what came of it
// with answered or failed, and gives the slots back with release, once each.
type turn struct {
	d      *dispatcher
	meters []*meter // that it took from
	taken  time.Time
	cost   int
	eased  []*meter // those whose gates were opening
	learns bool     // one of them learns from the answer
}

// answered ends the waiting for an answer, which said something of our pace at now. The
// slots stay taken if hold is true, until release.
func (d *dispatcher) answered(ctx context.Context, t turn, said verdict, now time.Time) (hold bool) {
	var tell []func()
	defer func() {
		for _, f := range tell {
			f()
		}
	}()
	d = d.lock()
	defer d.mu.Unlock()
	for _, m := range t.meters {
		hold = hold || m.settings.Concurrency > 0
	}
	if said.after > 0 {
		tell = d.throttled(ctx, t, now, said.after)
	}
	if !hold {
		t.free()
	}
	if len(t.eased) > 0 { // Only then somebody may go for it.
		now := time.Now()
		for _, m := range t.eased {
			m.gate.answered(said.fine, now, m.waiting.calls == 0)
		}
		if awaited(t.eased) {
			d.advance(now)
		}
	}
	return hold
}

// release gives back the slots of a call whose body is closed.
func (d *dispatcher) release(t turn) {
	d = d.lock()
	defer d.mu.Unlock()
	missed := slices.ContainsFunc(t.meters, func(m *meter) bool { return m.waiting.calls > 0 && d.fullFor(m) })
	t.free()
	took := time.Since(t.taken)
	for _, m := range t.meters {
		if m.held == 0 {
			m.held = took
		} else {
			m.held += (took - m.held) / 8 // smoothed as a round trip time is, RFC 6298 section 2
		}
	}
	if missed {
		d.advance(time.Now())
	}
}

// failed ends a turn that had no answer. sent is false if the call certainly
// did not go out; then it costs nothing.
func (d *dispatcher) failed(t turn, sent bool) {
	d = d.lock()
	defer d.mu.Unlock()
	now := time.Now()
	t.drop(now, sent)
	if awaited(t.meters) {
		d.advance(now)
	}
}

func (t *turn) drop(now time.Time, sent bool) {
	t.free()
	for _, m := range t.meters {
		if !sent {
			m.shape.unspend(now, t.taken, t.cost)
		}
	}
	for _, m := range t.eased {
		m.gate.passing--
	}
}

// free notes that the call is not on its way any more.
func (t *turn) free() {
	for _, m := range t.meters {
		m.active--
	}
}

// awaited reports whether somebody waits at one of them.
func awaited(meters []*meter) bool {
	return slices.ContainsFunc(meters, func(m *meter) bool { return m.waiting.calls > 0 })
}

// throttled closes the gates of those meters that learn until hint after now, when the
// hint was read. What it returns tells of that, and is called without the lock.
func (d *dispatcher) throttled(ctx context.Context, t turn, now time.Time, hint time.Duration) (tell []func()) {
	closed := false
	for _, m := range t.meters {
		s := m.settings
		until := now.Add(hint + s.spread(hint))
		if !s.Learn || !m.gate.close(until, s.gently()) {
			continue
		}
		closed = true
		if s.OnGate != nil {
			tell = append(tell, func() { s.OnGate(ctx, m.key, until) })
		}
		for _, l := range d.backlog {
			if l.has(m) {
				l.line.reason(waitGate)
			}
		}
	}
	if closed {
		now = time.Now()
		d.review(now)
		d.advance(now)
	}
	return tell
}
