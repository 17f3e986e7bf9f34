package policy

import (
	"sync"
	"time"
)

// A clock rings the alarms of one call, by one timer of the runtime. It counts from when
// the call began.
//
// The timer is not moved when an alarm is put off, which happens with each part of a body
// that comes: it rings in vain then, and asks for how long still.
type clock struct {
	began time.Time

	mu     sync.Mutex
	alarms []setting
	first  [2]setting // room for most: the call's own, and that of an attempt
	timer  *time.Timer
	next   time.Duration // when it rings, if any alarm is set
}

// An alarm is rung when its time has come. It says for when it is to be set next; 0: it
// was the last time. The lock of the clock is held.
type alarm interface {
	ring(now time.Duration) (next time.Duration)
}

type setting struct {
	alarm alarm
	at    time.Duration
}

// now is how long ago the call began.
func (c *clock) now() time.Duration { return time.Since(c.began) }

// set sets an alarm, or sets it anew, to ring so long after now.
func (c *clock) set(a alarm, now, after time.Duration) {
	at := now + after
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alarms == nil {
		c.alarms = c.first[:0]
	}
	i := c.find(a)
	if i < 0 {
		i = len(c.alarms)
		c.alarms = append(c.alarms, setting{alarm: a})
	}
	c.alarms[i].at = at
	switch {
	case c.timer == nil:
		c.next = at
		c.timer = time.AfterFunc(after, c.ring)
	case len(c.alarms) == 1 || at < c.next:
		c.next = at
		c.timer.Reset(after)
	}
}

// stop takes an alarm away: from then on it is not rung.
func (c *clock) stop(a alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(a)
	if i < 0 {
		return
	}
	last := len(c.alarms) - 1
	c.alarms[i] = c.alarms[last]
	c.alarms[last] = setting{}
	c.alarms = c.alarms[:last]
	if last == 0 {
		c.timer.Stop()
	}
}

// find is where an alarm is; -1: it is not set. mu is held.
func (c *clock) find(a alarm) int {
	for i := range c.alarms {
		if c.alarms[i].alarm == a {
			return i
		}
	}
	return -1
}

// ring rings the alarms whose time has come.
func (c *clock) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, left := c.now(), c.alarms[:0]
	for _, s := range c.alarms {
		if s.at <= now {
			s.at = s.alarm.ring(now)
		}
		if s.at > 0 {
			left = append(left, s)
		}
	}
	clear(c.alarms[len(left):])
	c.alarms = left
	if len(left) == 0 {
		return
	}
	c.next = left[0].at
	for _, s := range left {
		c.next = min(c.next, s.at)
	}
	c.timer.Reset(c.next - now)
}
