package breaker

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// probeWait is when a call that found a probe under way is told to come again.
// How long the probe takes cannot be known; most answer within this.
const probeWait = time.Second

// The states, by short names.
const (
	closed   = gobreaker.StateClosed
	halfOpen = gobreaker.StateHalfOpen
	open     = gobreaker.StateOpen
)

// What we tell gobreaker of an attempt that was not good.
var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

// circuit is the breaker of one key. The lock of gobreaker is only ever taken
// while mu is held, so its callbacks, which it makes under its own lock, find
// mu held too: they use what mu guards and lock nothing.
type circuit struct {
	key     string
	machine *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: it has not opened since it began

	mu    sync.Mutex
	rules *Settings       // in force for what is being done under mu
	state gobreaker.State // as last told by machine: asking would move it
	life  uint64          // counts the changes of state
	moved change          // what machine did that entered has not seen yet
	used  time.Time       // when a call last came

	// While closed.
	recent  window
	row     row       // of attempts that are waited for
	failing run       // of failures of any kind
	connect int       // ConnectFailures in a row
	since   time.Time // when it closed
	ramp    ramp      // since a probe closed it

	// While not closed.
	until time.Time // the gate: nothing is sent before
	held  bool      // an operator opened it, until one closes it: the gate does not open
	cause string    // why it opened
	doubt uint64    // the life whose attempts have not ended by which it opened; 0: it is certain
	probe probe     // while half-open

	hint    time.Time   // until when 503s asked for patience
	opened  int         // openings that did not last, in a row
	first   time.Time   // when the first of them was
	refused int         // calls since then
	before  [kinds]pace // when it opened last
}

// probe is the one under way.
type probe struct {
	verdict func(error) // gives its verdict to machine
	due     time.Time   // when it is overdue; zero: that is not known
}

func newCircuit(key string, rules *Settings, now time.Time) *circuit {
	c := &circuit{key: key, rules: rules, used: now}
	c.begin(now)
	return c
}

// begin makes the circuit a closed one of which nothing is known but what
// providers asked for. What is under way began in an earlier life.
func (c *circuit) begin(now time.Time) {
	c.state, c.life = closed, c.life+1
	c.failing, c.connect, c.opened, c.held, c.doubt, c.ramp = run{}, 0, 0, false, 0, ramp{}
	c.row.clear()
	c.since = now
	c.recent.reset(c.rules.Window, now)
	c.machine = nil
}

// allow lets an attempt pass by p, or refuses it. p.moved is what that, and the time, did to
// the circuit.
func (c *circuit) allow(p *permit, rules *Settings, replayable bool, now time.Time) (refused *OpenError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules, c.used = rules, now
	if !c.calm(now) {
		if refused = c.decide(p, replayable, now); refused != nil {
			c.refused++
			return refused
		}
	}
	p.life, p.begun = c.life, now
	if replayable { // else its client may be what is slow, or the answer is a conversation
		p.patience = c.patience(p.kind, now)
	}
	return nil
}

// calm reports that there is nothing to decide about an attempt: the circuit is closed and
// has not come back from anything, and nothing is overdue by which the provider could be
// presumed to be silent.
func (c *circuit) calm(now time.Time) bool {
	return c.state == closed && c.ramp.begun.IsZero() && c.row.inTime(now)
}

// decide is allow where there is something to decide.
func (c *circuit) decide(p *permit, replayable bool, now time.Time) (refused *OpenError) {
	p.moved = c.presume(now).added(p.moved)
	if p.probe, refused = c.admit(replayable, now); refused != nil {
		return refused
	}
	p.moved = c.entered(now).added(p.moved)
	return nil
}

