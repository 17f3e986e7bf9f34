package limit

import "container/list"

// A class is the waiters of one priority. Its callers share what it gets by
// self-clocked fair queueing (S. J. Golestani, 1994). Each caller has a time of its
// own, in which a call begins where the one before it ends, and lasts as long as it
// costs; the call that ends first goes first. Who has nothing in line begins where
// the call ended that went last. So a newcomer among callers who have many calls in
// line goes after at most one turn of each. (Of those that end at the same time, the
// one goes first that has been the next of its caller for longer.)
type class struct {
	clock   int64  // where the call ended that went last
	nexts   uint64 // how many calls have become the next of their caller
	waiting load
	callers map[string]*caller // those with calls in line, and those whose last turn is not over
	sweepAt int                // how many callers to look for idle ones at
}

// A caller is one of a class.
type caller struct {
	due   int64     // where the first of its calls in line begins, or the next that comes
	calls list.List // of *waiter, as they came
}

// minCallers is how many callers of a class are kept before idle ones are looked for.
const minCallers = 64

// put sets in p where w ends, or would, if it joined now, and whether it would be
// the next of its caller. It ends between those of its caller that arrived earlier and
// later; these make room when w has gone.
func (k *class) put(p *place, w *waiter) {
	c := k.callers[w.claim.Caller]
	if c == nil {
		c = &caller{}
	}
	earlier, later := lastBefore(&c.calls, w), c.calls.Front()
	begin := max(c.due, k.clock)
	p.next = k.nexts + 1
	switch {
	case earlier != nil:
		begin, later = earlier.Value.(*waiter).end, earlier.Next()
		p.next = behind
	case later != nil:
		begin = c.due
		p.next = later.Value.(*waiter).next
	}
	p.end = begin + int64(w.cost)
	if later != nil {
		p.end = min(p.end, later.Value.(*waiter).end)
	}
}

// after is a place in the class for a call that begins so far behind the last of
// its caller. alone says that nothing of its caller is before it.
func (k *class) after(name string, begun int64, alone bool) (end int64, next uint64) {
	c := k.callers[name]
	switch {
	case c == nil:
		end = k.clock
	case c.calls.Len() == 0:
		end = max(c.due, k.clock)
	default:
		end, alone = c.calls.Back().Value.(*waiter).end, false
	}
	if alone {
		return end + begun, k.nexts + 1
	}
	return end + begun, behind
}

// caller is that of w, which is about to join.
func (k *class) caller(w *waiter) *caller {
	c := k.callers[w.claim.Caller]
	if c == nil {
		if len(k.callers) >= max(k.sweepAt, minCallers) {
			k.sweep()
		}
		if k.callers == nil {
			k.callers = make(map[string]*caller)
		}
		c = &caller{}
		k.callers[w.claim.Caller] = c
	}
	if c.calls.Len() == 0 {
		c.due = max(c.due, k.clock)
	}
	return c
}

// sweep forgets the callers of whom nothing need be known. The next sweep is as many
// new callers away as this one has left.
func (k *class) sweep() {
	for name, c := range k.callers {
		if c.calls.Len() == 0 && c.due <= k.clock {
			delete(k.callers, name)
		}
	}
	k.sweepAt = 2 * len(k.callers)
}
