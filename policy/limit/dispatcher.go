package limit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// What a call waits for, and how a wait can end besides a turn or a refusal.
const (
	waitRate        = "rate"
	waitConcurrency = "concurrency"
	waitGate        = "gate"
	waitCanceled    = "canceled"
)

// errRetired says that a dispatcher has been dropped: get another one.
var errRetired = errors.New("dispatcher retired")

// A dispatcher is one quota: its line, its shape, its slots and its gate.
// Whoever changes one of them calls advance, so at any time the head of the
// line is waiting for something, and the timer is set to when that ends.
type dispatcher struct {
	key string

	mu       sync.Mutex
	settings *Settings
	retired  bool // dropped from the map; nobody may enter
	shape    shape
	gate     gate
	active   int           // calls on their way
	held     time.Duration // smoothed time for which a call held its slot; 0: unknown
	line     line
	timer    *time.Timer // calls tick; nil until somebody waits
}

// A turn is the right to send one call. Its holder reports what came of it
// with answered, and gives the slot back with release, once each.
type turn struct {
	d     *dispatcher
	taken time.Time
	eased bool // it went out while the gate was opening
}

func newDispatcher(key string, s *Settings) *dispatcher {
	return &dispatcher{key: key, settings: s, shape: newShape(s, nil, time.Time{})}
}

// enter returns when it is the caller's turn, or says why it will not be.
func (d *dispatcher) enter(ctx context.Context) (turn, error) {
	now := time.Now()
	d.mu.Lock()
	if d.retired {
		d.mu.Unlock()
		return turn{}, errRetired
	}
	if d.line.len > 0 {
		d.advance(now) // The timer may be late.
	}
	if d.line.len == 0 {
		if t, ok := d.take(now); ok {
			d.mu.Unlock()
			return t, nil
		}
	}
	w := newWaiter(ctx, now)
	refused := d.refusal(w, now, d.line.len)
	if refused == nil && d.line.len >= d.settings.MaxQueue {
		refused = d.refused(QueueFull, d.wait(now, d.line.len))
	}
	if refused != nil {
		d.mu.Unlock()
		return turn{}, refused
	}
	w.reason = d.obstacle(now)
	d.line.push(w)
	if d.line.head == w {
		d.advance(now)
	}
	onWait := d.settings.OnWait
	d.mu.Unlock()

	select {
	case <-w.done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		d.leave(w, context.Cause(ctx))
	}
	if onWait != nil {
		onWait(ctx, d.key, time.Since(w.arrived), w.reason)
	}
	return w.turn, w.err
}

// leave takes w out of line. If it was given its turn at this very moment, it
// gives that back. It costs nothing and the others move up.
func (d *dispatcher) leave(w *waiter, cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	switch {
	case w.queued:
		d.line.remove(w)
	case w.err == nil:
		d.drop(w.turn, false)
	default:
		return // refused at this very moment
	}
	w.turn, w.err, w.reason = turn{}, cause, waitCanceled
	d.advance(now)
}

// take gives the turn to the call that is next, if it may go now.
func (d *dispatcher) take(now time.Time) (turn, bool) {
	if now.Before(d.gate.until) || d.full() || d.gate.narrow() || !d.shape.take(now) {
		return turn{}, false
	}
	d.active++
	return turn{d: d, taken: now, eased: d.gate.pass()}, true
}

// full reports whether all slots are taken.
func (d *dispatcher) full() bool {
	return d.settings.Concurrency > 0 && d.active >= d.settings.Concurrency
}

// obstacle says what keeps the head of the line from going.
func (d *dispatcher) obstacle(now time.Time) string {
	switch {
	case now.Before(d.gate.until) || d.gate.narrow():
		return waitGate
	case d.full():
		return waitConcurrency
	default:
		return waitRate
	}
}

// advance lets everyone go whose turn it is, and sets the timer for the next.
func (d *dispatcher) advance(now time.Time) {
	for w := d.line.head; w != nil; w = d.line.head {
		if t, ok := d.take(now); ok {
			w.turn = t
			d.dismiss(w)
		} else if now.Sub(w.arrived) >= d.settings.MaxWait {
			// Those behind came later and have as long to wait: only the head
			// can be the first whose time is up.
			d.refuse(w, d.refused(QueueTimeout, d.wait(now, 0)))
		} else {
			break
		}
	}
	d.setTimer(now)
}

// setTimer sets the timer for the head: for its turn, if that can be known, or
// else for the end of its patience.
func (d *dispatcher) setTimer(now time.Time) {
	w := d.line.head
	if w == nil {
		if d.timer != nil {
			d.timer.Stop()
		}
		return
	}
	next := w.arrived.Add(d.settings.MaxWait)
	if at := d.turnOf(now, 0); !d.full() && !d.gate.narrow() && at.Before(next) {
		next = at
	}
	// A turn that could not be taken is not now, whatever a float says.
	delay := max(next.Sub(now), 1)
	if d.timer == nil {
		d.timer = time.AfterFunc(delay, d.tick)
	} else {
		d.timer.Reset(delay)
	}
}

// tick is what the timer does. It may come late or once too often.
func (d *dispatcher) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance(time.Now())
}

func (d *dispatcher) dismiss(w *waiter) {
	d.line.remove(w)
	close(w.done)
}

func (d *dispatcher) refuse(w *waiter, err *RefusedError) {
	w.err, w.reason = err, err.Reason
	d.dismiss(w)
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
		d.gate.answered(fine, time.Now(), d.line.len == 0)
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
		d.shape.giveBack(t.taken)
	}
	if t.eased {
		d.gate.passing--
	}
}

// advanceLine spares those who find no line a look at the clock.
func (d *dispatcher) advanceLine() {
	if d.line.len > 0 {
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
		d.review(now)
		d.advance(now)
	}
	d.mu.Unlock()
	if closed && s.OnGate != nil {
		s.OnGate(ctx, d.key, until)
	}
}

// reset puts other settings in force, for the calls in line too.
func (d *dispatcher) reset(s *Settings, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = s
	d.shape = newShape(s, d.shape, now)
	d.gate.reset(now, s.Count == 0)
	d.review(now)
	d.advance(now)
}

// retire drops the dispatcher if it is in the state of a new one.
func (d *dispatcher) retire(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retired = d.line.len == 0 && d.active == 0 && !now.Before(d.gate.until) && d.shape.left(now) >= d.shape.room()
	return d.retired
}
