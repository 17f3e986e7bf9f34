package policy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A clock rings the alarms of one call, when its turn comes among clocks: that of the call, and
// one for each of its attempts. It counts from when the call began, and is stopped when all
// of it has ended.
//
// It stands still, and has no turn, before somebody waits for an alarm to end something: see
// scope. An alarm knows itself when it is to ring, which may change at any time. Nobody moves
// the turn when that has become later, or never: it comes in vain then, and asks. So an answer
// that comes in many parts does not move it with each of them. Who makes it sooner says so by
// set.
type clock struct {
	all   *clocks       // of which it is one
	began time.Duration // after all of these
	call  *bounded
	state atomic.Int32 // one of the states below

	mu    sync.Mutex
	works *works // nil: it has not run, and there is but one attempt
}

// works are what few clocks need.
type works struct {
	clock  *clock
	others []*try        // besides the first, which is a part of the call
	next   time.Duration // when its turn comes; 0: it needs none

	// Of clocks, whose lock guards it.
	rings time.Duration // next, counted as they count
	place int           // among the turns, from 1 on; 0: it has none
}

// moving gives the works, which there are from now on. mu is held.
func (c *clock) moving() *works {
	if c.works == nil {
		c.works = &works{clock: c}
	}
	return c.works
}

// The states of a clock.
const (
	standing = iota
	running  // somebody waits for what the alarms end
	stopped
)

// An alarm says at a time for what cause it is time to end; or when it is to be asked again;
// or neither, if nothing that has begun is to end.
type alarm interface {
	ring(now time.Duration) (again time.Duration, cause error)
	end(cause error)
}

// begin has the clock count from a time, at which its call began.
func (c *clock) begin(all *clocks, now time.Time) { c.all, c.began = all, now.Sub(all.began) }

// now is how long ago the call began.
func (c *clock) now() time.Duration { return time.Since(c.all.began) - c.began }

// at is how long after the beginning of the call a time is.
func (c *clock) at(t time.Time) time.Duration { return t.Sub(c.all.began) - c.began }

// runs reports whether the alarms ring. What changes when one is to ring has to be in place
// before this is asked: else the clock sees it when it begins to run.
func (c *clock) runs() bool { return c.state.Load() == running }

// set has the clock ask its alarms at a time, if not before.
func (c *clock) set(at time.Duration) {
	if c.runs() { // seldom
		c.sooner(at)
	}
}

// sooner has the turn come at a time, if not before.
func (c *clock) sooner(at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.moving(); c.runs() && (w.next == 0 || at < w.next) {
		c.wake(at)
	}
}

// add has the clock ask another attempt.
func (c *clock) add(t *try) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.moving()
	w.others = append(w.others, t)
}

// run has the alarms ring from now on. Who waits may hold locks that an end needs.
func (c *clock) run() {
	if c.state.CompareAndSwap(standing, running) {
		c.ring()
	}
}

// wake has the turn come at a time. mu is held.
func (c *clock) wake(at time.Duration) {
	w := c.moving()
	w.next = at
	c.all.set(w, c.began+at)
}

// An ending is what an alarm ends, and why.
type ending struct {
	alarm alarm
	cause error
}

// ring asks the alarms, and ends what it is time to end, the call before its attempts. That may
// call on others, and nobody waits for it.
func (c *clock) ring() {
	endings := c.due()
	if len(endings) == 0 {
		return
	}
	go func() {
		for _, e := range endings {
			e.alarm.end(e.cause)
		}
	}()
}

// due asks the alarms what it is time to end, and sets the turn for the next of them.
func (c *clock) due() (endings []ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runs() || !c.call.begun.Load() {
		return nil
	}
	now, w := c.now(), c.moving()
	w.next = 0
	ask := func(a alarm) (over bool) {
		again, cause := a.ring(now)
		if cause != nil {
			endings = append(endings, ending{a, cause})
		}
		if again > 0 && (w.next == 0 || again < w.next) {
			w.next = again
		}
		return again == 0
	}
	ask(c.call)
	ask(&c.call.first)
	w.others = slices.DeleteFunc(w.others, func(t *try) bool { return ask(t) })
	if w.next > 0 {
		c.wake(w.next)
	}
	return endings
}

// stop ends the clock: no alarm is rung any more.
func (c *clock) stop() {
	if c.state.Swap(stopped) == running { // seldom
		c.forget()
	}
}

// forget gives the turn back of a clock that has run.
func (c *clock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.works != nil {
		c.all.forget(c.works)
	}
}
