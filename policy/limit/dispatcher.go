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

func newDispatcher(key string, s *Settings) *dispatcher {
	return &dispatcher{key: key, settings: s, shape: newShape(s, nil, time.Time{})}
}

// enter returns when it is the caller's turn, or says why it will not be.
func (d *dispatcher) enter(ctx context.Context) (turn, error) {
	t, w, err := d.join(ctx)
	if w == nil {
		return t, err
	}
	if w.onQueue != nil {
		w.onQueue(ctx, d.key, w.expected)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		d.leave(w, context.Cause(ctx))
	}
	if w.onWait != nil {
		w.onWait(ctx, d.key, time.Since(w.arrived), w.reason)
	}
	return w.turn, w.err
}

// join gives the caller a turn, if it need not wait, or a refusal, if waiting
// is of no use, or else a place in line.
func (d *dispatcher) join(ctx context.Context) (turn, *waiter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// The clock is read with the lock held, here and everywhere: a Limiter that
	// is given an earlier time than before sets its own clock back, and fills
	// up twice for the time between.
	now := time.Now()
	if d.retired {
		return turn{}, nil, errRetired
	}
	if d.line.len > 0 {
		d.advance(now) // The timer may be late.
	}
	if d.line.len == 0 {
		if t, ok := d.take(now); ok {
			return t, nil, nil
		}
	}

	w := newWaiter(ctx, now)
	if err := d.refusal(w, now, d.line.len); err != nil {
		return turn{}, nil, err
	}
	if d.line.len >= d.settings.MaxQueue {
		return turn{}, nil, d.refused(QueueFull, d.wait(now, d.line.len))
	}
	w.reason, w.onWait, w.onQueue = d.obstacle(now), d.settings.OnWait, d.settings.OnQueue
	if w.onQueue != nil {
		w.expected = now.Add(d.wait(now, d.line.len))
	}
	d.line.push(w)
	if d.line.head == w {
		d.advance(now)
	}
	return turn{}, w, nil
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

// reset puts other settings in force, for the calls in line too.
func (d *dispatcher) reset(s *Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
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
