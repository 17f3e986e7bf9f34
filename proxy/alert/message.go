package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// messages makes what is sent to a target: one message of all alerts, but for
// PagerDuty, which takes them one by one. untold alerts are only counted.
func (t target) messages(alerts []Alert, untold int) [][]byte {
	switch t.kind {
	case slack:
		return one(map[string]any{"text": clip(escapeSlack.Replace(text(alerts, untold)), maxText)})
	case discord:
		return one(map[string]any{
			"content":          clip(text(alerts, untold), maxDiscord),
			"allowed_mentions": map[string]any{"parse": []string{}}, // whatever a provider wrote there
		})
	case teams:
		return one(card(clip(text(alerts, untold), maxText)))
	case mail:
		return [][]byte{letter(subject(alerts), text(alerts, untold))}
	case pagerDuty:
		events := make([][]byte, 0, len(alerts))
		for _, a := range alerts {
			events = append(events, encode(event(t.key, a)))
		}
		return events
	}
	return one(report{alerts, untold})
}

// A report is a message in our own form.
type report struct {
	Alerts []Alert `json:"alerts"`
	Untold int     `json:"untold,omitempty"`
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
func text(alerts []Alert, untold int) string {
	lines := make([]string, 0, len(alerts)+1)
	for _, a := range alerts {
		lines = append(lines, a.line()+a.more())
	}
	if untold > 0 {
		lines = append(lines, fmt.Sprintf("And %d alerts that came and went, or were too many (at most %d messages an hour): outrider alerts", untold, maxHourly))
	}
	return strings.Join(lines, "\n")
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

// subject is the line by which a mail is found: of the first alert, and how many more
// there are.
func subject(alerts []Alert) string {
	if len(alerts) == 0 {
		return "[outrider] alerts"
	}
	line := "[outrider] " + alerts[0].Title
	if alerts[0].Ended != nil {
		line = "[outrider] Over: " + alerts[0].Title
	}
	if more := len(alerts) - 1; more > 0 {
		line += fmt.Sprintf(" (and %d more)", more)
	}
	return line
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
func event(routing string, a Alert) any {
	dedup := a.Rule + " " + a.Subject
	if a.Ended != nil {
		return map[string]any{"routing_key": routing, "event_action": "resolve", "dedup_key": clip(dedup, 255)}
	}
	payload := map[string]any{
		"summary": clip(a.line(), 1024), "source": "outrider", "severity": a.Severity,
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
	return map[string]any{"routing_key": routing, "event_action": "trigger", "dedup_key": clip(dedup, 255), "payload": payload}
}

// clip shortens a text to so many characters.
func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}
