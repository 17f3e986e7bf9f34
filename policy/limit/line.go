package limit

import (
	"container/list"
	"time"
)

// A line is waiters in the order in which they go: by priority, and within one
// the callers in turns, and those of a caller as they came. The zero line is
// empty.
type line struct {
	order   tree
	classes [priorities]class
	ages    [priorities]list.List // those who had time to move up so often, the oldest first
	seq     uint64                // how many have joined so far
	// disturbed says that somebody has got a place before others, so that these go
	// later than was told. Whoever reads it sets it back.
	disturbed bool
}

func (l *line) len() int { return l.load().calls }

// load is all who wait.
func (l *line) load() load { return l.order.root.load() }

// first is who goes next, and last who goes after all others; nil if nobody waits.
func (l *line) first() *waiter { return l.order.first() }
func (l *line) last() *waiter  { return l.order.last() }

// ahead is what goes before a place.
func (l *line) ahead(p place) load { return l.order.ahead(p) }

// aheadOnTop is what would go before w, which stands at p, if all in its class and
// above moved up to the highest now.
func (l *line) aheadOnTop(w *waiter, p place) load {
	sum := l.ahead(p).minus(l.ahead(startOf(p.priority)))
	begun := p.end - l.classes[p.priority.index()].clock
	for k := p.priority + 1; k <= High; k++ {
		there := place{priority: k, arrived: p.arrived, seq: p.seq}
		there.end, there.next = l.classes[k.index()].after(w.claim.Caller, begun, p.next != behind)
		sum = sum.plus(l.ahead(there).minus(l.ahead(startOf(k))))
	}
	return sum
}

// byClass is who waits in each class.
func (l *line) byClass() (waiting [priorities]load) {
	for k := range l.classes {
		waiting[k] = l.classes[k].waiting
	}
	return waiting
}

// reason notes what all of them wait for.
func (l *line) reason(reason string) {
	for w := range l.order.all() {
		w.reason = reason
	}
}

// placeOf is where w stands in line, or would, if it joined now. step is the time
// after which a waiter moves up.
func (l *line) placeOf(w *waiter, now time.Time, step time.Duration) place {
	priority := min(w.claim.Priority+Priority(steps(now.Sub(w.arrived), step)), High)
	p := place{priority: priority, arrived: w.arrived, seq: w.seq}
	l.classes[priority.index()].put(&p, w)
	if p.seq == 0 {
		p.seq = l.seq + 1
	}
	return p
}

// steps is how often a waiter of some age has had the time to move up.
func steps(age, step time.Duration) int {
	if step <= 0 {
		return 0
	}
	return int(min(age/step, priorities-1))
}

// push puts w at its place in line.
func (l *line) push(w *waiter, now time.Time, step time.Duration) {
	w.place = l.placeOf(w, now, step)
	l.seq = max(l.seq, w.seq)
	w.queued = true
	l.enter(w)
	l.disturbed = l.disturbed || w != l.last()
	w.inAge = byArrival(&l.ages[steps(now.Sub(w.arrived), step)], w)
}

// remove takes w out of line as if it had never been there: if it was the next of
// its caller, the one behind it is that in its place.
func (l *line) remove(w *waiter) {
	l.exit(w, w.next)
	l.left(w)
}

// left notes that w has left its class for good.
func (l *line) left(w *waiter) {
	w.queued = false
	for i := range l.ages {
		l.ages[i].Remove(w.inAge) // does nothing in the lists that w is not in
	}
}

// serve takes w out of line because it is its turn.
func (l *line) serve(w *waiter) {
	k := &l.classes[w.priority.index()]
	c := k.callers[w.claim.Caller]
	k.clock = max(k.clock, w.end)
	c.due = w.end
	k.nexts++
	l.exit(w, k.nexts)
	l.left(w)
}

