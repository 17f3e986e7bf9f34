package policy

import (
	"container/heap"
	"sync"
	"time"
)

// Clocks ring the clocks of many calls by one timer of the runtime. Each of them had one of its
// own: with a hundred thousand calls in line there were as many, and the runtime looks through all
// the timers of a processor when one is due that was moved (src/runtime/time.go, adjust), which
// took a third of all processor time.
type clocks struct {
	began time.Time // when they were made: all is counted from then

	mu    sync.Mutex
	turns turns
	timer *time.Timer
	next  time.Duration // when it comes
	comes bool          // it will
}

func newClocks() *clocks { return &clocks{began: time.Now()} }

// set has a clock ring at a time, and not when it was to before.
func (k *clocks) set(w *works, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.rings = at
	if w.place == 0 {
		heap.Push(&k.turns, w)
	} else {
		heap.Fix(&k.turns, w.place-1)
	}
	k.wake()
}

// forget has a clock not ring.
func (k *clocks) forget(w *works) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.place > 0 {
		heap.Remove(&k.turns, w.place-1)
	}
}

// wake has the timer come for the first of the clocks. One that comes too early comes in vain,
// and is not moved: that costs the runtime more than to let it come.
func (k *clocks) wake() {
	if len(k.turns) == 0 || k.comes && k.next <= k.turns[0].rings {
		return
	}
	k.next, k.comes = k.turns[0].rings, true
	if after := k.next - time.Since(k.began); k.timer == nil {
		k.timer = time.AfterFunc(after, k.ring)
	} else {
		k.timer.Reset(after)
	}
}

// ring rings the clocks whose time it is.
func (k *clocks) ring() {
	var due []*works
	for more := true; more; {
		due, more = k.due(due[:0])
		for _, w := range due {
			w.clock.ring()
		}
	}
}

// mostDue bounds how many clocks others wait for who want to set theirs.
const mostDue = 256

// due takes out the clocks whose time it is, and has the timer come for the others. more says
// that there were too many.
func (k *clocks) due(list []*works) (due []*works, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Since(k.began)
	for len(k.turns) > 0 && k.turns[0].rings <= now {
		if len(list) == mostDue {
			return list, true
		}
		list = append(list, heap.Pop(&k.turns).(*works)) //nolint:forcetypeassert // there is nothing else
	}
	k.comes = false
	k.wake()
	return list, false
}

// turns are clocks that are to ring, as package container/heap has them: the first is at the root.
type turns []*works

func (t turns) Len() int           { return len(t) }
func (t turns) Less(i, j int) bool { return t[i].rings < t[j].rings }

func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i+1, j+1
}

func (t *turns) Push(x any) {
	w := x.(*works) //nolint:forcetypeassert // there is nothing else
	*t = append(*t, w)
	w.place = len(*t)
}

func (t *turns) Pop() any {
	last := len(*t) - 1
	w := (*t)[last]
	(*t)[last], w.place = nil, 0
	if *t = (*t)[:last]; last == 0 {
		*t = nil // it may have been large
	}
	return w
}
