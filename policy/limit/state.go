package limit

import (
	"slices"
	"time"
)

// forecast fills in what a call with these stations would meet, adds the buckets, and
// gives how long it would wait for all of them, with its own locking. Meters that are
// not there are as they begin; those that were kept before a restart begin now.
func (d *dispatcher) forecast(stops []Prospect, stations []station, r route, claim Claim, cost int) ([]Prospect, time.Duration) {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	l := d.laneLike(now, stations, r)
	w := newWaiter(now, claim, cost)
	p := l.placeOf(w, now)
	for i, s := range stations {
		if m := d.meters[s]; m != nil && l.has(m) {
			stops[i] = l.prospect(m, now, w, p)
		}
	}
	for _, b := range l.buckets {
		if b.knows(now) {
			stops = append(stops, l.prospect(b.meter, now, w, p))
		}
	}
	return stops, l.wait(now, w, p)
}

// refuses reports whether w would be refused if it joined after a while, as things stand
// now, with its own locking.
func (d *dispatcher) refuses(w *waiter, stations []station, after time.Duration) bool {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	l := d.laneLike(now, stations, w.route)
	w.judge(after + l.maxWait)
	return l.refusal(now, w, l.placeOf(w, now)) != nil
}

// laneLike is the lane of the calls with these stations that take a route. Where there is
// none, it is one that is used once.
func (d *dispatcher) laneLike(now time.Time, stations []station, r route) *lane {
	if d.lanes[keyOf(stations)] != nil || !d.retired && d.tables.holds(stations) {
		return d.lane(now, stations, r)
	}
	return d.like(d.metersOf(now, stations, false), r)
}

// prospect is what w would meet at one of the meters of the lane.
func (l *lane) prospect(m *meter, now time.Time, w *waiter, p place) Prospect {
	stop := Prospect{State: m.state(now)}
	stop.Wait = l.waitAt(m, now, w, p)
	if stop.Wait > 0 || !m.open(now, w.cost) {
		stop.Why = m.obstacle(now)
	}
	return stop
}

// like is the lane of the calls that pass these meters and take a route, or a new one
// that is used once.
func (d *dispatcher) like(meters []*meter, r route) *lane {
	l := newLane(meters, nil)
	if l.base != nil {
		l.own = l.base.learner.special[r]
	}
	if known := d.lanes[l.name()]; known != nil && !slices.ContainsFunc(meters, func(m *meter) bool { return !known.has(m) }) {
		return known
	}
	if l.base != nil {
		for _, m := range l.base.learner.of(l.own) {
			l.buckets = append(l.buckets, bucketed{meter: m})
		}
		l.meters = slices.Concat(meters, l.bucketMeters())
	}
	return l
}

// appendStates adds copies of what can be told, with its own locking.
func (d *dispatcher) appendStates(states []State, now time.Time) []State {
	d = d.lock()
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
		s := m.state(now)
		wait, awaited := waits[m]
		if !awaited {
			wait = estimate(d.like([]*meter{m}, route{}))
		}
		s.Wait = wait
		states = append(states, s)
	}
	return states
}

// state is what can be told of a meter by itself: all but how long a call would wait.
func (m *meter) state(now time.Time) State {
	s := State{Table: m.name, Key: m.key, Active: m.active, Line: m.byClass(), Adapted: m.adaptive.Rate()}
	if m.learned != nil {
		s.Bucket, s.Learned, s.Slots = m.bucket, m.known(now), m.slots
	}
	s.Waiting = s.Line.High + s.Line.Normal + s.Line.Low
	if m.settings.Count > 0 {
		s.Tokens, s.Room = max(m.shape.Left(now), 0), m.shape.Room()
	}
	if now.Before(m.gate.until) {
		s.Gate = m.gate.until
	}
	return s
}
