package policy

import (
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
	heap  []*works // the one that comes first is at the root: see settle
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
		k.heap = append(k.heap, w)
		w.place = len(k.heap)
	}
	k.settle(w)
	k.wake()
}

// forget has a clock not ring.
func (k *clocks) forget(w *works) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.place > 0 {
		k.remove(w)
	}
}

// wake has the timer come for the first of the clocks. One that comes too early comes in vain,
// and is not moved: that costs the runtime more than to let it come.
func (k *clocks) wake() {
	if len(k.heap) == 0 || k.comes && k.next <= k.heap[0].rings {
		return
	}
	k.next, k.comes = k.heap[0].rings, true
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
	for len(k.heap) > 0 && k.heap[0].rings <= now {
		if len(list) == mostDue {
			return list, true
		}
		list = append(list, k.heap[0])
		k.remove(k.heap[0])
	}
	k.comes = false
	k.wake()
	return list, false
}

// remove takes a clock out of the heap.
func (k *clocks) remove(w *works) {
	last := len(k.heap) - 1
	moved := k.heap[last]
	k.heap[last] = nil
	k.heap = k.heap[:last]
	if moved != w {
		k.put(moved, w.place)
		k.settle(moved)
	}
	w.place = 0
	if last == 0 {
		k.heap = nil // it may have been large
	}
}

// settle moves a clock to where it belongs in the heap: behind no other that rings later.
func (k *clocks) settle(w *works) {
	for w.place > 1 {
		above := k.heap[w.place/2-1]
		if above.rings <= w.rings {
			break
		}
		k.swap(w, above)
	}
	for {
		below := w
		for at := 2 * w.place; at <= 2*w.place+1 && at <= len(k.heap); at++ {
			if other := k.heap[at-1]; other.rings < below.rings {
				below = other
			}
		}
		if below == w {
			return
		}
		k.swap(w, below)
	}
}

func (k *clocks) swap(a, b *works) {
	at := a.place
	k.put(a, b.place)
	k.put(b, at)
}

// put has a clock at a place, which counts from 1.
func (k *clocks) put(w *works, place int) {
	k.heap[place-1], w.place = w, place
}
