package limit

import (
	"context"
	"errors"
	"slices"
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

// A dispatcher is the quotas of one scope, and all who wait for them. Whoever changes
// what somebody waits for calls advance, so at any time the head of each lane waits for
// something, and the timer is set to when the first of that ends.
type dispatcher struct {
	mu      sync.Mutex
	tables  *Quotas // in force
	retired bool    // dropped; nobody may enter
	meters  map[station]*meter
	lanes   map[laneKey]*lane // by the order in which a way names its stops, too
	sweepAt int               // the size of lanes or meters at which to look for idle ones

	backlog   []*lane           // those in which somebody waits, in the order of their tags
	clock     [priorities]int64 // of each class: where the turn of the last lane ended
	heads     uint64            // see tag.since
	pass      uint64            // how often the heads have been looked at
	disturbed bool              // somebody goes later than was told
	timer     *time.Timer       // calls tick; nil until somebody waits
	next      time.Time         // when it does, if somebody waits
}

func newDispatcher(inForce *Quotas) *dispatcher {
	return &dispatcher{
		tables: inForce, meters: make(map[station]*meter), lanes: make(map[laneKey]*lane), sweepAt: maxKeys,
	}
}

// lane is that of the calls with these stations.
func (d *dispatcher) lane(now time.Time, stations []station) *lane {
	key := keyOf(stations)
	if l := d.lanes[key]; l != nil {
		return l
	}
	if max(len(d.lanes), len(d.meters)) >= d.sweepAt {
		d.sweep(now)
	}
	meters := d.metersOf(stations, true)
	name := d.name(meters)
	l := d.lanes[name]
	if l == nil {
		l = &lane{meters: meters, maxWait: patience(meters)}
		d.lanes[name] = l
	}
	d.lanes[key] = l
	return l
}

// metersOf are the meters of stations, each once; those that are not there begin now,
// or are left out.
func (d *dispatcher) metersOf(stations []station, begin bool) []*meter {
	var meters []*meter
	for _, s := range stations {
		m := d.meters[s]
		if m == nil && begin {
			table := d.tables.table(s.table)
			if table == nil {
				continue // a reload has dropped it
			}
			m = newMeter(s, table)
			d.meters[s] = m
		}
		if m != nil && !slices.Contains(meters, m) {
			meters = append(meters, m)
		}
	}
	return meters
}

// name is the key of the one lane that passes these meters.
func (d *dispatcher) name(meters []*meter) laneKey {
	stations := make([]station, len(meters))
	for i, m := range meters {
		stations[i] = m.station
	}
	return canonical(stations)
}

// sweep drops the lanes in which nobody waits, and the meters that are idle.
func (d *dispatcher) sweep(now time.Time) {
	for key, l := range d.lanes {
		if l.line.len() == 0 {
			delete(d.lanes, key)
		}
	}
	for s, m := range d.meters {
		if m.idle(now) {
			delete(d.meters, s)
		}
	}
	d.sweepAt = max(maxKeys, 2*max(len(d.lanes), len(d.meters)))
}

// try gives a turn to a call that need not wait for it: all its meters let it go now,
// and nobody who waits goes later for it. The error is errRetired.
func (d *dispatcher) try(stations []station, cost int) (t turn, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// The clock is read with the lock held, here and everywhere: a Limiter that
	// is given an earlier time than before sets its own clock back, and fills
	// up twice for the time between.
	now := time.Now()
	if d.retired {
		return turn{}, false, errRetired
	}
	l := d.lane(now, stations)
	if awaited(l.meters) && !now.Before(d.next) {
		d.advance(now) // The timer is late.
	}
	if l.line.len() > 0 || !d.mayGo(l, now, cost) {
		return turn{}, false, nil
	}
	return d.take(l, now, cost), true, nil
}

// join gives w a place in line, or a refusal, if waiting is of no use.
func (d *dispatcher) join(w *waiter, stations []station) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.retired {
		return errRetired
	}
	l := d.lane(now, stations)
	d.advance(now)
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
	if !w.queued { // It has not waited.
		w.onQueue, w.onWait = nil, nil
	}
	return nil
}

// crowded makes room for w where too many wait. Those stay who go first, whenever they
// came: so a batch that fills a line keeps nobody else out of it. The error says that
// it is w who has to go. A meter at which nobody may wait does not count those who
// wait for another.
func (d *dispatcher) crowded(w *waiter, now time.Time) error {
	for _, m := range w.lane.meters {
		if m.settings.MaxWait == 0 || m.waiting.calls <= m.settings.MaxQueue {
			continue
		}
		last := d.lastAt(m)
		err := m.refused(QueueFull, last.lane.wait(now, last, last.place))
		if last == w {
			w.lane.line.remove(w)
			d.changed(w.lane, now)
			return err
		}
		d.refuse(now, last, err)
	}
	return nil
}

