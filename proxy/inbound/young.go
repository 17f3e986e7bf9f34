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
// their connections together, and finds none of most calls: a timer for each would have to
// be set and stopped with each, which costs more, and wakes threads.
//
// A connection whose call has ended stays until the next look, and its next call finds it
// there: so it is the phase of its watch alone that changes with most calls, and nothing
// that connections share.
type young struct {
	mu    sync.Mutex
	conns []*conn // in no order: those whose watch rests, or is to begin
	timer *time.Timer
	runs  bool // it will ring
}

// add has the watch of c begin at the second look from now.
func (y *young) add(c *conn) {
	if c.watch.phase.CompareAndSwap(watchRests, watchSoon) {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	c.watch.phase.Store(watchSoon)
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

// rest has a call that is young be watched no more. It reports that it was.
func (c *conn) rest() bool {
	return c.watch.phase.CompareAndSwap(watchSoon, watchRests) || c.watch.phase.CompareAndSwap(watchSooner, watchRests)
}

// look has those watched that are not young any more, and comes back for the others.
func (y *young) look() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.conns = slices.DeleteFunc(y.conns, (*conn).grows)
	if y.runs = len(y.conns) > 0; y.runs {
		y.timer.Reset(youth)
	}
}

// grows has a look at c. It reports that it is none of the young from now on. A call that
// begins or ends meanwhile is looked at the next time.
func (c *conn) grows() bool {
	switch phase := &c.watch.phase; phase.Load() {
	case watchRests:
		return phase.CompareAndSwap(watchRests, watchOff)
	case watchSoon:
		phase.CompareAndSwap(watchSoon, watchSooner)
	case watchSooner:
		if phase.CompareAndSwap(watchSooner, watchReading) {
			go c.look()
			return true
		}
	}
	return false
}
