package limit

import "slices"

// A tag is the place of a lane among those in which somebody waits: by the priority of
// its head, and within one by self-clocked fair queueing, as the callers of a class
// have it. A lane begins its turn where the one before it ends, but not before the
// clock, when it gets a head in the class: so one that was stopped has no claim for
// the past.
type tag struct {
	pending  bool // the lane has a head, for which the rest is
	priority Priority
	begin    int64
	end      int64
	since    uint64 // counts the heads of all lanes
}

// before reports whether a goes before b.
func (a tag) before(b tag) bool {
	switch {
	case a.priority != b.priority:
		return a.priority > b.priority
	case a.end != b.end:
		return a.end < b.end
	}
	return a.since < b.since
}

// enqueue gives a lane its place in the backlog, after its line has changed.
func (d *dispatcher) enqueue(l *lane) {
	w := l.line.first()
	next := l.tag
	switch {
	case w == nil:
		next = tag{}
	case !next.pending || next.priority != w.priority:
		d.heads++
		k := w.priority.index()
		next = tag{pending: true, priority: w.priority, begin: max(l.due[k], d.clock[k]), since: d.heads}
	}
	if w != nil {
		next.end = next.begin + int64(w.cost)
	}
	if next == l.tag {
		return
	}
	if l.tag.pending {
		i := d.indexOf(l.tag)
		d.backlog = slices.Delete(d.backlog, i, i+1)
	}
	l.tag = next
	if next.pending {
		d.backlog = slices.Insert(d.backlog, d.indexOf(next), l)
	}
}

// indexOf is where the lane of a tag stands in the backlog, or belongs.
func (d *dispatcher) indexOf(t tag) int {
	i, _ := slices.BinarySearchFunc(d.backlog, t, func(l *lane, t tag) int {
		switch {
		case l.tag.before(t):
			return -1
		case l.tag == t:
			return 0
		}
		return 1
	})
	return i
}

// served notes that the head of a lane goes: the lane's turn is over.
func (d *dispatcher) served(l *lane) {
	k := l.tag.priority.index()
	l.due[k] = l.tag.end
	d.clock[k] = max(d.clock[k], l.tag.end)
	if i := d.indexOf(l.tag); l.tag.pending {
		d.backlog = slices.Delete(d.backlog, i, i+1)
	}
	l.tag = tag{}
}