// admit decides on an attempt. verdict takes that of a probe; nil: it is none.
//
// While the circuit is closed machine would let everything through, and only a
// failure that opens it can move it; so it is not asked before there is one.
func (c *circuit) admit(replayable bool, now time.Time) (verdict func(error), refused *OpenError) {
	if c.state == closed {
		if share := c.ramp.share(c.rules.Ramp, now); share < 1 && !c.ramp.admit(share, now) {
			return nil, &OpenError{Key: c.key, Until: c.ramp.again(c.rules, now), Share: share}
		}
		return nil, nil
	}
	if c.held {
		return nil, &OpenError{Key: c.key, Operator: true}
	}
	gate := c.gate()
	if now.Before(gate) {
		return nil, &OpenError{Key: c.key, Until: gate, Operator: c.cause == causeOperator}
	}
	if anyone := gate.Add(c.rules.Open); !replayable && now.Before(anyone) {
		return nil, &OpenError{Key: c.key, Until: earlier(anyone, now.Add(probeWait))}
	}
	done, err := c.machine.Allow()
	if err != nil { // a probe is under way
		return nil, &OpenError{Key: c.key, Until: now.Add(probeWait)}
	}
	c.probe = probe{verdict: done}
	return done, nil
}

// settle gives a permit back, with what became of its attempt. moved is what that did to
// the circuit.
func (c *circuit) settle(p *permit, rules *Settings, r *result) (was credit, moved []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
	if p.wait != nil {
		p.wait.over = true
	}
	if p.life == c.life && p.probe == nil && r.good() { // mostly, and it moves nothing
		counted, was := c.recent.at(r.ended, c.rules.Window)
		if counted != nil {
			c.thrive(counted, r)
		}
		c.row.remove(p.wait)
		return was, nil
	}
	was, m := c.conclude(p, r)
	return was, m.added(nil)
}

// conclude is settle where the attempt may move the circuit.
func (c *circuit) conclude(p *permit, r *result) (was credit, moved change) {
	if r.hint.After(c.hint) {
		c.hint = r.hint
	}
	if !r.good() {
		moved = c.lapse(r.ended)
	}
	if p.life != c.life {
		// The attempt began before the circuit last changed, and says nothing about
		// what it is now, unless it changed for want of this answer. (A probe's circuit
		// changes by the probe, by its being overdue, or by an operator, who has put
		// another machine in the place of the one that waits for it.)
		if !c.doubted(p, r) {
			return credit{}, moved
		}
		moved = c.reconsider(r.ended)
		was, _ = c.count(r)
		return was, moved
	}
	switch {
	case p.probe == nil:
		c.row.remove(p.wait)
		return c.count(r)
	case r.good():
		p.probe(nil)
	case r.bad():
		c.cause, c.doubt = "probe", 0
		p.probe(errFailed)
	default:
		p.probe(errIgnored)
		c.probe = probe{} // it makes room for the next
	}
	moved = c.entered(r.ended)
	if c.state == closed {
		was, _ = c.count(r) // it is the first attempt of the new window
	}
	return was, moved
}

// revoke turns a success into a failure: its body broke off.
func (c *circuit) revoke(was credit, rules *Settings, now time.Time) change {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
	if was.epoch != c.recent.epoch || c.state != closed {
		return change{} // what the window counts now began later
	}
	if t := c.recent.bucket(was.bucket); t != nil && t.ok > 0 {
		t.ok--
	}
	_, moved := c.count(&result{outcome: Failure, ended: now})
	return moved
}

// count adds a result to those of a closed circuit, and opens it if it has to be.
func (c *circuit) count(r *result) (was credit, moved change) {
	counted, was := c.recent.at(r.ended, c.rules.Window)
	switch {
	case counted == nil || !r.counts():
		return was, change{}
	case r.failed():
		c.fail(counted, r)
	default:
		c.thrive(counted, r)
	}
	if r.slow {
		counted.slow++
	}
	if r.bad() {
		moved = c.suspect(r.ended)
	}
	return was, moved
}

// thrive adds a success.
func (c *circuit) thrive(counted *tally, r *result) {
	counted.ok++
	counted.paces[r.kind].add(pace{answers: 1, longest: r.took})
	c.row.clear()
	c.failing.end()
	c.connect = 0
}

