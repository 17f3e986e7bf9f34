package limit

import "time"

// What follows looks ahead: when a turn will come, and who need not wait for
// it. All of it is called with the lock held. It counts those in line as they
// stand now; who comes later, or moves up, can make a turn later, and then those
// whom it makes too late are refused at that time.

// turnOf is when a call may go that costs so much and has others ahead of it that
// cost ahead together, as far as rate and gate tell. Slots can only make it later.
func (d *dispatcher) turnOf(now time.Time, ahead, cost int) time.Time {
	if now.Before(d.gate.until) {
		now = d.gate.until
	}
	return d.shape.turn(now, ahead, cost)
}

// turnAt is when w may go if it stands at p. Where calls of higher priority keep it
// waiting, that is when it has moved up to the highest.
func (d *dispatcher) turnAt(now time.Time, w *waiter, p place) time.Time {
	turn := d.turnOf(now, d.line.ahead(p).cost, w.cost)
	if p.priority < High {
		if risen := d.turnOnTop(now, w, p); risen.Before(turn) {
			return risen
		}
	}
	return turn
}

// turnOnTop is when w may go after it has moved up from p to the highest class:
// others go until then, and those who are left take turns with it.
func (d *dispatcher) turnOnTop(now time.Time, w *waiter, p place) time.Time {
	turnOf := func(ahead, cost int) time.Time { return d.turnOf(now, ahead, cost) }
	up := w.arrived.Add(time.Duration(High-w.claim.Priority) * d.step())
	turn := turnOf(d.line.order.until(up, turnOf)+d.line.aheadOnTop(w, p).cost, w.cost)
	if turn.Before(up) {
		return up
	}
	return turn
}

// wait estimates how long w will wait at p. The wait for a slot is reckoned with
// the time that calls held theirs so far (J. Little's law); before the first has
// ended, as nothing.
func (d *dispatcher) wait(now time.Time, w *waiter, p place) time.Duration {
	wait := d.turnAt(now, w, p).Sub(now)
	if slots := d.settings.Concurrency; slots > 0 {
		if needed := d.line.ahead(p).calls + 1 - (slots - d.active); needed > 0 {
			wait = max(wait, nanoseconds(float64(d.held)*float64(needed)/float64(slots)))
		}
	}
	return wait
}

// refusal says why w shall not wait at p, or nil.
func (d *dispatcher) refusal(now time.Time, w *waiter, p place) *RefusedError {
	until := d.gate.until
	switch {
	case now.Before(until) && until.After(w.latest):
		return d.refused(QuotaExhausted, until.Sub(now))
	case d.turnAt(now, w, p).After(w.latest):
		return d.refused(QueueTimeout, d.wait(now, w, p))
	}
	w.rises = d.turnOf(now, d.line.ahead(p).cost, w.cost).After(w.latest)
	return nil
}

func (d *dispatcher) refused(reason string, after time.Duration) *RefusedError {
	return &RefusedError{Reason: reason, Key: d.key, RetryAfter: after}
}

// foresee says why w, which is about to wait for another of its quotas, shall not
// wait at all: the turn here would come too late. One that could go now does not
// wait here, however short the time is for which it may.
func (d *dispatcher) foresee(w *waiter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	p := d.placeOf(w, now)
	if !d.turnAt(now, w, p).After(now) {
		return nil
	}
	w.judge(d.settings.MaxWait)
	if err := d.refusal(now, w, p); err != nil {
		return err
	}
	return nil
}

// review refuses those in line whose turns have moved too far.
func (d *dispatcher) review(now time.Time) {
	turnOf := func(ahead, cost int) time.Time { return d.turnOf(now, ahead, cost) }
	for _, w := range d.line.order.late(turnOf) {
		if err := d.refusal(now, w, w.place); err != nil {
			d.refuse(w, err)
		}
	}
}

// forecast is how long a call would wait that comes now, and who waits already,
// with its own locking.
func (d *dispatcher) forecast(claim Claim, cost int) (time.Duration, Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.estimate(time.Now(), claim, cost), d.line.byClass()
}

func (d *dispatcher) estimate(now time.Time, claim Claim, cost int) time.Duration {
	w := newWaiter(now, claim, cost)
	return d.wait(now, w, d.placeOf(w, now))
}

// state is a copy of what can be told, with its own locking.
func (d *dispatcher) state(now time.Time) State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{Key: d.key, Active: d.active, Waiting: d.line.len(), Wait: d.estimate(now, Claim{}, 1)}
	s.Line = d.line.byClass()
	if d.settings.Count > 0 {
		s.Tokens, s.Room = max(d.shape.left(now), 0), d.shape.room()
	}
	if now.Before(d.gate.until) {
		s.Gate = d.gate.until
	}
	return s
}
