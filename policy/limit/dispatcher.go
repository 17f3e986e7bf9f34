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
	waitQuota       = "quota" // as answers tell of it
	waitGate        = "gate"
	waitCanceled    = "canceled"
)

var (
	// errRetired says that a dispatcher has been dropped: get another one.
	errRetired = errors.New("dispatcher retired")
	// errOccupied says that a call has to wait.
	errOccupied = errors.New("dispatcher occupied")
)

// A dispatcher is the quotas of one scope, and all who wait for them. Whoever changes
// what somebody waits for calls advance, so at any time the head of each lane waits for
// something, and the timer is set to when the first of that ends.
type dispatcher struct {
	mu      sync.Mutex
	latest  time.Time   // that it was given, or has looked at
	tables  *Quotas     // in force
	retired bool        // dropped; nobody may enter
	into    *dispatcher // that has taken all of it over; nil: none
	meters  map[station]*meter
	lanes   map[laneKey]*lane // by the order in which a way names its stops, too
	last    visit             // the latest
	sweepAt int               // the size of lanes or meters at which to look for idle ones

	backlog   []*lane           // those in which somebody waits, in the order of their tags
	clock     [priorities]int64 // of each class: where the turn of the last lane ended
	heads     uint64            // see tag.since
	pass      uint64            // how often the heads have been looked at
	disturbed bool              // somebody goes later than was told
	timer     *time.Timer       // calls tick; nil until somebody waits
	next      time.Time         // when it does, if somebody waits
	inVain    int               // how often it has since somebody went, was refused, moved up or became ripe
}

func newDispatcher(inForce *Quotas) *dispatcher {
	return &dispatcher{
		tables: inForce, meters: make(map[station]*meter), lanes: make(map[laneKey]*lane), sweepAt: maxKeys,
	}
}

// lock locks the dispatcher, or the one that has taken it over, and returns it.
func (d *dispatcher) lock() *dispatcher {
	d.mu.Lock()
	if d.into == nil { // mostly
		return d
	}
	into := d.into
	d.mu.Unlock()
	return into.lock()
}

// at is a time that was looked at before the lock was had, or the latest that others had
// seen until then: a Limiter that is given an earlier time than before sets its own clock
// back, and fills up twice for the time between.
func (d *dispatcher) at(now time.Time) time.Time {
	if now.Before(d.latest) {
		return d.latest
	}
	d.latest = now
	return now
}

// now is the time, for who has the lock.
func (d *dispatcher) now() time.Time { return d.at(time.Now()) }

// try gives the turn t to a call that need not wait for it: all its meters let it go now,
// and nothing is kept there that it would spend. Else the error is errOccupied, and t.behind
// says what the call would wait for; or it is errRetired.
func (d *dispatcher) try(now time.Time, t *turn, stations []station) error {
	d = d.lock()
	defer d.mu.Unlock()
	now = d.at(now)
	if d.retired {
		return errRetired
	}
	if len(d.backlog) > 0 {
		d.catchUp(now)
	}
	l := d.laneOf(now, stations, t.req)
	if l.line.len() > 0 || !d.mayGo(l, now, t.cost) {
		t.behind = l.behind(now, t.cost)
		return errOccupied
	}
	delays := d.delays(l, now, t.cost)
	d.take(t, l, now)
	if delays {
		d.advance(now)
	}
	return nil
}

// join gives w a place in line, or a refusal, if waiting is of no use.
func (d *dispatcher) join(w *waiter, stations []station) error {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	if d.retired {
		return errRetired
	}
	d.catchUp(now)
	l := d.lane(now, stations, w.route)
	w.lane = l
	w.judge(l.maxWait)
	p := l.placeOf(w, now)
	if err := l.unwilling(now, w, p); err != nil {
		return err
	}
	if err := l.refusal(now, w, p); err != nil {
		return err
	}
	l.line.push(w, now, l.step())
	d.changed(l, now)
	d.disturbed = d.disturbed || l.shared()
	if err := d.crowded(w, now); err != nil {
		return err
	}
	w.note(now)
	d.advance(now)
	if !w.queued {
		w.passed(now)
	}
	return nil
}

// await returns when it is the turn of w, which has joined, or says why it will
// not be.
func (d *dispatcher) await(ctx context.Context, w *waiter) error {
	settled := false
	defer func() {
		if !settled { // A callback panicked.
			d.leave(w, context.Canceled)
		}
	}()
	if w.onQueue != nil {
		w.onQueue(ctx, w.key, w.expected)
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		d.leave(w, context.Cause(ctx))
	}
	if w.onWait != nil {
		w.onWait(ctx, w.key, time.Since(w.arrived), w.reason)
	}
	settled = true
	return w.err
}

// leave takes w out of line. If it was given its turn at this very moment, it
// gives that back. It costs nothing and the others move up.
func (d *dispatcher) leave(w *waiter, cause error) {
	d = d.lock()
	defer d.mu.Unlock()
	now := d.now()
	switch {
	case w.queued:
		w.lane.line.remove(w)
		d.changed(w.lane, now)
	case w.err == nil:
		w.turn.drop(now, false)
	default:
		return // refused at this very moment
	}
	w.turn, w.err, w.reason = turn{}, cause, waitCanceled
	d.advance(now)
}

// take spends what a call costs at all meters of its lane, for the turn t.
func (d *dispatcher) take(t *turn, l *lane, now time.Time) {
	cost := t.cost
	d.inVain = 0
	l.sent++
	l.flying += cost
	t.d, t.lane, t.seq, t.meters, t.taken = d, l, l.sent, l.meters, now
	if l.base != nil {
		t.learner = l.base.settings
	}
	for _, m := range l.meters {
		m.shape.Spend(now, cost)
		m.adaptive.Spend(now, cost)
		m.active++
		if m.gate.pass() {
			t.ease(m)
		}
	}
}

// retire drops the dispatcher if it is in the state of a new one, and no call has come to it
// since a time.
func (d *dispatcher) retire(now, since time.Time) bool {
	d = d.lock()
	defer d.mu.Unlock()
	d.retired = len(d.backlog) == 0 && !d.latest.After(since)
	for _, m := range d.meters {
		d.retired = d.retired && m.idle(now)
	}
	return d.retired
}
