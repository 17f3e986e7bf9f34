package limit

import (
	"slices"
	"time"
)

// advance lets everyone go whose turn it is, refuses those who cannot have theirs
// in time any more, and sets the timer for the next.
func (d *dispatcher) advance(now time.Time) {
	var aged []*lane
	for _, l := range d.backlog {
		if l.line.age(now, l.step()) {
			aged = append(aged, l)
		}
	}
	for _, l := range aged {
		d.inVain = 0
		d.changed(l, now)
		d.disturbed = d.disturbed || l.shared()
	}
	for d.admit(now); d.expire(now) || d.reviewed(now); d.admit(now) {
	}
	d.setTimer(now)
}

// catchUp is advance where the timer is late.
func (d *dispatcher) catchUp(now time.Time) {
	if len(d.backlog) > 0 && !now.Before(d.next) {
		d.advance(now)
	}
}

// changed notes that the line of l has.
func (d *dispatcher) changed(l *lane, now time.Time) {
	d.enqueue(l)
	l.count(now)
	d.disturbed = d.disturbed || l.line.disturbed
	l.line.disturbed = false
}

// reviewed looks at everyone again if somebody has got a place before others, and
// reports whether it did.
func (d *dispatcher) reviewed(now time.Time) bool {
	if !d.disturbed {
		return false
	}
	d.disturbed = false
	d.review(now)
	return true
}

// review refuses those in line whose turns have moved too far.
func (d *dispatcher) review(now time.Time) {
	for _, l := range slices.Clone(d.backlog) {
		for _, w := range l.late(now) {
			if err := l.refusal(now, w, w.place); err != nil {
				d.refuse(now, w, err)
			}
		}
	}
}

// expire refuses one who has waited for too long, or who has come to a meter at which
// nobody may wait, and reports whether there was one.
func (d *dispatcher) expire(now time.Time) bool {
	for _, l := range d.backlog {
		if w := l.line.oldest(); now.Sub(w.arrived) >= l.maxWait {
			d.refuse(now, w, l.refused(QueueTimeout, now, w, w.place))
			return true
		}
		w := l.line.first()
		if err := l.unwilling(now, w, w.place); err != nil && !l.worthWaiting(now, w.cost) {
			d.refuse(now, w, err)
			return true
		}
	}
	return false
}

// setTimer sets the timer for the turn of the first head, if that can be known, for the
// end of somebody's patience, or for when somebody moves up.
func (d *dispatcher) setTimer(now time.Time) {
	d.next = time.Time{}
	sooner := func(at time.Time) {
		if d.next.IsZero() || at.Before(d.next) {
			d.next = at
		}
	}
	for _, l := range d.backlog {
		sooner(l.line.oldest().arrived.Add(l.maxWait))
		if !l.wake.IsZero() {
			sooner(later(l.wake, now.Add(d.pause())))
		}
		if at, ok := l.line.nextAge(l.step()); ok {
			sooner(at)
		}
	}
	switch delay := max(d.next.Sub(now), 1); { // A turn that could not be taken is not now, whatever a float says.
	case len(d.backlog) > 0 && d.timer == nil:
		d.timer = time.AfterFunc(delay, d.tick)
	case len(d.backlog) > 0:
		d.timer.Reset(delay)
	case d.timer != nil:
		d.timer.Stop()
	}
}

// pause is for how long the timer waits for a turn at least: a nanosecond, and twice as long
// each time that it let nobody go. Turns come when they were told, and so that is never felt.
// But one that is told and never comes would keep a processor busy until its call is refused.
func (d *dispatcher) pause() time.Duration {
	return min(1<<min(d.inVain, 20), longestPause)
}

// longestPause is what a timer may be late by anyway.
const longestPause = time.Millisecond

// tick is what the timer does. It may come late or once too often.
func (d *dispatcher) tick() {
	d = d.lock()
	defer d.mu.Unlock()
	d.inVain++
	d.advance(d.now())
}

func (d *dispatcher) refuse(now time.Time, w *waiter, err *RefusedError) {
	d.inVain = 0
	w.err, w.reason = err, err.Reason
	w.lane.line.remove(w)
	d.changed(w.lane, now)
	close(w.done)
}
