package limit

import (
	"slices"
	"time"
)

// A reservation is what a meter keeps for the head of one lane that cannot go yet.
// Others may spend there what does not make it later (EASY backfilling: D. Lifka, "The
// ANL/IBM SP Scheduling System", 1995).
type reservation struct {
	pass  uint64    // of the dispatcher, that it was made in; it holds until the next
	slot  bool      // one of the slots is kept
	rate  bool      // cost is kept, for turn
	turn  time.Time // as rates and gates tell
	first time.Time // what turn was when the head became one
	cost  int
}

// allows reports whether a call may spend so much at m before the one that the
// reservation is for. A bucket that is full gets nothing while it is kept, and with a
// small one a rate would lose a part of a call each time; so what others spend may make
// the first turn later by the time in which it comes back, in all.
func (r *reservation) allows(m *meter, now time.Time, cost int) bool {
	if !r.rate {
		return true
	}
	turn := m.turnOf(now, cost, r.cost)
	return !turn.After(r.turn) || !turn.After(r.first.Add(m.comesBack(cost)))
}

// admit looks at the heads of all lanes in their order, and lets go who may.
func (d *dispatcher) admit(now time.Time) {
	d.pass++
	for i := 0; i < len(d.backlog); {
		l := d.backlog[i]
		w := l.line.first()
		if !d.mayGo(l, now, w.cost) {
			d.reserve(l, w, now)
			i++
			continue
		}
		delays := d.delays(l, now, w.cost)
		w.turn = turn{req: w.req, cost: w.cost}
		d.take(&w.turn, l, now)
		l.line.serve(w)
		d.served(l)
		d.changed(l, now) // The next of the lane comes behind all that have been looked at.
		close(w.done)
		if delays { // Others may have room now for that.
			d.pass++
			i = 0
		}
	}
}

// mayGo reports whether all meters of a lane let a call go, and what they keep for the
// heads that have been looked at before.
func (d *dispatcher) mayGo(l *lane, now time.Time, cost int) bool {
	for _, m := range l.meters {
		if d.fullFor(m) || m.undecided(now, cost) || !m.ready(now, cost) {
			return false
		}
		if d.keeps(m) && !m.kept.allows(m, now, cost) {
			return false
		}
	}
	return true
}

// delays reports whether a call that may go makes somebody later for whom something is
// kept.
func (d *dispatcher) delays(l *lane, now time.Time, cost int) bool {
	for _, m := range l.meters {
		if kept := &m.kept; d.keeps(m) && kept.rate && m.turnOf(now, cost, kept.cost).After(kept.turn) {
			return true
		}
	}
	return false
}

// fullFor reports whether m has no slot for those who come after the heads that have
// been looked at.
func (d *dispatcher) fullFor(m *meter) bool {
	free := m.free()
	return free <= 0 || free < 2 && d.keeps(m) && m.kept.slot
}

// keeps reports whether something is kept at m in this pass. It is for somebody who waits.
func (d *dispatcher) keeps(m *meter) bool { return len(d.backlog) > 0 && m.kept.pass == d.pass }

// keptAt is what is kept at m in this pass.
func (d *dispatcher) keptAt(m *meter) reservation {
	if !d.keeps(m) {
		return reservation{pass: d.pass}
	}
	return m.kept
}

// reserve keeps what the head of a lane needs that cannot go, where nothing is kept for
// another, and notes when to look again.
//
// When a slot is free cannot be told. So a head keeps none as long as its rates make it
// wait. When these let it go and a slot does not, it lets others spend the rates, and
// keeps the slots as they come free, one meter after the other; and when it has all of
// them, what it needs of the rates. An answer may tell that one of these has nothing for
// long; then the slots are not kept.
func (d *dispatcher) reserve(l *lane, w *waiter, now time.Time) {
	due, gated, full := true, false, len(l.meters)
	turn := now
	for i, m := range l.meters {
		due = due && m.due(now, w.cost)
		gated = gated || now.Before(m.gate.until)
		if full == len(l.meters) && (d.fullFor(m) || m.undecided(now, w.cost)) {
			full = i
		}
		if at := d.turnAt(m, now, w.cost); at.After(turn) {
			turn = at
		}
	}
	if w.first.IsZero() {
		w.first = turn
	}
	wake := later(turn, now.Add(1)) // A turn that could not be taken is not now, whatever a float says.
	if due {
		wake = l.decided(now, w.cost)
	}
	l.wake = l.sooner(now, wake)
	ripe := (w.ripe || due && full < len(l.meters)) && !gated && !l.distant(now, w.cost)
	if ripe != w.ripe {
		w.ripe, d.inVain = ripe, 0
	}
	for i, m := range l.meters {
		kept := d.keptAt(m)
		if w.ripe && i < full && !kept.slot {
			kept.slot = true
		}
		if (!w.ripe || full == len(l.meters)) && !kept.rate {
			kept.rate, kept.turn, kept.first, kept.cost = true, turn, w.first, w.cost
		}
		m.kept = kept
	}
}

// distant reports whether a bucket lets a call go only when a slot that others take now
// has long come back.
func (l *lane) distant(now time.Time, cost int) bool {
	var held time.Duration
	for _, m := range l.meters {
		held = max(held, m.held)
	}
	return slices.ContainsFunc(l.meters, func(m *meter) bool {
		return m.learned != nil && !m.due(now, cost) && m.turnOf(now, 0, cost).Sub(now) > held
	})
}

// decided is when the buckets that wait for answers let a call go even if none comes;
// now, if it is for an answer alone, or for a slot.
func (l *lane) decided(now time.Time, cost int) time.Time {
	decided := now
	for _, m := range l.meters {
		if m.undecided(now, cost) {
			decided = later(decided, m.learned.Decided(now, cost))
		}
	}
	return decided
}

// sooner is wake, or when a bucket is forgotten before that, since others may go
// before the head then; zero, if neither lies ahead.
func (l *lane) sooner(now, wake time.Time) time.Time {
	if !wake.After(now) {
		return time.Time{}
	}
	for _, m := range l.meters {
		if m.learned != nil && m.learned.Known(now) && m.learned.Until().Before(wake) {
			wake = m.learned.Until()
		}
	}
	return wake
}

// turnAt is when rate and gate of m let a head go: after the one for whom something is
// kept there, if it would make that one later.
func (d *dispatcher) turnAt(m *meter, now time.Time, cost int) time.Time {
	kept := d.keptAt(m)
	if kept.allows(m, now, cost) {
		return m.turnOf(now, 0, cost)
	}
	if now.Before(kept.turn) {
		now = kept.turn
	}
	return m.turnOf(now, kept.cost, cost)
}
