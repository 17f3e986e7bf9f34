package limit

import (
	"slices"
	"time"
)

// reset puts other tables in force, for the calls in line too.
func (d *dispatcher) reset(q *Quotas) {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	d.tables = q
	for _, l := range d.backlog {
		l.uncount()
	}
	for at, m := range d.meters {
		table := q.table(at.table)
		if table == nil || m.learned != nil && !table.Settings.Learn {
			delete(d.meters, at)
			continue
		}
		m.reset(&table.Settings, now)
	}
	d.relane(now)
	for _, l := range slices.Clone(d.backlog) {
		l.line.order.judge(l.maxWait)
		d.changed(l, now)
	}
	d.review(now)
	d.advance(now)
}

// relane has each lane pass the meters that are left. Those that pass the same now
// become one.
func (d *dispatcher) relane(now time.Time) {
	lanes := d.lanes
	d.last = visit{}
	d.lanes = make(map[laneKey]*lane, len(lanes))
	became := make(map[*lane]*lane, len(lanes))
	for key, l := range lanes {
		if became[l] == nil {
			became[l] = d.left(l, now)
		}
		d.lanes[key] = became[l]
	}
}

// left is the lane that l is with the meters that are left.
func (d *dispatcher) left(l *lane, now time.Time) *lane {
	dropped := func(m *meter) bool { return d.meters[m.station] != m }
	fixed := slices.DeleteFunc(l.fixed(), dropped)
	if base := learning(fixed); base != l.base {
		var buckets []*meter
		l.own = nil // It was one of the old base.
		if l.base = base; base != nil {
			buckets = base.learner.usual
		}
		d.reroute(l, buckets, now)
	}
	l.meters = slices.Concat(fixed, l.bucketMeters())
	l.maxWait = patience(l.meters)
	name := l.name()
	other := d.lanes[name]
	if other == nil {
		d.lanes[name] = l
		return l
	}
	if other != l {
		other.join(slices.Collect(l.line.order.all()), now)
		d.changed(l, now)
		d.changed(other, now)
	}
	return other
}

// join takes over waiters of other lanes, as they came.
func (l *lane) join(calls []*waiter, now time.Time) {
	slices.SortStableFunc(calls, func(a, b *waiter) int { return a.arrived.Compare(b.arrived) })
	for _, w := range calls {
		w.lane.line.remove(w)
		w.place, w.lane = place{arrived: w.arrived}, l
		w.first, w.ripe = time.Time{}, false
		w.judge(l.maxWait)
		l.line.push(w, now, l.step())
	}
}

// takeOver has the quotas of another scope, and all who wait there, go on here. Nothing
// else locks two dispatchers.
func (d *dispatcher) takeOver(other *dispatcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	now := d.now()
	for _, l := range other.backlog {
		l.uncount()
	}
	for at, m := range other.meters {
		m.kept = reservation{}
		if m.learned != nil || d.meters[at] != nil {
			continue
		}
		d.meters[at] = m
		for _, bucket := range m.learner.buckets {
			d.meters[bucket.station] = bucket
		}
	}
	for _, l := range other.backlog {
		for _, w := range slices.Collect(l.line.order.all()) {
			to := d.lane(now, l.stations(), w.route)
			to.join([]*waiter{w}, now)
			d.changed(to, now)
		}
	}
	if other.timer != nil {
		other.timer.Stop()
	}
	other.meters, other.lanes, other.backlog, other.into = nil, nil, nil, d
	d.review(now)
	d.advance(now)
}
