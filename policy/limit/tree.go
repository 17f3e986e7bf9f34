package limit

import (
	"iter"
	"math"
	"time"
)

// A place is where in line a call stands.
type place struct {
	priority Priority  // the class; a call that has waited long has moved up
	end      int64     // in the time of its caller: see class
	next     uint64    // counts who became the next of its caller, from 1 on; behind: it is not
	arrived  time.Time // when the call began to wait
	seq      uint64    // counts who joined the line, from 1 on; 0: it never did
}

// behind is place.next of a call that has others of its caller before it.
const behind = math.MaxUint64

// before reports whether a goes before b.
func (a place) before(b place) bool {
	switch {
	case a.priority != b.priority:
		return a.priority > b.priority
	case a.end != b.end:
		return a.end < b.end
	case a.next != b.next:
		return a.next < b.next
	case !a.arrived.Equal(b.arrived):
		return a.arrived.Before(b.arrived)
	}
	return a.seq < b.seq
}

// startOf is before all places of a class.
func startOf(p Priority) place { return place{priority: p, end: math.MinInt64} }

// A load is a number of calls, and what they cost together.
type load struct{ calls, cost int }

func (a load) plus(b load) load  { return load{a.calls + b.calls, a.cost + b.cost} }
func (a load) minus(b load) load { return load{a.calls - b.calls, a.cost - b.cost} }

// A tree keeps waiters in the order of their places, and knows for each what goes
// before it. It is a treap (R. Seidel and C. Aragon, "Randomized Search Trees",
// 1996): what it does takes the logarithm of the number of waiters. The zero tree
// is empty.
type tree struct{ root *waiter }

// A node is the part of a waiter that belongs to the tree.
type node struct {
	left, right *waiter
	below       load      // of the waiter and both its subtrees
	soonest     time.Time // the earliest waiter.latest of them
	weight      uint64    // nobody below has a larger one
}

func (t *tree) insert(w *waiter) {
	w.node = node{weight: scattered(w.seq)}
	before, after := split(t.root, w.place)
	t.root = merge(merge(before, w.refreshed()), after)
}

func (t *tree) remove(w *waiter) {
	before, rest := split(t.root, w.place)
	next := w.place
	next.seq++
	_, after := split(rest, next) // what is between the two is w
	t.root = merge(before, after)
	w.node = node{}
}

// ahead is what goes before a place.
func (t *tree) ahead(p place) load {
	var sum load
	for w := t.root; w != nil; {
		if !w.before(p) {
			w = w.left
			continue
		}
		sum = sum.plus(w.left.load()).plus(load{1, w.cost})
		w = w.right
	}
	return sum
}

// first is the waiter that goes before all others; nil in an empty tree.
func (t *tree) first() *waiter {
	w := t.root
	for w != nil && w.left != nil {
		w = w.left
	}
	return w
}

// last is the waiter that goes after all others; nil in an empty tree.
func (t *tree) last() *waiter {
	w := t.root
	for w != nil && w.right != nil {
		w = w.right
	}
	return w
}

// all gives the waiters in their order. The tree must not change meanwhile.
func (t *tree) all() iter.Seq[*waiter] {
	return func(yield func(*waiter) bool) { t.root.walk(yield) }
}

func (w *waiter) walk(yield func(*waiter) bool) bool {
	return w == nil || w.left.walk(yield) && yield(w) && w.right.walk(yield)
}

// late are the waiters whose turns, which turnOf tells for what is ahead and for a
// cost, are later than they may be. Where even the last turn of a subtree is early
// enough for everyone in it, nobody is looked at.
func (t *tree) late(turnOf func(ahead, cost int) time.Time) []*waiter {
	return t.root.late(nil, 0, turnOf)
}

func (w *waiter) late(found []*waiter, ahead int, turnOf func(ahead, cost int) time.Time) []*waiter {
	if w == nil || !turnOf(ahead+w.below.cost-1, 1).After(w.soonest) {
		return found
	}
	found = w.left.late(found, ahead, turnOf)
	ahead += w.left.load().cost
	if turnOf(ahead, w.cost).After(w.latest) {
		found = append(found, w)
	}
	return w.right.late(found, ahead+w.cost, turnOf)
}

// until is what those cost whose turns, which turnOf tells, come by some time.
func (t *tree) until(then time.Time, turnOf func(ahead, cost int) time.Time) int {
	gone := 0
	for w := t.root; w != nil; {
		ahead := gone + w.left.load().cost
		if turnOf(ahead, w.cost).After(then) {
			w = w.left
			continue
		}
		gone = ahead + w.cost
		w = w.right
	}
	return gone
}

// judge is waiter.judge for all.
func (t *tree) judge(maxWait time.Duration) { t.root.judgeAll(maxWait) }

func (w *waiter) judgeAll(maxWait time.Duration) {
	if w != nil {
		w.left.judgeAll(maxWait)
		w.right.judgeAll(maxWait)
		w.judge(maxWait)
		w.refreshed()
	}
}

// load is that of a subtree, which may be empty.
func (w *waiter) load() load {
	if w == nil {
		return load{}
	}
	return w.below
}

// refreshed sums up the subtrees of w, which have changed, and returns w.
func (w *waiter) refreshed() *waiter {
	w.below = load{1, w.cost}.plus(w.left.load()).plus(w.right.load())
	w.soonest = w.latest
	for _, sub := range []*waiter{w.left, w.right} {
		if sub != nil && sub.soonest.Before(w.soonest) {
			w.soonest = sub.soonest
		}
	}
	return w
}

// split takes a subtree apart into those before p and the others.
func split(w *waiter, p place) (before, after *waiter) {
	if w == nil {
		return nil, nil
	}
	if w.before(p) {
		w.right, after = split(w.right, p)
		return w.refreshed(), after
	}
	before, w.left = split(w.left, p)
	return before, w.refreshed()
}

// merge puts two subtrees together; all of a go before all of b.
func merge(a, b *waiter) *waiter {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.weight >= b.weight:
		a.right = merge(a.right, b)
		return a.refreshed()
	}
	b.left = merge(a, b.left)
	return b.refreshed()
}

// scattered turns numbers that follow one another into ones that look like chance,
// which keeps a treap flat: the finalizer of MurmurHash3, by A. Appleby.
func scattered(n uint64) uint64 {
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}
