package limit

import (
	"context"
	"time"
)

// A turn is the right to send one call. Its holder reports what came of it
// with answered, and gives the slot back with release, once each.
type turn struct {
	d     *dispatcher
	taken time.Time
	cost  int
	eased bool // it went out while the gate was opening
	// settles says that the line stands still until it is known whether the call
	// goes, or has to wait for another quota: until settle, or failed.
	settles bool
}

// settle says that the call goes: it has its turn everywhere.
func (d *dispatcher) settle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settling = false
	d.advanceLine()
}

// answered ends the waiting for an answer. fine says that the provider did not
// ask us to slow down. The slot stays taken if hold is true, until release.
func (d *dispatcher) answered(t turn, fine bool) (hold bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if hold = d.settings.Concurrency > 0; !hold {
		d.active--
	}
	if t.eased {
		d.gate.answered(fine, time.Now(), d.line.len() == 0)
	}
	d.advanceLine()
	return hold
}

// release gives back a slot whose call was answered.
func (d *dispatcher) release(t turn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	if took := time.Since(t.taken); d.held == 0 {
		d.held = took
	} else {
		d.held += (took - d.held) / 8 // smoothed as a round trip time is, RFC 6298 section 2
	}
	d.advanceLine()
}

// failed ends a turn that had no answer. sent is false if the call certainly
// did not go out; then it costs nothing.
func (d *dispatcher) failed(t turn, sent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(t, sent)
	d.advanceLine()
}

func (d *dispatcher) drop(t turn, sent bool) {
	d.active--
	if !sent {
		d.shape.giveBack(time.Now(), t.taken, t.cost)
	}
	if t.settles {
		d.settling = false
	}
	if t.eased {
		d.gate.passing--
	}
}

// advanceLine spares those who find no line a look at the clock.
func (d *dispatcher) advanceLine() {
	if d.line.len() > 0 {
		d.advance(time.Now())
	}
}

// throttled closes the gate until hint after now, when the hint was read.
func (d *dispatcher) throttled(ctx context.Context, now time.Time, hint time.Duration) {
	d.mu.Lock()
	s := d.settings
	until := now.Add(hint + s.spread(hint))
	closed := s.Learn && d.gate.close(until, s.Count == 0)
	if closed {
		now = time.Now()
		for w := range d.line.order.all() {
			w.reason = waitGate
		}
		d.review(now)
		d.advance(now)
	}
	d.mu.Unlock()
	if closed && s.OnGate != nil {
		s.OnGate(ctx, d.key, until)
	}
}
