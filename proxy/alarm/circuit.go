package alarm

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// The rules of alerts about circuits. One that opens again soon was not over: after a probe
// calls come back step by step, and half of the providers that are down fail again then.
// One that opens, and is over, time and again is told of as that, in place of each time.
var (
	circuitOpen     = alert.Rule{Name: "circuit-open", Severity: alert.Critical, Settle: time.Minute}
	circuitFlapping = alert.Rule{Name: "circuit-flapping", Severity: alert.Critical, Settle: flapSpan}

	circuitRules = []alert.Rule{circuitOpen, circuitFlapping}
)

const (
	// flapSpan is the time within which a circuit opens flapTimes, and is closed for good in
	// between, if it is flapping.
	flapSpan  = 15 * time.Minute
	flapTimes = 3
	// operator is the cause of a circuit that one has opened.
	operator = "operator"
)

// circuitAlerts tell of circuits that are open: of their opening by its event, and from then
// on by looks, which know how many calls were refused.
type circuitAlerts struct {
	book *alert.Book

	mu     sync.Mutex
	raised map[string]openCircuit // subjects that are open
	seen   map[string]time.Time   // subject → when it was last
	opened map[string][]time.Time // subject → its latest openings for good, within flapSpan
}

// An openCircuit is a circuit as it was when it was seen last.
type openCircuit struct {
	policy.CircuitStatus
	upstream string
}

func newCircuitAlerts(book *alert.Book) *circuitAlerts {
	return &circuitAlerts{book: book, raised: make(map[string]openCircuit), seen: make(map[string]time.Time), opened: make(map[string][]time.Time)}
}

// changed learns that a circuit has opened, or that one that had is closed again. trace is that
// of the call that had it do so.
func (c *circuitAlerts) changed(trace string, e policy.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.To {
	case "open":
		c.raise(e.Upstream, policy.CircuitStatus{Key: e.Key, State: e.To, Until: &e.Until, Cause: e.Reason}, trace, time.Now())
	case "closed":
		if was, raised := c.raised[marked(e.Upstream, circuitMark, e.Key)]; raised {
			was.State, was.Cause = e.To, ""
			c.amend(marked(e.Upstream, circuitMark, e.Key), was)
		}
	}
}

// look brings what is open up to date, and ends what is not any more. What an operator
// opened is no news.
func (c *circuitAlerts) look(upstreams []policy.UpstreamStatus, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := make(map[string]bool)
	ordered := make(map[string]policy.CircuitStatus) // subject → circuit that an operator has opened
	for _, up := range upstreams {
		for _, circuit := range up.Circuits {
			subject := marked(up.Name, circuitMark, circuit.Key)
			if circuit.Cause == operator {
				ordered[subject] = circuit
				continue
			}
			_, before := c.raised[subject]
			if circuit.Since != nil && (before || circuit.State == "open") {
				open[subject] = true
				c.raise(up.Name, circuit, "", now)
			}
		}
	}
	for subject, was := range c.raised {
		if !open[subject] {
			c.book.Resolve(subject, circuitRules...)
			was.State, was.Cause = "closed", ""
			if now, open := ordered[subject]; open {
				was.CircuitStatus = now
			}
			c.amend(subject, was)
			delete(c.raised, subject)
		}
	}
	for subject, last := range c.seen {
		if now.Sub(last) >= flapSpan {
			delete(c.seen, subject)
			delete(c.opened, subject)
		}
	}
}

