package limit

import (
	"slices"
	"time"
)

// lane is that of the calls with these stations, which take a route.
func (d *dispatcher) lane(now time.Time, stations []station, r route) *lane {
	key := keyOf(stations)
	l := d.lanes[key]
	if l == nil {
		l = d.addLane(now, stations, key)
	}
	if l.base == nil || l.base.learner.special[r] == nil {
		return l
	}
	key.own = l.base.learner.special[r]
	if own := d.lanes[key]; own != nil {
		return own
	}
	return d.addLane(now, stations, key)
}

// addLane gives a key a lane, which may be there under another.
func (d *dispatcher) addLane(now time.Time, stations []station, key laneKey) *lane {
	if max(len(d.lanes), len(d.meters)) >= d.sweepAt {
		d.sweep(now)
	}
	l := newLane(d.metersOf(now, stations, true), key.own)
	name := l.name()
	if known := d.lanes[name]; known != nil {
		l = known
	} else if l.base != nil {
		d.reroute(l, l.base.learner.of(l.own), now)
	}
	d.lanes[name] = l
	d.lanes[key] = l
	return l
}

// metersOf are the meters of stations, each once; those that are not there begin now,
// or are left out.
func (d *dispatcher) metersOf(now time.Time, stations []station, begin bool) []*meter {
	var meters []*meter
	for _, s := range stations {
		m := d.meters[s]
		if m == nil && begin {
			table := d.tables.table(s.table)
			if table == nil {
				continue // a reload has dropped it
			}
			m = newMeter(s, table)
			d.meters[s] = m
			d.restore(m, now)
		}
		if m != nil && !slices.Contains(meters, m) {
			meters = append(meters, m)
		}
	}
	return meters
}

// sweep drops the lanes in which nobody waits, and the meters that are idle.
func (d *dispatcher) sweep(now time.Time) {
	for key, l := range d.lanes {
		if l.line.len() == 0 && l.flying == 0 {
			delete(d.lanes, key)
		}
	}
	for s, m := range d.meters {
		if m.learned == nil && m.idle(now) {
			delete(d.meters, s)
			for _, bucket := range m.learner.buckets { // They go with their base.
				delete(d.meters, bucket.station)
			}
		}
	}
	d.sweepAt = max(maxKeys, 2*max(len(d.lanes), len(d.meters)))
}
