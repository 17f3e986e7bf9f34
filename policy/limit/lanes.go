package limit

import (
	"slices"
	"time"
)

// lane is that of the calls with these stations.
func (d *dispatcher) lane(now time.Time, stations []station) *lane {
	key := keyOf(stations)
	if l := d.lanes[key]; l != nil {
		return l
	}
	if max(len(d.lanes), len(d.meters)) >= d.sweepAt {
		d.sweep(now)
	}
	l := newLane(d.metersOf(stations, true))
	name := canonical(l.stations())
	if known := d.lanes[name]; known != nil {
		l = known
	}
	d.lanes[name] = l
	d.lanes[key] = l
	return l
}

// metersOf are the meters of stations, each once; those that are not there begin now,
// or are left out.
func (d *dispatcher) metersOf(stations []station, begin bool) []*meter {
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
		if l.line.len() == 0 {
			delete(d.lanes, key)
		}
	}
	for s, m := range d.meters {
		if m.idle(now) {
			delete(d.meters, s)
		}
	}
	d.sweepAt = max(maxKeys, 2*max(len(d.lanes), len(d.meters)))
}
