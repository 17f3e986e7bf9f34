package outbox

import (
	"sync"
	"time"
)

const (
	// paceSlot and paceSlots are the time over which the pace of an upstream is taken.
	paceSlot  = 10 * time.Second
	paceSlots = 30
)

// progress is what this process has sent lately, and is sending, by upstream.
type progress struct {
	mu      sync.Mutex
	of      map[string]*course // upstream → how it goes
	waiting map[string]int     // upstream → letters that waited at the last count
}

// A course is how it goes with the letters of one upstream.
type course struct {
	sending int
	paused  time.Time // of the lane that waits longest; past: none does
	ended   [paceSlots]int
	full    [paceSlots]bool // as many were sent at a time as may be
	slot    int64           // of the clock, that both were last brought up to
}

func (p *progress) course(upstream string) *course {
	if p.of == nil {
		p.of = map[string]*course{}
	}
	c := p.of[upstream]
	if c == nil {
		c = &course{}
		p.of[upstream] = c
	}
	return c
}

// standing notes what the pump knows of an upstream. full says that no more of its letters may
// be sent at a time.
func (p *progress) standing(u *upstream, full bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.course(u.name)
	c.advance(now)
	c.full[c.slot%paceSlots] = c.full[c.slot%paceSlots] || full
	c.sending, c.paused = u.sending, time.Time{}
	for _, l := range u.lanes {
		if l.paused.After(c.paused) {
			c.paused = l.paused
		}
	}
}

// ended notes that a letter has ended.
func (p *progress) ended(upstream string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.course(upstream)
	c.advance(now)
	c.ended[c.slot%paceSlots]++
}

// counted notes how many letters wait.
func (p *progress) counted(waiting map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = waiting
}

// now is how it goes with an upstream.
func (p *progress) now(upstream string, now time.Time) (sending int, paused time.Time, perMinute float64, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.course(upstream)
	c.advance(now)
	if !c.paused.After(now) {
		return c.sending, time.Time{}, c.perMinute(), p.waiting[upstream]
	}
	return c.sending, c.paused, c.perMinute(), p.waiting[upstream]
}

// advance empties the slots of the time in which nothing ended.
func (c *course) advance(now time.Time) {
	slot := now.UnixNano() / int64(paceSlot)
	for i := max(c.slot+1, slot-paceSlots+1); i <= slot; i++ {
		c.ended[i%paceSlots], c.full[i%paceSlots] = 0, false
	}
	c.slot = max(c.slot, slot)
}

// perMinute is how many letters ended in a minute: over the slots since the first in which
// one did, so that it is right soon after a start.
func (c *course) perMinute() float64 {
	total, span := 0, 0
	for i := c.slot; i > c.slot-paceSlots && i >= 0; i-- {
		if n := c.ended[i%paceSlots]; n > 0 {
			total += n
			span = int(c.slot-i) + 1
		}
	}
	if total == 0 {
		return 0
	}
	return float64(total) / (float64(span) * paceSlot.Minutes())
}

// catchUp is how many letters end in a minute while many wait, as far as that was seen: in the
// slots in which the upstream had as much to do as it may. How many ended while only some came
// in says nothing of a backlog, and neither does an outage that is over. 0: nobody knows.
func (p *progress) catchUp(upstream string, now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.course(upstream)
	c.advance(now)
	total, span := 0, time.Duration(0)
	for i := c.slot - 1; i > c.slot-paceSlots && i >= 0; i-- {
		if c.full[i%paceSlots] {
			total += c.ended[i%paceSlots]
			span += paceSlot
		}
	}
	if span == 0 {
		return 0 // the slot that goes on may have begun without letters
	}
	if c.full[c.slot%paceSlots] {
		total += c.ended[c.slot%paceSlots]
		span += time.Duration(now.UnixNano() - c.slot*int64(paceSlot))
	}
	return float64(total) / span.Minutes()
}

// estimate is when a letter that is kept now will have ended, by what is known without asking
// the store: at least a second, and at most an hour, for it is a guess.
func (o *Outbox) estimate(l *Letter) time.Duration {
	now := time.Now()
	_, paused, _, waiting := o.progress.now(l.Upstream, now)
	wait := time.Second
	if pace := o.progress.catchUp(l.Upstream, now); pace > 0 {
		wait = max(wait, time.Duration(float64(waiting)/pace*float64(time.Minute)))
	}
	if !paused.IsZero() {
		wait += paused.Sub(now)
	}
	return min(wait.Round(time.Second), time.Hour)
}
