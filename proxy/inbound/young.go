package inbound

import (
	"slices"
	"sync"
	"time"
)

// youth is half of how long a call is young at most. Its client is not watched before:
// most calls have ended by then.
const youth = 10 * time.Millisecond

// The young are the calls of a server that may be watched soon. One timer looks at all of
// them together, and finds none of most: one for each call would have to be set and stopped
// with each, which costs more, and wakes threads. They are in no order.
type young struct {
	mu    sync.Mutex
	conns []*conn
	turn  uint // counts the looks
	timer *time.Timer
	runs  bool // it will ring
}

// add has the watch of c begin at the second look from now.
func (y *young) add(c *conn) {
	y.mu.Lock()
	defer y.mu.Unlock()
	c.watch.phase.Store(watchSoon)
	c.watch.turn, c.watch.place = y.turn, len(y.conns)
	y.conns = append(y.conns, c)
	switch {
	case y.runs:
	case y.timer == nil:
		y.timer = time.AfterFunc(youth, y.look)
	default:
		y.timer.Reset(youth)
	}
	y.runs = true
}

// remove reports whether c was young.
func (y *young) remove(c *conn) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if c.watch.phase.Load() != watchSoon {
		return false
	}
	c.watch.phase.Store(watchOff)
	y.drop(c.watch.place)
	return true
}

// drop takes the one at i off, and moves the last there. mu is held.
func (y *young) drop(i int) {
	last := len(y.conns) - 1
	y.conns[i] = y.conns[last]
	y.conns[i].watch.place = i
	y.conns[last] = nil
	y.conns = y.conns[:last]
}

// look has those watched that are not young any more, and comes back for the others.
func (y *young) look() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.turn++
	for _, c := range slices.Backward(y.conns) { // where drop moves one, it was looked at
		if y.turn-c.watch.turn > 1 {
			y.drop(c.watch.place)
			c.watch.phase.Store(watchReading)
			go c.look()
		}
	}
	if y.runs = len(y.conns) > 0; y.runs {
		y.timer.Reset(youth)
	}
}
