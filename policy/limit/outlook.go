package limit

import "time"

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
