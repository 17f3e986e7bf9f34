package limit

import (
	"net/http"
	"slices"
	"time"
)

// laneOf is that of a call with these stations.
func (d *dispatcher) laneOf(now time.Time, stations []station, req *http.Request) *lane {
	l := d.usualLane(now, stations)
	if l.base == nil || len(l.base.learner.special) == 0 { // mostly
		return l
	}
	return d.lane(now, stations, routeOf(req))
}

// A visit is the lane of the calls with some stations.
type visit struct {
	stations [few]station
	count    int   // of them
	lane     *lane // nil: there is none
}

// usualLane is that of the calls with these stations, but for those of routes that have
// their own. Most often it is that of the call before.
func (d *dispatcher) usualLane(now time.Time, stations []station) *lane {
	if last := &d.last; last.lane != nil && slices.Equal(last.stations[:last.count], stations) {
		return last.lane
	}
	return d.lookUp(now, stations)
}

// lookUp is usualLane for calls that are not like the one before.
func (d *dispatcher) lookUp(now time.Time, stations []station) *lane {
	key := keyOf(stations)
	l := d.lanes[key]
	if l == nil {
		l = d.addLane(now, stations, key)
	}
	if len(stations) <= few {
		d.last = visit{count: len(stations), lane: l}
		copy(d.last.stations[:], stations)
	}
	return l
}

// lane is that of the calls with these stations, which take a route.
func (d *dispatcher) lane(now time.Time, stations []station, r route) *lane {
	l := d.usualLane(now, stations)
	if l.base == nil || l.base.learner.special[r] == nil {
		return l
	}
	key := keyOf(stations)
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
	d.last = visit{}
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
