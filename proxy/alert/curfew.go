package alert

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// A Curfew holds back alerts whose rule has quiet hours, and tells them when those end. What
// has begun and ended meanwhile is told to nobody.
type Curfew struct {
	tell func(Alert)

	mu    sync.Mutex
	hours map[string]Hours // name of a rule → its quiet hours
	held  map[key]Alert
	timer *time.Timer // rings when the next quiet hours end; nil: nothing is held
}

// NewCurfew makes a Curfew without quiet hours. tell is told what is not held back, in its
// order, and must not block.
func NewCurfew(tell func(Alert)) *Curfew {
	return &Curfew{tell: tell, held: make(map[key]Alert)}
}

// Keep sets the quiet hours of rules, by their names. What is held for others is told.
func (c *Curfew) Keep(hours map[string]Hours) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hours = hours
	c.release(time.Now())
}

// Tell tells an alert, or holds it back. Where the begin of a trouble is held, its end
// makes both of them nothing; and where its end is held, so does its next begin.
func (c *Curfew) Tell(a Alert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := key{a.Rule, a.Subject}
	if held, ok := c.held[k]; ok && (held.Ended == nil) != (a.Ended == nil) {
		delete(c.held, k)
		return
	}
	now := time.Now()
	if c.quiet(a.Rule, now).IsZero() {
		c.tell(a)
		return
	}
	c.held[k] = a
	c.release(now)
}

// quiet is when the quiet hours of a rule end; zero: there are none now.
func (c *Curfew) quiet(rule string, now time.Time) time.Time {
	hours, ok := c.hours[rule]
	if !ok {
		return time.Time{}
	}
	return hours.Until(now)
}

// release tells what is held and need not be any more, and comes again for the rest.
func (c *Curfew) release(now time.Time) {
	var over []Alert
	var next time.Time
	for k, a := range c.held {
		switch end := c.quiet(k.rule, now); {
		case end.IsZero():
			over = append(over, a)
			delete(c.held, k)
		case next.IsZero() || end.Before(next):
			next = end
		}
	}
	slices.SortFunc(over, func(x, y Alert) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Subject, y.Subject), cmp.Compare(x.Rule, y.Rule))
	})
	for _, a := range over {
		c.tell(a)
	}
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if !next.IsZero() {
		c.timer = time.AfterFunc(next.Sub(now), c.ring)
	}
}

func (c *Curfew) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(time.Now())
}

// Held is how many alerts are held back.
func (c *Curfew) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// Close forgets what is held: who starts again finds what lasts.
func (c *Curfew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.held)
	if c.timer != nil {
		c.timer.Stop()
	}
}
