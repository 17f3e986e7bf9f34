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
	settling bool        // a call has its turn here, and tries to get one at its other quotas
	timer    *time.Timer // calls tick; nil until somebody waits
}

func newDispatcher(key string, s *Settings) *dispatcher {
	return &dispatcher{key: key, settings: s, shape: newShape(s, nil, time.Time{})}
}

// try gives a turn to a call that need not wait for it: nobody is in line, and it
// may go now.
func (d *dispatcher) try(cost int) (t turn, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// The clock is read with the lock held, here and everywhere: a Limiter that
	// is given an earlier time than before sets its own clock back, and fills
	// up twice for the time between.
	now := time.Now()
	if d.retired {
		return turn{}, false, errRetired
	}
	if d.line.len() > 0 {
		d.advance(now) // The timer may be late.
	}
	if d.line.len() > 0 || d.settling {
		return turn{}, false, nil
	}
	t, ok = d.take(now, cost)
	return t, ok, nil
}

// join gives w a place in line, or a refusal, if waiting is of no use.
func (d *dispatcher) join(w *waiter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.retired {
		return errRetired
	}
	d.advance(now)
	w.judge(d.settings.MaxWait)
	if err := d.refusal(now, w, d.placeOf(w, now)); err != nil {
		return err
	}
	d.line.push(w, now, d.step())
	if err := d.crowded(w, now); err != nil {
		return err
	}
	w.joined, w.reason, w.onWait, w.onQueue = now, d.obstacle(now), d.settings.OnWait, d.settings.OnQueue
	w.turn, w.err, w.done = turn{}, nil, make(chan struct{})
	if w.onQueue != nil {
		w.expected = now.Add(d.wait(now, w, w.place))
	}
	d.advance(now)
	return nil
}

// crowded makes room for w where the line is too long. Those stay who go first,
// whenever they came: so a batch that fills the line keeps nobody else out of it.
// The error says that it is w who has to go.
func (d *dispatcher) crowded(w *waiter, now time.Time) error {
	if d.line.len() <= d.settings.MaxQueue {
		return nil
	}
	last := d.line.last()
	err := d.refused(QueueFull, d.wait(now, last, last.place))
	if last == w {
		d.line.remove(w)
		return err
	}
	d.refuse(last, err)
	return nil
}

// await returns when it is the turn of w, which has joined, or says why it will
// not be.
func (d *dispatcher) await(ctx context.Context, w *waiter) (turn, error) {
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
		w.onWait(ctx, d.key, time.Since(w.joined), w.reason)
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
func (d *dispatcher) take(now time.Time, cost int) (turn, bool) {
	if now.Before(d.gate.until) || d.full() || d.gate.narrow() || !d.shape.take(now, cost) {
		return turn{}, false
	}
	d.active++
	return turn{d: d, taken: now, cost: cost, eased: d.gate.pass()}, true
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

// step is the time after which a waiter moves up a class. Two steps take the
// lowest to the highest, so each call has at least the last third of MaxWait in
// which no newcomer goes before it for its priority.
func (d *dispatcher) step() time.Duration { return d.settings.MaxWait / priorities }

// placeOf is where w would stand in line.
func (d *dispatcher) placeOf(w *waiter, now time.Time) place {
	return d.line.placeOf(w, now, d.step())
}

// advance lets everyone go whose turn it is, refuses those who cannot have theirs
// in time any more, and sets the timer for the next.
func (d *dispatcher) advance(now time.Time) {
	d.line.age(now, d.step())
	for d.admit(now) || d.expire(now) || d.disturbed(now) {
	}
	d.setTimer(now)
}

// disturbed looks at everyone again if somebody has got a place before others, and
// reports whether it did.
func (d *dispatcher) disturbed(now time.Time) bool {
	if !d.line.disturbed {
		return false
	}
	d.line.disturbed = false
	d.review(now)
	return true
}

// admit lets the head of the line go, if it may. One that needs other turns too
// has to have them, or to have given up this one, before the next may go: so
// those behind it do not get there first.
func (d *dispatcher) admit(now time.Time) bool {
	w := d.line.first()
	if w == nil || d.settling {
		return false
	}
	t, ok := d.take(now, w.cost)
	if !ok {
		return false
	}
	t.settles, d.settling = w.shared, w.shared
	w.turn = t
	d.line.serve(w)
	close(w.done)
	return true
}

// expire refuses the one who has waited longest, if that was too long.
func (d *dispatcher) expire(now time.Time) bool {
	w := d.line.oldest()
	if w == nil || now.Sub(w.arrived) < d.settings.MaxWait {
		return false
	}
	d.refuse(w, d.refused(QueueTimeout, d.wait(now, w, w.place)))
	return true
}

// setTimer sets the timer for the turn of the head, if that can be known, for the
// end of somebody's patience, or for when somebody moves up.
func (d *dispatcher) setTimer(now time.Time) {
	w := d.line.first()
	if w == nil {
		if d.timer != nil {
			d.timer.Stop()
		}
		return
	}
	next := d.line.oldest().arrived.Add(d.settings.MaxWait)
	if at := d.turnOf(now, 0, w.cost); !d.settling && !d.full() && !d.gate.narrow() && at.Before(next) {
		next = at
	}
	if at, ok := d.line.nextAge(d.step()); ok && at.Before(next) {
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

func (d *dispatcher) refuse(w *waiter, err *RefusedError) {
	w.err, w.reason = err, err.Reason
	d.line.remove(w)
	close(w.done)
}

// reset puts other settings in force, for the calls in line too.
func (d *dispatcher) reset(s *Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.settings = s
	d.shape = newShape(s, d.shape, now)
	d.gate.reset(now, s.Count == 0)
	d.line.order.judge(s.MaxWait)
	d.review(now)
	d.advance(now)
}

// retire drops the dispatcher if it is in the state of a new one.
func (d *dispatcher) retire(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retired = d.line.len() == 0 && d.active == 0 && !now.Before(d.gate.until) && d.shape.left(now) >= d.shape.room()
	return d.retired
}
