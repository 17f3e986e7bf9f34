package limit

import (
	"slices"
	"time"
)

// wait estimates how long w will wait at p.
func (l *lane) wait(now time.Time, w *waiter, p place) time.Duration {
	o := l.outlook(now, w.cost)
	turn, _ := o.turnAt(w, p)
	wait := turn.Sub(now)
	for _, m := range l.meters {
		wait = max(wait, o.slotWait(m, p))
	}
	return wait
}

// waitAt is wait for one of the meters, as if the others let everybody go.
func (l *lane) waitAt(m *meter, now time.Time, w *waiter, p place) time.Duration {
	o := l.outlook(now, w.cost)
	o.last, o.others = now, now
	turn := o.at(m, p.priority, l.line.ahead(p), w.cost)
	if p.priority < High {
		if risen, _ := o.turnOnTop(w, p); risen.Before(turn) {
			turn = risen
		}
	}
	return max(turn.Sub(now), o.slotWait(m, p))
}

func (o *outlook) slotWait(m *meter, p place) time.Duration {
	ahead := o.lane.line.ahead(p)
	return m.slotWait(ahead.plus(o.before(m, p.priority, ahead)).calls)
}

// refusal says why w shall not wait at p, or nil.
func (l *lane) refusal(now time.Time, w *waiter, p place) *RefusedError {
	if len(l.meters) == 0 { // A reload has dropped them, and there is nothing to wait for.
		return nil
	}
	if m := l.closed(); now.Before(m.gate.until) && m.gate.until.After(w.latest) {
		return m.refused(QuotaExhausted, m.gate.until.Sub(now))
	}
	o := l.outlook(now, w.cost)
	if turn, last := o.turnAt(w, p); turn.After(w.latest) {
		return last.refused(last.tooLate(), l.wait(now, w, p))
	}
	turn, _ := o.turnIn(p.priority, l.line.ahead(p), w.cost)
	w.rises = turn.After(w.latest)
	return nil
}

// closed is the meter whose gate opens last.
func (l *lane) closed() *meter {
	var closed *meter
	for _, m := range l.meters {
		if closed == nil || m.gate.until.After(closed.gate.until) {
			closed = m
		}
	}
	return closed
}

// refused is the refusal of w, which stands at p, by the meter that would let it go last.
func (l *lane) refused(reason string, now time.Time, w *waiter, p place) *RefusedError {
	o := l.outlook(now, w.cost)
	turn, last := o.turnAt(w, p)
	if !turn.After(now) {
		last = l.obstacle(now, w.cost)
	}
	return last.refused(reason, l.wait(now, w, p))
}

// tooLate is why a call is refused that m would let go too late.
func (m *meter) tooLate() string {
	if m.learned != nil {
		return QuotaExhausted // The provider said when something is there again.
	}
	return QueueTimeout
}

func (m *meter) refused(reason string, after time.Duration) *RefusedError {
	return &RefusedError{Reason: reason, Key: m.key, RetryAfter: after}
}

// unwilling says which meter nobody may wait at and does not let w go now; nil: none.
func (l *lane) unwilling(now time.Time, w *waiter, p place) *RefusedError {
	for _, m := range l.meters {
		if m.settings.MaxWait == 0 && !m.open(now, w.cost) {
			return m.refused(QueueTimeout, l.wait(now, w, p))
		}
	}
	return nil
}

// worthWaiting reports whether a meter at which calls may wait keeps the next from going.
func (l *lane) worthWaiting(now time.Time, cost int) bool {
	return slices.ContainsFunc(l.meters, func(m *meter) bool { return m.settings.MaxWait > 0 && !m.open(now, cost) })
}

// late are those in line whose turns have moved too far.
func (l *lane) late(now time.Time) []*waiter {
	o := l.outlook(now, 1)
	return l.line.order.late(o.turnOf)
}
