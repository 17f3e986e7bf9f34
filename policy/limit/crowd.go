package limit

import "time"

// crowded makes room for w where too many wait. Those stay who go first, whenever they
// came: so a batch that fills a line keeps nobody else out of it. The error says that
// it is w who has to go. A meter at which nobody may wait does not count those who
// wait for another.
func (d *dispatcher) crowded(w *waiter, now time.Time) error {
	for _, m := range w.lane.meters {
		if m.settings.MaxWait == 0 || m.waiting.calls <= m.settings.MaxQueue {
			continue
		}
		last := d.lastAt(m)
		err := m.refused(QueueFull, last.lane.wait(now, last, last.place))
		if last == w {
			w.lane.line.remove(w)
			d.changed(w.lane, now)
			return err
		}
		d.refuse(now, last, err)
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