// raise says that a circuit is open, as what it has become by now. The lock is held.
func (c *circuitAlerts) raise(upstream string, circuit policy.CircuitStatus, trace string, now time.Time) {
	subject := marked(upstream, circuitMark, circuit.Key)
	c.raised[subject] = openCircuit{circuit, upstream}
	trouble := alert.Trouble{Subject: subject, Trace: trace, Calls: circuit.Refused, Detail: circuitDetail(circuit),
		Action: circuitAction(upstream, circuit, circuitOpen)}
	last, known := c.seen[subject]
	if c.seen[subject] = now; !known || now.Sub(last) >= circuitOpen.Settle && !c.book.Lasts(subject, circuitOpen) {
		c.opened[subject] = append(recentTimes(c.opened[subject], now), now)
	}
	times := len(c.opened[subject])
	if times >= flapTimes || c.book.Lasts(subject, circuitFlapping) {
		flapping := trouble
		flapping.Title = "Circuit of " + upstream + " flapping"
		flapping.Detail, flapping.Action = c.flapped(subject, trouble.Detail), circuitAction(upstream, circuit, circuitFlapping)
		if c.book.Raise(circuitFlapping, flapping) {
			return
		}
	}
	trouble.Title = "Circuit of " + upstream + " open"
	c.book.Raise(circuitOpen, trouble)
}

// amend says of alerts that last, or are about to be over, what the circuit is by now, as the
// status beside them does. The lock is held.
func (c *circuitAlerts) amend(subject string, circuit openCircuit) {
	for _, rule := range circuitRules {
		detail := circuitDetail(circuit.CircuitStatus)
		if rule.Name == circuitFlapping.Name {
			detail = c.flapped(subject, detail)
		}
		c.book.Amend(rule, subject, detail, circuitAction(circuit.upstream, circuit.CircuitStatus, rule))
	}
}

// flapped is the detail of a circuit that has opened again and again. The lock is held.
func (c *circuitAlerts) flapped(subject, detail string) string {
	return fmt.Sprintf("it opened %d times within %s, and now %s", len(c.opened[subject]), config.Duration(flapSpan), detail)
}

// metCircuit tells the alerts that a call met which an open circuit refused: that of its host
// and connection, or of its host and whatever else it carried.
func metCircuit(r *telemetry.Record) func(alert.Alert) bool {
	subject := marked(r.Upstream, circuitMark, r.Host)
	if r.Connection != "" {
		subject += " " + r.Connection
	}
	return func(met alert.Alert) bool {
		return isOneOf(circuitRules, met.Rule) &&
			(met.Subject == subject || r.Connection == "" && strings.HasPrefix(met.Subject, subject+" "))
	}
}

// recentTimes are those within flapSpan.
func recentTimes(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) >= flapSpan {
		times = times[1:]
	}
	return times
}

func circuitDetail(c policy.CircuitStatus) string {
	text, since := causeText(c.Cause)+" at "+c.Key, ", since "
	if c.State == "closed" {
		text, since = "it is closed again at "+c.Key, ", after it opened at "
	}
	if c.Since != nil {
		text += since + c.Since.Local().Format(time.RFC3339)
	}
	if c.Refused > 0 {
		text += "; " + count(c.Refused, "call") + " refused so far"
	}
	return text
}

// circuitAction is what can be done about a circuit of which there is an alert by a rule.
func circuitAction(upstream string, c policy.CircuitStatus, rule alert.Rule) string {
	otherwise := "; to have it otherwise: outrider circuit close " + upstream + "."
	switch {
	case c.State == "closed":
		return "Nothing now: calls pass again, step by step. It is watched until all have passed for " + config.Duration(rule.Settle).String() +
			": if it opens again by then, this alert goes on, and else it is over."
	case c.Cause == operator:
		return "Calls are refused with 503 for as long as the operator said" + otherwise
	}
	return "Look at the provider's status page. Calls are refused with 503 until a probe succeeds" + otherwise
}

// causeText says why a circuit is not closed.
func causeText(cause string) string {
	switch cause {
	case "failures", "run":
		return "too many calls fail"
	case "slow":
		return "too many answers are slow"
	case "connect":
		return "no connection can be had"
	case "silent":
		return "calls get no answer"
	case "probe":
		return "its probes fail"
	case operator:
		return "an operator has opened it"
	}
	return "it is open"
}
