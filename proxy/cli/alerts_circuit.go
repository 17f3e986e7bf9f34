package cli

import (
	"fmt"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// circuitOpen is a provider that is down, and has been for so long that it is no hiccup.
var circuitOpen = alert.Rule{Name: "circuit-open", Severity: alert.Critical}

// openPatience is for how long a circuit refuses calls before somebody is told: by then
// several probes have failed, or the provider has asked to be left alone.
const openPatience = 30 * time.Second

// circuitMark is in the subject of an alert about a circuit.
const circuitMark = "circuit:"

// A circuitLook looks at the circuits, and tells of those that stay open, once until all
// calls pass again.
type circuitLook struct {
	book *alert.Book
	open map[string]bool // subjects that were told
}

// look raises what is open now, and ends what is not any more.
func (w *circuitLook) look(upstreams []policy.UpstreamStatus, now time.Time) {
	open := make(map[string]bool)
	for _, up := range upstreams {
		for _, c := range up.Circuits {
			subject := up.Name + "/" + circuitMark + c.Key
			if !isOpen(c, now, w.open[subject]) {
				continue
			}
			open[subject] = true
			w.book.Raise(circuitOpen, subject, "Circuit of "+up.Name+" open", fmt.Sprintf(
				"since %s %s; %s to %s refused so far, and the next probe may close it. Look at the provider's status, and at outrider status",
				c.Since.Local().Format(time.RFC3339), causeText(c.Cause), count(c.Refused, "call"), c.Key))
		}
	}
	for subject := range w.open {
		if !open[subject] {
			w.book.Resolve(subject, circuitOpen)
		}
	}
	w.open = open
}

// isOpen reports whether a circuit has refused calls for long, or still does: while calls
// come back step by step it may open again. What an operator opened is no news.
func isOpen(c policy.CircuitStatus, now time.Time, still bool) bool {
	if c.Since == nil || c.Cause == "operator" {
		return false
	}
	return still || c.State != "closed" && c.Refused > 0 && now.Sub(*c.Since) >= openPatience
}

// causeText says why a circuit is not closed.
func causeText(cause string) string {
	switch cause {
	case "failures", "run":
		return "too many calls fail"
	case "slow":
		return "too many answers are slow"
	case "connect":
		return "connections are refused"
	case "silent":
		return "calls get no answer"
	case "probe":
		return "its probes fail"
	}
	return "calls come back step by step"
}
