package policy

import (
	"sync"
	"time"
)

// A clock rings the alarms of one call, by one timer of the runtime. It counts from when
// the call began, and is stopped when all of it has ended.
//
// There is no timer before somebody waits for an alarm to end something: see scope. And
// nobody moves it when an alarm has to ring later than it was set for, or not at all: it
// rings in vain then, and is told. So an answer that comes in many parts does not move it
// with each of them.
type clock struct {
	began time.Time

	mu     sync.Mutex
	runs   bool // somebody waits for what the alarms end
	over   bool
	alarms []setting
	first  [2]setting // room for most: the call's own, and that of an attempt
	timer  *time.Timer
	next   time.Duration // when it rings; 0: it is not set
}

// An alarm is rung at its time, or later if the clock was busy. It says for what cause it
// is time to end; or when it is to ring again, if what it is for has changed; or neither:
// it is over.
type alarm interface {
	ring(now time.Duration) (again time.Duration, cause error)
	end(cause error)
}

type setting struct {
	alarm alarm
	at    time.Duration
}

// now is how long ago the call began.
func (c *clock) now() time.Duration { return time.Since(c.began) }

// begin has the clock count from now on, with its first alarm.
func (c *clock) begin(now time.Time, a alarm, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = now
	c.alarms = append(c.first[:0], setting{a, at})
	if c.runs {
		c.wake(at)
	}
}

// set has an alarm ring at a time, if not before.
func (c *clock) set(a alarm, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 0
	for i < len(c.alarms) && c.alarms[i].alarm != a {
		i++
	}
	if i == len(c.alarms) {
		c.alarms = append(c.alarms, setting{a, at})
	} else {
		c.alarms[i].at = min(c.alarms[i].at, at)
	}
	if c.runs && !c.over && (c.next == 0 || at < c.next) {
		c.wake(at)
	}
}

// run has the alarms ring from now on.
func (c *clock) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runs && !c.over {
		c.runs = true
		c.wakeNext()
	}
}

// wakeNext has the timer ring for the next of the alarms. mu is held.
func (c *clock) wakeNext() {
	c.next = 0
	for _, s := range c.alarms {
		if c.next == 0 || s.at < c.next {
			c.next = s.at
		}
	}
	if c.next > 0 {
		c.wake(c.next)
	}
}

// wake has the timer ring at a time. mu is held.
func (c *clock) wake(at time.Duration) {
	c.next = at
	if c.timer == nil {
		c.timer = time.AfterFunc(at-c.now(), c.ring)
	} else {
		c.timer.Reset(at - c.now())
	}
}

// An ending is what an alarm ends, and why.
type ending struct {
	alarm alarm
	cause error
}

// ring rings the alarms whose time has come, and ends what it is time to end. That may
// call on others, so the clock goes on meanwhile.
func (c *clock) ring() {
	for _, e := range c.due() {
		e.alarm.end(e.cause)
	}
}

// due rings those alarms, and gives what it is time to end.
func (c *clock) due() (endings []ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	now, left := c.now(), c.alarms[:0]
	for _, s := range c.alarms {
		if s.at <= now {
			var cause error
			if s.at, cause = s.alarm.ring(now); cause != nil {
				endings = append(endings, ending{s.alarm, cause})
			}
		}
		if s.at > 0 {
			left = append(left, s)
		}
	}
	clear(c.alarms[len(left):])
	c.alarms = left
	c.wakeNext()
	return endings
}

// stop ends the clock: no alarm is rung any more.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
