package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// messages makes what is sent to a target: one message of all alerts, but for
// PagerDuty, which takes them one by one.
func (t target) messages(r report) [][]byte {
	switch t.kind {
	case slack:
		return one(map[string]any{"text": clip(escapeSlack.Replace(r.text()), maxText)})
	case discord:
		return one(map[string]any{
			"content":          clip(r.text(), maxDiscord),
			"allowed_mentions": map[string]any{"parse": []string{}}, // whatever a provider wrote there
		})
	case teams:
		return one(card(clip(r.text(), maxText)))
	case mail:
		return [][]byte{letter(r.subject(), r.text())}
	case pagerDuty:
		events := make([][]byte, 0, len(r.Alerts))
		for _, a := range r.Alerts {
			events = append(events, encode(event(t.key, r.Source, a)))
		}
		return events
	}
	return one(r)
}

// A report is what a message says, in our own form.
type report struct {
	Source string  `json:"source"` // see Settings
	Alerts []Alert `json:"alerts"`
	Untold int     `json:"untold,omitempty"` // alerts that are only counted
}

// The lengths of messages that are taken, in characters: Discord says so; Slack cuts
// after 40000, and Teams refuses what has more than 28 KiB with everything around it.
const (
	maxDiscord = 2000
	maxText    = 7000
)

// escapeSlack are the three characters that mean something in Slack's text.
var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func one(v any) [][]byte { return [][]byte{encode(v)} }

func encode(v any) []byte {
	data, _ := json.Marshal(v) // maps, texts and times that were read from the clock: cannot fail
	return data
}

// text is what people read.
func (r report) text() string {
	lines := make([]string, 0, len(r.Alerts)+1)
	for _, a := range r.Alerts {
		lines = append(lines, a.line()+a.more())
	}
	if r.Untold > 0 {
		lines = append(lines, fmt.Sprintf("And %d alerts that came and went, or were too many (at most %d messages an hour): outrider alerts", r.Untold, maxHourly))
	}
	return "[" + r.Source + "] " + strings.Join(lines, "\n")
}

func (a Alert) line() string {
	if a.Ended != nil {
		return fmt.Sprintf("Over: %s (%s), after %s", a.Title, a.Subject, a.Ended.Sub(a.Since).Round(time.Second))
	}
	return fmt.Sprintf("%s (%s): %s", a.Title, a.Subject, a.Detail)
}

// more is what stands below the line: what to do, since when, and which calls to look at.
func (a Alert) more() string {
	var b strings.Builder
	if a.Action != "" && a.Ended == nil {
		b.WriteString("\n  → " + a.Action)
	}
	var facts []string
	if a.Action != "" && a.Ended == nil {
		facts = append(facts, "since "+a.Since.UTC().Format(time.RFC3339))
	}
	if a.Calls > 0 {
		facts = append(facts, fmt.Sprintf("calls: %d", a.Calls))
	}
	if a.Trace != "" {
		facts = append(facts, "trace "+a.Trace)
	}
	if len(facts) > 0 {
		b.WriteString("\n  " + strings.Join(facts, ", "))
	}
	return b.String()
}

// subject is the line by which a mail is found: who it is from, the first alert, and how
// many more there are.
func (r report) subject() string {
	line := "alerts"
	if len(r.Alerts) > 0 {
		line = r.Alerts[0].Title
		if r.Alerts[0].Ended != nil {
			line = "Over: " + line
		}
	}
	if more := len(r.Alerts) - 1; more > 0 {
		line += fmt.Sprintf(" (and %d more)", more)
	}
	return "[" + r.Source + "] " + line
}

// card is a message of a Teams workflow: an Adaptive Card.
func card(text string) any {
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": map[string]any{
			"type": "AdaptiveCard", "version": "1.4",
			"body": []any{map[string]any{"type": "TextBlock", "text": text, "wrap": true}},
		},
	}}}
}

// event is one of PagerDuty's Events API v2.
func event(routing, source string, a Alert) any {
	if a.Ended != nil {
		return map[string]any{"routing_key": routing, "event_action": "resolve", "dedup_key": incident(source, a)}
	}
	payload := map[string]any{
		"summary": clip(a.line(), 1024), "source": source, "severity": a.Severity,
		"timestamp": a.Since.UTC().Format(time.RFC3339), "component": a.Subject, "class": a.Rule,
	}
	details := make(map[string]any)
	if a.Action != "" {
		details["action"] = a.Action
	}
	if a.Trace != "" {
		details["trace"] = a.Trace
	}
	if a.Calls > 0 {
		details["calls"] = a.Calls
	}
	if len(details) > 0 {
		payload["custom_details"] = details
	}
	return map[string]any{"routing_key": routing, "event_action": "trigger", "dedup_key": incident(source, a), "payload": payload}
}

// maxIncident is how long the name of an incident may be.
const maxIncident = 255

// incident names an alert at PagerDuty. Another Outrider that meets the same has an incident
// of its own: its end must not end this one.
func incident(source string, a Alert) string {
	name := source + " " + a.Rule + " " + a.Subject
	if len(name) <= maxIncident {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// clip shortens a text to so many characters.
func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}
