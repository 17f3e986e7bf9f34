package breaker

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// A kind of requests: those whose answers say how long the next one should take. An
// upstream that lists in no time may well need long to make something of what it listed.
type kind int

const (
	reading kind = iota
	writing
	kinds
)

// kindOf goes by the methods that are safe (RFC 9110 section 9.2.1, and QUERY).
func kindOf(req *http.Request) kind {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return reading
	}
	return writing
}

// pace is how long answers took until their headers.
type pace struct {
	answers uint32
	longest time.Duration
}

func (p *pace) add(other pace) {
	p.answers += other.answers
	p.longest = max(p.longest, other.longest)
}

// wait is that for the answer to one attempt. Its circuit's lock guards it.
type wait struct {
	circuit  *circuit
	patience time.Duration // after which the attempt is overdue; 0: never
	life     uint64        // of the circuit
	row      uint64        // the number of the row that it is in
	due      time.Time     // when it is overdue; zero: it has not gone to the network yet
	over     bool          // the attempt has ended
}

// Begun notes that the request of a context goes to the network now. The innermost stage
// calls it: what was waited for before, such as a turn, was not the provider's answer. An
// attempt of which it is not told is never overdue.
func Begun(ctx context.Context, now time.Time) {
	if r, ok := ctx.Value(RoomKey{}).(*Room); ok && r.wait.patience > 0 {
		r.wait.circuit.sent(&r.wait, now)
	}
}

// row is what is waited for of all that was sent since the last good answer. Waits of one
// time are alike, so their times are all that it has to know.
type row struct {
	number uint64      // counts the good answers
	dues   []time.Time // in order
}

// clear begins another row.
func (r *row) clear() {
	r.number++
	r.dues = r.dues[:0]
}

func (r *row) add(w *wait) {
	w.row = r.number
	if n := len(r.dues); n == 0 || !w.due.Before(r.dues[n-1]) { // as mostly
		r.dues = append(r.dues, w.due)
		return
	}
	r.insert(w.due)
}

func (r *row) insert(due time.Time) {
	i, _ := slices.BinarySearchFunc(r.dues, due, time.Time.Compare)
	r.dues = slices.Insert(r.dues, i, due)
}

// remove takes a wait out that is over, if it is in this row.
func (r *row) remove(w *wait) {
	if w == nil || w.row != r.number { // as after a good answer
		return
	}
	r.delete(w.due)
}

func (r *row) delete(due time.Time) {
	if i, found := slices.BinarySearchFunc(r.dues, due, time.Time.Compare); found {
		r.dues = slices.Delete(r.dues, i, i+1)
	}
}

// inTime reports whether none of them is overdue.
func (r *row) inTime(now time.Time) bool { return len(r.dues) == 0 || now.Before(r.dues[0]) }

// overdue counts those that are.
func (r *row) overdue(now time.Time) int {
	if r.inTime(now) {
		return 0
	}
	n, _ := slices.BinarySearchFunc(r.dues, now.Add(1), time.Time.Compare) // an attempt is overdue at its time
	return n
}

// patience is how long the answer to a request of a kind may take before its attempt is
// overdue. 0: that is not known.
func (c *circuit) patience(k kind, now time.Time) time.Duration {
	if c.rules.Overdue == 0 {
		return 0
	}
	known := c.known(k, now)
	if known.answers == 0 || known.answers < uint32(c.rules.MinCalls) {
		return 0
	}
	return max(c.rules.Overdue, 2*known.longest)
}

// known is the pace of a kind: that of the window, and until a circuit that opened is back
// for good, what it was before as well.
func (c *circuit) known(k kind, now time.Time) (known pace) {
	if c.state == closed {
		older, last := c.recent.parts(c.recent.number(now))
		known = older.paces[k]
		if last != nil {
			known.add(last.paces[k])
		}
		if c.ramp.share(c.rules.Ramp, now) >= 1 {
			return known
		}
	}
	known.add(c.before[k])
	return known
}

// remember keeps the paces of a closed circuit that opens.
func (c *circuit) remember() {
	for k, p := range c.recent.sum(c.recent.head).paces {
		if p.answers >= uint32(c.rules.MinCalls) {
			c.before[k] = p
		} else {
			c.before[k].add(p)
		}
	}
}

// sent begins a wait.
func (c *circuit) sent(w *wait, now time.Time) {
	c.mu.Lock() // and not deferred: nothing below can panic
	if !w.over && w.due.IsZero() && w.life == c.life {
		w.due = now.Add(w.patience)
		if c.state == closed {
			c.row.add(w)
		} else {
			c.probe.due = w.due
		}
	}
	c.mu.Unlock()
}

// presume draws the conclusion from what is overdue: a closed circuit opens, and a half-open
// one opens again. That is in doubt until those attempts end.
//
// It is done when a call comes: before that it would keep nobody back.
func (c *circuit) presume(now time.Time) change {
	if c.state != closed || !c.silent(now) {
		return c.lapse(now)
	}
	c.doubt = c.life
	c.trip("silent")
	return c.entered(now)
}

// lapse goes on without a probe that is overdue, from when it became that.
func (c *circuit) lapse(now time.Time) change {
	if c.state != halfOpen || c.rules.Overdue == 0 || c.probe.due.IsZero() || now.Before(c.probe.due) {
		return change{}
	}
	if c.doubt == 0 {
		c.doubt = c.life
	}
	c.cause = "probe"
	c.probe.verdict(errFailed)
	moved := c.entered(c.probe.due)
	c.atLeast(now)
	moved.until = c.gate()
	return moved
}

// silent reports whether those that are overdue make a run of failures, by themselves or
// with those that ended.
func (c *circuit) silent(now time.Time) bool {
	overdue := c.row.overdue(now)
	if overdue == 0 || c.rules.Overdue == 0 || c.rules.FailureRun == 0 {
		return false
	}
	ended := c.recent.sum(c.recent.number(now))
	return overdue+min(c.failing.length, int(ended.ended())) >= c.rules.FailureRun
}

// doubted reports whether an attempt that began in an earlier life has ended in a way that
// shows that the circuit should not have opened.
func (c *circuit) doubted(p *permit, r *result) bool {
	return c.doubt != 0 && p.life >= c.doubt && r.good()
}

// reconsider closes the circuit by a good answer that came late after all: that of a probe,
// or one that is as good.
func (c *circuit) reconsider(now time.Time) change {
	moved := change{from: c.state, to: closed}
	opened := c.opened
	c.begin(now) // a probe under way no longer decides anything
	c.opened = opened
	c.ramp = ramp{begun: now}
	return moved
}
