package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A kind is a form of messages.
type kind int

const (
	generic kind = iota
	slack
	discord
	teams
	pagerDuty
)

// kindNames maps what may stand before a URL.
var kindNames = map[string]kind{"slack": slack, "discord": discord, "teams": teams}

// messages makes what is sent to a target: one message of all alerts, but for
// PagerDuty, which takes them one by one.
func (t target) messages(alerts []Alert) [][]byte {
	switch t.kind {
	case slack:
		return one(map[string]any{"text": clip(escapeSlack.Replace(text(alerts)), maxText)})
	case discord:
		return one(map[string]any{
			"content":          clip(text(alerts), maxDiscord),
			"allowed_mentions": map[string]any{"parse": []string{}}, // whatever a provider wrote there
		})
	case teams:
		return one(card(clip(text(alerts), maxText)))
	case pagerDuty:
		events := make([][]byte, 0, len(alerts))
		for _, a := range alerts {
			events = append(events, encode(event(t.key, a)))
		}
		return events
	}
	return one(map[string]any{"alerts": alerts})
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
func text(alerts []Alert) string {
	lines := make([]string, 0, len(alerts))
	for _, a := range alerts {
		lines = append(lines, a.line())
	}
	return strings.Join(lines, "\n")
}

func (a Alert) line() string {
	if a.Ended != nil {
		return fmt.Sprintf("Over: %s (%s), after %s", a.Title, a.Subject, a.Ended.Sub(a.Since).Round(time.Second))
	}
	return fmt.Sprintf("%s (%s): %s", a.Title, a.Subject, a.Detail)
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
	return map[string]any{
		"routing_key": routing, "event_action": "trigger", "dedup_key": clip(dedup, 255),
		"payload": map[string]any{
			"summary": clip(a.line(), 1024), "source": "outrider", "severity": a.Severity,
			"timestamp": a.Since.UTC().Format(time.RFC3339), "component": a.Subject, "class": a.Rule,
		},
	}
}

// clip shortens a text to so many characters.
func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}
