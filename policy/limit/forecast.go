package limit

import (
	"slices"
	"time"
)

// What follows looks ahead: when a turn will come, and who need not wait for
// it. All of it is called with the lock held. It counts those in line as they
// stand now; who comes later, or moves up, can make a turn later, and then those
// whom it makes too late are refused at that time.
//
// Of those in other lanes it counts, at each meter, the ones who wait for that meter
// most: all of higher classes, and of the own class as much as the lane has there
// itself, since they take turns. Those whom another of their meters holds up spend
// too little here to be reckoned with.

// An outlook is what a lane can expect of its meters.
type outlook struct {
	lane    *lane
	now     time.Time
	slowest *meter           // which lets the first of the lane go last
	last    time.Time        // when it does
	others  time.Time        // when all the others have let it go
	starts  [priorities]load // what is before each class
}

// outlook is that of a lane. cost is what its first call costs, if nobody waits yet.
func (l *lane) outlook(now time.Time, cost int) outlook {
	o := outlook{lane: l, now: now, last: now, others: now}
	if w := l.line.first(); w != nil {
		cost = w.cost
	}
	for _, m := range l.meters {
		at := now
		if len(l.meters) > 1 {
			at = m.turnOf(now, 0, cost)
		}
		switch {
		case o.slowest == nil || at.After(o.last):
			o.others = later(o.others, o.last)
			o.slowest, o.last = m, at
		default:
			o.others = later(o.others, at)
		}
	}
	for p := Low; p <= High; p++ {
		o.starts[p.index()] = l.line.ahead(startOf(p))
	}
	return o
}

// at is when m lets a call go that costs so much, in a class, with so much ahead of it
// in its lane. Until the others let the first of the lane go, m saves up.
func (o *outlook) at(m *meter, p Priority, ahead load, cost int) time.Time {
	from := o.last
	if m == o.slowest {
		from = o.others
	}
	return m.turnOf(from, ahead.plus(o.before(m, p, ahead)).cost, cost)
}

// before is what those in other lanes have at m that goes before such a call.
func (o *outlook) before(m *meter, p Priority, ahead load) (sum load) {
	own, lanes := &o.lane.counted, m.lanes
	if own.at == m {
		lanes--
	} else {
		own = &counted{}
	}
	if lanes == 0 {
		return load{}
	}
	for k := p + 1; k <= High; k++ {
		sum = sum.plus(m.queued[k.index()]).minus(own.byClass[k.index()])
	}
	same := m.queued[p.index()].minus(own.byClass[p.index()])
	turns := ahead.minus(o.starts[p.index()])
	return sum.plus(load{min(same.calls, lanes*turns.calls), min(same.cost, lanes*turns.cost)})
}

// turnIn is when all meters let such a call go, and which is the last.
func (o *outlook) turnIn(p Priority, ahead load, cost int) (turn time.Time, last *meter) {
	turn = o.now
	for _, m := range o.lane.meters {
		// The others save up until the slowest lets the first go: it is the cause.
		if at := o.at(m, p, ahead, cost); last == nil || at.After(turn) || m == o.slowest && at.Equal(turn) {
			turn, last = at, m
		}
	}
	return turn, last
}

// turnOf is turnIn for one in line that has so much ahead of it there.
func (o *outlook) turnOf(ahead, cost int) time.Time {
	p := High
	for p > Low && o.starts[(p-1).index()].cost <= ahead {
		p--
	}
	turn, _ := o.turnIn(p, load{cost: ahead}, cost)
	return turn
}

// turnAt is when w may go if it stands at p, and which meter lets it go last. Where
// calls of higher priority keep it waiting, that is when it has moved up to the highest.
func (o *outlook) turnAt(w *waiter, p place) (turn time.Time, last *meter) {
	turn, last = o.turnIn(p.priority, o.lane.line.ahead(p), w.cost)
	if p.priority < High {
		if risen, at := o.turnOnTop(w, p); risen.Before(turn) {
			return risen, at
		}
	}
	return turn, last
}

// turnOnTop is when w may go after it has moved up from p to the highest class:
// others go until then, and those who are left take turns with it.
func (o *outlook) turnOnTop(w *waiter, p place) (turn time.Time, last *meter) {
	line := &o.lane.line
	up := w.arrived.Add(time.Duration(High-w.claim.Priority) * o.lane.step())
	ahead := line.aheadOnTop(w, p)
	ahead.cost += line.order.until(up, o.turnOf)
	turn, last = o.turnIn(High, ahead, w.cost)
	return later(turn, up), last
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

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
	for _, m := range l.meters {
		if until := m.gate.until; now.Before(until) && until.After(w.latest) {
			return m.refused(QuotaExhausted, until.Sub(now))
		}
	}
	o := l.outlook(now, w.cost)
	if turn, last := o.turnAt(w, p); turn.After(w.latest) {
		return last.refused(QueueTimeout, l.wait(now, w, p))
	}
	turn, _ := o.turnIn(p.priority, l.line.ahead(p), w.cost)
	w.rises = turn.After(w.latest)
	return nil
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

// forecast fills in what a call with these stations would meet, and gives how long it
// would wait for all of them, with its own locking. Meters that are not there are as
// they begin.
func (d *dispatcher) forecast(stops []Prospect, stations []station, claim Claim, cost int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	l := d.lanes[keyOf(stations)]
	if l == nil {
		l = d.like(d.metersOf(stations, false))
	}
	w := newWaiter(now, claim, cost)
	p := l.placeOf(w, now)
	for i, s := range stations {
		if m := d.meters[s]; m != nil && l.has(m) {
			stops[i].Wait, stops[i].Line = l.waitAt(m, now, w, p), m.byClass()
		}
	}
	return l.wait(now, w, p)
}

// like is the lane that passes these meters, or a new one that is used once.
func (d *dispatcher) like(meters []*meter) *lane {
	if l := d.lanes[d.name(meters)]; l != nil {
		return l
	}
	return &lane{meters: meters, maxWait: patience(meters)}
}

// appendStates adds copies of what can be told, with its own locking.
func (d *dispatcher) appendStates(states []State, now time.Time) []State {
	d.mu.Lock()
	defer d.mu.Unlock()
	waits := make(map[*meter]time.Duration) // of those who wait for it, and come now
	estimate := func(l *lane) time.Duration {
		w := newWaiter(now, Claim{}, 1)
		return l.wait(now, w, l.placeOf(w, now))
	}
	for _, l := range d.backlog {
		if at := l.counted.at; at != nil {
			waits[at] = max(waits[at], estimate(l))
		}
	}
	for _, m := range d.meters {
		s := State{Table: m.name, Key: m.key, Active: m.active, Line: m.byClass()}
		s.Waiting = s.Line.High + s.Line.Normal + s.Line.Low
		wait, awaited := waits[m]
		if !awaited {
			wait = estimate(d.like([]*meter{m}))
		}
		s.Wait = wait
		if m.settings.Count > 0 {
			s.Tokens, s.Room = max(m.shape.left(now), 0), m.shape.room()
		}
		if now.Before(m.gate.until) {
			s.Gate = m.gate.until
		}
		states = append(states, s)
	}
	return states
}