// fail adds a failure.
func (c *circuit) fail(counted *tally, r *result) {
	counted.failed++
	c.failing.add(r.ended)
	if r.outcome == ConnectFailure {
		c.connect++
	} else {
		c.connect = 0
	}
}

// suspect opens a closed circuit if there is a reason to.
func (c *circuit) suspect(now time.Time) change {
	cause := c.reason(now)
	if cause == "" {
		return change{}
	}
	c.trip(cause)
	return c.entered(now)
}

// reason is why a closed circuit has to open; "" if it has not.
//
// During a ramp a share says something from the first attempt on: what the probe
// found is in doubt until others find the same, and one failure after it opens
// the circuit again. Not so one failure among many: a provider at which one call
// in a hundred fails would never be back.
func (c *circuit) reason(now time.Time) string {
	all := c.recent.sum(c.recent.head)
	ended := float64(all.ended())
	inRow := min(c.failing.length, int(all.ended())) // those of them that the window has not left behind
	enough := all.ended() >= uint32(c.rules.MinCalls) || c.ramp.share(c.rules.Ramp, now) < 1
	switch {
	case c.rules.Consecutive > 0 && c.connect >= c.rules.Consecutive:
		return "connect"
	case enough && c.rules.FailureRatio > 0 && float64(all.failed)/ended >= c.rules.FailureRatio:
		return "failures"
	case c.rules.FailureRun > 0 && inRow >= c.rules.FailureRun && now.Sub(c.failing.begun) >= runLasts:
		return "run"
	case enough && c.rules.SlowRatio > 0 && float64(all.slow)/ended >= c.rules.SlowRatio:
		return "slow"
	}
	return ""
}

// trip opens machine, which is closed: one failure does, and only those that
// shall open it are ever told to it. Most circuits never open, and have none.
func (c *circuit) trip(cause string) {
	c.cause = cause
	if c.machine == nil {
		c.machine = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: c.key,
			// The gate, which is asked first, always holds for longer than this.
			Timeout:       time.Nanosecond,
			MaxRequests:   1,
			IsExcluded:    func(err error) bool { return err == errIgnored },
			ReadyToTrip:   func(gobreaker.Counts) bool { return true },
			OnStateChange: func(_ string, from, to gobreaker.State) { c.moved = change{from: from, to: to} },
		})
	}
	if done, err := c.machine.Allow(); err == nil { // nothing else can be: it is closed
		done(errFailed)
	}
}

// entered sets up the state that machine has just entered, if it has.
func (c *circuit) entered(now time.Time) change {
	if !c.moved.is() { // mostly
		return change{}
	}
	moved := c.moved
	c.moved = change{}
	c.state = moved.to
	c.life++
	moved.cause = c.cause
	switch c.state {
	case open:
		if moved.from == closed {
			c.remember()
			if now.Sub(c.since) >= c.rules.Window {
				c.opened = 0
			}
		}
		if c.opened == 0 {
			c.first, c.refused = now, 0
		}
		c.until = now.Add(c.rules.openFor(c.opened))
		c.opened++
		moved.until = c.gate()
	case closed:
		moved.cause = ""
		c.since, c.doubt = now, 0
		c.row.clear()
		c.ramp = ramp{begun: now}
		c.recent.reset(c.rules.Window, now)
	}
	return moved
}

// idle reports whether the circuit keeps no call back and may be forgotten, and
// when it was last used.
func (c *circuit) idle(window time.Duration, now time.Time) (used time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == closed {
		return c.used, c.ramp.share(c.rules.Ramp, now) == 1
	}
	return c.used, !c.held && !now.Before(c.gate()) && now.Sub(c.used) >= window
}

// gate is the time before which nothing is sent if the circuit is not closed.
func (c *circuit) gate() time.Time {
	if c.hint.After(c.until) {
		return c.hint
	}
	return c.until
}

// atLeast keeps the gate closed for a moment, as machine is when it has just opened.
func (c *circuit) atLeast(now time.Time) {
	if least := now.Add(shortest); c.until.Before(least) {
		c.until = least
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
