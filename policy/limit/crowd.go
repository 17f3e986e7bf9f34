package limit

import "time"

// crowded makes room for w where too many wait. Those stay who go first, whenever they
// came: so a batch that fills a line keeps nobody else out of it. The error says that
// it is w who has to go: then nobody else has gone for it. A meter at which nobody may
// wait does not count those who wait for another.
func (d *dispatcher) crowded(w *waiter, now time.Time) error {
	type excess struct {
		m    *meter
		last *waiter
	}
	var tooMany []excess
	for _, m := range w.lane.meters {
		if m.settings.MaxWait == 0 || m.waiting.calls <= m.settings.MaxQueue {
			continue
		}
		last := d.lastAt(m)
		if last == w {
			err := m.refused(QueueFull, w.lane.wait(now, w, w.place))
			w.lane.line.remove(w)
			d.changed(w.lane, now)
			return err
		}
		tooMany = append(tooMany, excess{m, last})
	}
	for _, e := range tooMany {
		if e.last.queued { // It may be the last at several meters.
			d.refuse(now, e.last, e.m.refused(QueueFull, e.last.lane.wait(now, e.last, e.last.place)))
		}
	}
	return nil
}

// lastAt is who goes last of those who wait at m. Of lanes that take turns it is the
// one with most before it.
func (d *dispatcher) lastAt(m *meter) *waiter {
	var last *waiter
	later := func(w, than *waiter) bool {
		if w.priority != than.priority {
			return w.priority < than.priority
		}
		k := w.priority.index()
		own, other := w.lane.line.classes[k].waiting.cost, than.lane.line.classes[k].waiting.cost
		return own > other || own == other && w.arrived.After(than.arrived)
	}
	for _, l := range d.backlog {
		if w := l.line.last(); l.has(m) && (last == nil || later(w, last)) {
			last = w
		}
	}
	return last
}
