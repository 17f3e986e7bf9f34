package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the image has no other file than ours, and zones are to be known there too
)

// A Quiet is a part of every day: "22:00-07:00". Both are in minutes since midnight; a To
// that is not after From is of the next day. Zero is none.
type Quiet struct{ From, To int }

var errQuiet = errors.New(`must be two times of the day, such as "22:00-07:00"`)

// UnmarshalText reads hours. Its errors do not repeat the text.
func (q *Quiet) UnmarshalText(text []byte) error {
	from, to, ok := strings.Cut(string(text), "-")
	begin, err := time.Parse("15:04", strings.TrimSpace(from))
	end, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if !ok || err != nil || err2 != nil || begin.Equal(end) {
		return errQuiet
	}
	q.From, q.To = begin.Hour()*60+begin.Minute(), end.Hour()*60+end.Minute()
	return nil
}

// MarshalText writes the form of String.
func (q Quiet) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// String writes the hours as the document has them; "" for none.
func (q Quiet) String() string {
	if q == (Quiet{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", q.From/60, q.From%60, q.To/60, q.To%60)
}

func readQuiet(n node) (Quiet, bool) { return readEncoded[Quiet](n, errQuiet) }

// timeZone takes the name of a zone of the IANA database, and nothing: the machine's own.
func timeZone(name string) string {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return `must be the name of a time zone, such as "Europe/Berlin"`
	}
	return ""
}

// alertRuleNames are the rules that there are. What they are is known to who tells alerts;
// their names stand here so that one that is mistyped is told as any other key, with its line.
var alertRuleNames = []string{
	"certificate-expiring", "certificate-refused", "circuit-flapping", "circuit-open", "clock-skew",
	"credential-dead", "credential-expiring", "credential-failing", "credential-not-kept", "credential-refused",
	"errors-high", "letters-damaged", "letters-dead", "letters-late", "outbox-away", "outbox-filling",
	"provider-notice", "quiet-failures", "quota-exhausted", "quota-low", "reload-refused", "results-empty",
	"throttled", "volume-dropped",
}

// AlertRuleNames are the names that [alerts.rule.NAME] takes, in their order.
func AlertRuleNames() []string { return slices.Clone(alertRuleNames) }

// alertRules reads [alerts.rule.NAME] for every NAME.
func alertRules(key string) field[Alerts] {
	var below []string
	for _, path := range alertRuleKeys.paths() {
		below = append(below, "NAME."+path)
	}
	return field[Alerts]{key, func(n node, a *Alerts) {
		named, ok := n.raw.(map[string]any)
		if !ok {
			n.noTable("must be a table for each rule: [%s.NAME]", n.path)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if !slices.Contains(alertRuleNames, name) {
				n.child(name).unknown(alertRuleNames)
				continue
			}
			rule := AlertRule{Name: name}
			alertRuleKeys.read(n.child(name), &rule)
			a.Rules = append(a.Rules, rule)
		}
	}, below}
}