// lastAt is who goes last of those who wait at m. Of lanes that take turns it is the
// one with most before it.
func (d *dispatcher) lastAt(m *meter) *waiter {
	var last *waiter
	later := func(w, than *waiter) bool {
		if w.priority != than.priority {
			return w.priority < than.priority
		}
		k := w.priority.index()
		own, other := w.lane.line.classes[k].waiting.cost, than.lane.line.classes[k].waiting.cost
		return own > other || own == other && w.arrived.After(than.arrived)
	}
	for _, l := range d.backlog {
		if w := l.line.last(); l.has(m) && (last == nil || later(w, last)) {
			last = w
		}
	}
	return last
}

// await returns when it is the turn of w, which has joined, or says why it will
// not be.
func (d *dispatcher) await(ctx context.Context, w *waiter) (turn, error) {
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
		w.onWait(ctx, w.key, time.Since(w.joined), w.reason)
	}
	settled = true
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

// take spends what a call costs at all meters of its lane.
func (d *dispatcher) take(l *lane, now time.Time, cost int) turn {
	t := turn{d: d, meters: l.meters, taken: now, cost: cost}
	for _, m := range l.meters {
		m.shape.spend(now, cost)
		m.active++
		if m.gate.pass() {
			t.eased = append(t.eased, m)
		}
		t.learns = t.learns || m.settings.Learn
	}
	return t
}

// advance lets everyone go whose turn it is, refuses those who cannot have theirs
// in time any more, and sets the timer for the next.
func (d *dispatcher) advance(now time.Time) {
	var aged []*lane
	for _, l := range d.backlog {
		if l.line.age(now, l.step()) {
			aged = append(aged, l)
		}
	}
	for _, l := range aged {
		d.changed(l, now)
	}
	for d.admit(now); d.expire(now) || d.reviewed(now); d.admit(now) {
	}
	d.setTimer(now)
}

// changed notes that the line of l has.
func (d *dispatcher) changed(l *lane, now time.Time) {
	d.enqueue(l)
	l.count(now)
	d.disturbed = d.disturbed || l.line.disturbed
	l.line.disturbed = false
}

// reviewed looks at everyone again if somebody has got a place before others, and
// reports whether it did.
func (d *dispatcher) reviewed(now time.Time) bool {
	if !d.disturbed {
		return false
	}
	d.disturbed = false
	d.review(now)
	return true
}

// review refuses those in line whose turns have moved too far.
func (d *dispatcher) review(now time.Time) {
	for _, l := range slices.Clone(d.backlog) {
		for _, w := range l.late(now) {
			if err := l.refusal(now, w, w.place); err != nil {
				d.refuse(now, w, err)
			}
		}
	}
}

// expire refuses one who has waited for too long, or who has come to a meter at which
// nobody may wait, and reports whether there was one.
func (d *dispatcher) expire(now time.Time) bool {
	for _, l := range d.backlog {
		if w := l.line.oldest(); now.Sub(w.arrived) >= l.maxWait {
			d.refuse(now, w, l.refused(QueueTimeout, now, w, w.place))
			return true
		}
		w := l.line.first()
		if err := l.unwilling(now, w, w.place); err != nil && !l.worthWaiting(now, w.cost) {
			d.refuse(now, w, err)
			return true
		}
	}
	return false
}

// setTimer sets the timer for the turn of the first head, if that can be known, for the
// end of somebody's patience, or for when somebody moves up.
func (d *dispatcher) setTimer(now time.Time) {
	d.next = time.Time{}
	sooner := func(at time.Time) {
		if d.next.IsZero() || at.Before(d.next) {
			d.next = at
		}
	}
	for _, l := range d.backlog {
		sooner(l.line.oldest().arrived.Add(l.maxWait))
		if !l.wake.IsZero() {
			sooner(l.wake)
		}
		if at, ok := l.line.nextAge(l.step()); ok {
			sooner(at)
		}
	}
	switch delay := max(d.next.Sub(now), 1); { // A turn that could not be taken is not now, whatever a float says.
	case len(d.backlog) > 0 && d.timer == nil:
		d.timer = time.AfterFunc(delay, d.tick)
	case len(d.backlog) > 0:
		d.timer.Reset(delay)
	case d.timer != nil:
		d.timer.Stop()
	}
}

// tick is what the timer does. It may come late or once too often.
func (d *dispatcher) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance(time.Now())
}

func (d *dispatcher) refuse(now time.Time, w *waiter, err *RefusedError) {
	w.err, w.reason = err, err.Reason
	w.lane.line.remove(w)
	d.changed(w.lane, now)
	close(w.done)
}

// retire drops the dispatcher if it is in the state of a new one.
func (d *dispatcher) retire(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retired = len(d.backlog) == 0
	for _, m := range d.meters {
		d.retired = d.retired && m.idle(now)
	}
	return d.retired
}
