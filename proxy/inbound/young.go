package inbound

import (
	"slices"
	"sync"
	"time"
)

// How long a call is young. Its client is not watched before, which takes a goroutine and two
// system calls: most calls have ended by then, also those to a provider that is some way off.
// Where somebody waits to be told of the end of a call, as does who holds it back, it is soon.
const (
	youth  = 10 * time.Millisecond // from one look at the young to the next
	looks  = 10                    // that pass over a call, before the one that has it watched
	urgent = 1                     // of them, where somebody waits
)

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

// add has the call of c watched when it is not young any more.
func (y *young) add(c *conn) {
	if !c.watch.phase.CompareAndSwap(watchRests, watchNext+looks) {
		y.join(c)
	}
	if k := c.call.Load(); k != nil && k.teller.Load() != nil {
		c.hurry()
	}
}

// join has c be looked at.
func (y *young) join(c *conn) {
	y.mu.Lock()
	defer y.mu.Unlock()
	c.watch.phase.Store(watchNext + looks)
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

// hurry is for a call of which somebody waits to be told that it has ended.
func (c *conn) hurry() {
	for {
		phase := c.watch.phase.Load()
		if phase <= watchNext+urgent || c.watch.phase.CompareAndSwap(phase, watchNext+urgent) {
			return
		}
	}
}

// rest has a call that is young be watched no more. It reports that it was.
func (c *conn) rest() bool {
	for {
		phase := c.watch.phase.Load()
		if phase < watchNext {
			return false
		}
		if c.watch.phase.CompareAndSwap(phase, watchRests) {
			return true
		}
	}
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
	switch phase := c.watch.phase.Load(); {
	case phase == watchRests:
		return c.watch.phase.CompareAndSwap(phase, watchOff)
	case phase > watchNext:
		c.watch.phase.CompareAndSwap(phase, phase-1)
	case phase == watchNext:
		if c.watch.phase.CompareAndSwap(phase, watchReading) {
			go c.look()
			return true
		}
	}
	return false
}