// age lets those who have waited for another step since they arrived move up. They
// take turns with the callers of the higher class. moved says that there were some.
func (l *line) age(now time.Time, step time.Duration) (moved bool) {
	if step <= 0 {
		return false
	}
	for i := range l.ages[:priorities-1] {
		for e := l.ages[i].Front(); e != nil; e = l.ages[i].Front() {
			w := e.Value.(*waiter)
			if now.Sub(w.arrived) < time.Duration(i+1)*step {
				break
			}
			l.ages[i].Remove(e)
			w.inAge = byArrival(&l.ages[i+1], w)
			if w.priority < High {
				moved = true
				before := l.ahead(w.place)
				l.exit(w, w.next)
				w.place = l.placeOf(w, now, step)
				l.enter(w)
				// Who relied on it has to see what came of it.
				l.disturbed = l.disturbed || w.rises || l.ahead(w.place) != before
			}
		}
	}
	return moved
}

// nextAge is when the next waiter moves up, if anybody does.
func (l *line) nextAge(step time.Duration) (at time.Time, ok bool) {
	for i := range l.ages[:priorities-1] {
		if e := l.ages[i].Front(); e != nil {
			if up := e.Value.(*waiter).arrived.Add(time.Duration(i+1) * step); !ok || up.Before(at) {
				at, ok = up, true
			}
		}
	}
	return at, ok
}

// oldest is who has waited for the longest time; nil if nobody waits.
func (l *line) oldest() *waiter {
	var oldest *waiter
	for i := range l.ages {
		if e := l.ages[i].Front(); e != nil {
			if w := e.Value.(*waiter); oldest == nil || w.arrived.Before(oldest.arrived) {
				oldest = w
			}
		}
	}
	return oldest
}

// byArrival puts w into a list that is in the order of arrival.
func byArrival(calls *list.List, w *waiter) *list.Element {
	if e := lastBefore(calls, w); e != nil {
		return calls.InsertAfter(w, e)
	}
	return calls.PushFront(w)
}

// lastBefore is the last in such a list that has not arrived after w; nil if there
// is none. It is looked for from both ends: who joins is newer than most, and who
// moves up, or comes from another lane, is older.
func lastBefore(calls *list.List, w *waiter) *list.Element {
	later := func(e *list.Element) bool { return e.Value.(*waiter).arrived.After(w.arrived) }
	for oldest, newest := calls.Front(), calls.Back(); newest != nil; oldest, newest = oldest.Next(), newest.Prev() {
		if !later(newest) {
			return newest
		}
		if later(oldest) {
			return oldest.Prev()
		}
	}
	return nil
}

// enter puts w into its class.
func (l *line) enter(w *waiter) {
	k := &l.classes[w.priority.index()]
	c := k.caller(w)
	if w.next != behind {
		k.nexts = max(k.nexts, w.next)
		if e := c.calls.Front(); e != nil {
			l.move(e.Value.(*waiter), func(p *place) { p.next = behind })
		}
	}
	w.inCaller = byArrival(&c.calls, w)
	k.waiting = k.waiting.plus(load{1, w.cost})
	l.order.insert(w)
}

// exit takes w out of its class. The next call of its caller now ends where it
// belongs: earlier, if others before it have left without a turn, or later, if w
// had come before it; but not behind those that follow it, which move when they
// are the next. next says since when it is.
func (l *line) exit(w *waiter, next uint64) {
	k := &l.classes[w.priority.index()]
	c := k.callers[w.claim.Caller]
	l.order.remove(w)
	c.calls.Remove(w.inCaller)
	k.waiting = k.waiting.minus(load{1, w.cost})
	if k.waiting.calls == 0 {
		clear(k.callers) // There is nobody to be fair to.
		return
	}
	e := c.calls.Front()
	if e == nil || next == behind {
		return
	}
	l.move(e.Value.(*waiter), func(p *place) {
		p.next = next
		p.end = c.due + int64(e.Value.(*waiter).cost)
		if follows := e.Next(); follows != nil {
			p.end = min(p.end, follows.Value.(*waiter).end)
		}
	})
}

// move changes the place of a waiter within its class.
func (l *line) move(w *waiter, change func(*place)) {
	before := l.ahead(w.place)
	l.order.remove(w)
	change(&w.place)
	l.order.insert(w)
	l.disturbed = l.disturbed || l.ahead(w.place) != before
}
