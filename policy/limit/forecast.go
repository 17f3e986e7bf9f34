package limit

import "time"

// What follows looks ahead: when a turn will come, and who need not wait for
// it. All of it is called with the lock held.

// turnOf is when the call that has so many ahead of it in line may go, as far
// as rate and gate tell. Slots can only make it later.
func (d *dispatcher) turnOf(now time.Time, ahead int) time.Time {
	if now.Before(d.gate.until) {
		now = d.gate.until
	}
	return d.shape.turn(now, ahead)
}

// wait estimates how long that call will wait. The wait for a slot is reckoned
// with the time that calls held theirs so far (J. Little's law); before the
// first has ended, as nothing.
func (d *dispatcher) wait(now time.Time, ahead int) time.Duration {
	wait := d.turnOf(now, ahead).Sub(now)
	if slots := d.settings.Concurrency; slots > 0 {
		if needed := ahead + 1 - (slots - d.active); needed > 0 {
			wait = max(wait, nanoseconds(float64(d.held)*float64(needed)/float64(slots)))
		}
	}
	return wait
}

// refusal says why w shall not wait behind so many, or nil.
func (d *dispatcher) refusal(w *waiter, now time.Time, ahead int) *RefusedError {
	until, maxWait := d.gate.until, d.settings.MaxWait
	switch {
	case now.Before(until) && w.tooLate(until, maxWait):
		return d.refused(QuotaExhausted, until.Sub(now))
	case w.tooLate(d.turnOf(now, ahead), maxWait):
		return d.refused(QueueTimeout, d.wait(now, ahead))
	}
	return nil
}

func (d *dispatcher) refused(reason string, after time.Duration) *RefusedError {
	return &RefusedError{Reason: reason, Key: d.key, RetryAfter: after}
}

// review looks at everyone in line again, after their turns have moved.
func (d *dispatcher) review(now time.Time) {
	gated, ahead := now.Before(d.gate.until), 0
	for w := d.line.head; w != nil; {
		next := w.next
		if err := d.refusal(w, now, ahead); err != nil {
			d.refuse(w, err)
		} else {
			ahead++
			if gated {
				w.reason = waitGate
			}
		}
		w = next
	}
}

// state is a copy of what can be told, with its own locking.
func (d *dispatcher) state(now time.Time) State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{Key: d.key, Active: d.active, Waiting: d.line.len, Wait: d.wait(now, d.line.len)}
	if d.settings.Count > 0 {
		s.Tokens, s.Room = max(d.shape.left(now), 0), d.shape.room()
	}
	if now.Before(d.gate.until) {
		s.Gate = d.gate.until
	}
	return s
}
