package cli

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// A told is a span, or an event of one, as somebody was told of it.
type told struct {
	name       string
	at         time.Time         // when it began
	took       time.Duration     // of a span
	attributes map[string]string // as text

	server, failed    bool
	trace, id, parent string
	events            []told
}

// received are the spans that a receiver got, by their traces.
func (c *receiver) received() map[string][]told {
	traces := make(map[string][]told)
	for _, kind := range []tracepb.Span_SpanKind{tracepb.Span_SPAN_KIND_SERVER, tracepb.Span_SPAN_KIND_CLIENT, tracepb.Span_SPAN_KIND_INTERNAL} {
		for _, span := range c.kind(kind) {
			s := told{
				name: span.Name, at: instantOf(span.StartTimeUnixNano), attributes: textsOf(span.Attributes),
				took:   time.Duration(span.EndTimeUnixNano - span.StartTimeUnixNano), //nolint:gosec // of this century
				server: kind == tracepb.Span_SPAN_KIND_SERVER, failed: span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
				trace: hex.EncodeToString(span.TraceId), id: hex.EncodeToString(span.SpanId), parent: hex.EncodeToString(span.ParentSpanId),
			}
			for _, event := range span.Events {
				s.events = append(s.events, told{name: event.Name, at: instantOf(event.TimeUnixNano), attributes: textsOf(event.Attributes)})
			}
			traces[s.trace] = append(traces[s.trace], s)
		}
	}
	return traces
}

func instantOf(unixNano uint64) time.Time { return time.Unix(0, int64(unixNano)) } //nolint:gosec // of this century

func textsOf(attributes []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, kv := range attributes {
		m[kv.Key] = attribute(attributes, kv.Key)
		if number, ok := kv.Value.Value.(*commonpb.AnyValue_DoubleValue); ok {
			m[kv.Key] = fmt.Sprint(number.DoubleValue)
		}
	}
	return m
}

// storyOf writes the spans of one call in the notation of the vectors: its SERVER span, and
// below it, in the order of what happened, the CLIENT spans, the waits and the events. What
// the refresh of a token took is told in a trace of its own.
func storyOf(t *testing.T, spans []told) []string {
	t.Helper()
	var server told
	var requests, waits []told
	for _, span := range spans {
		switch {
		case span.server:
			server = span
		case span.name == "backoff" || span.name == "queue wait":
			waits = append(waits, span)
		case !strings.Contains(span.name, "token"):
			requests = append(requests, span)
		}
	}
	byTime := func(a, b told) int { return a.at.Compare(b.at) }
	slices.SortStableFunc(requests, byTime)
	events := slices.Concat(server.events, waits)
	slices.SortStableFunc(events, byTime)
	story := []string{server.call(t)}
	for _, event := range events {
		for len(requests) > 0 && !requests[0].follows(event) {
			story = append(story, requestLine(t, server, requests[0]))
			requests = requests[1:]
		}
		story = append(story, eventLine(server, event))
	}
	for _, request := range requests {
		story = append(story, requestLine(t, server, request))
	}
	return story
}

// follows reports that s, a request, was sent after an event, or after a wait. In virtual
// time, that can be at the same instant.
func (s told) follows(event told) bool {
	resent := s.attributes["http.request.resend_count"] != ""
	if event.name == "queue wait" || resent && (event.name == "backoff" || event.name == "outrider.retry") {
		return !s.at.Before(event.at.Add(event.took))
	}
	return s.at.After(event.at)
}

func (s told) call(t *testing.T) string {
	t.Helper()
	a := s.attributes
	return a["http.request.method"] + " " + a["http.response.status_code"] + " " + a["outrider.class"] + s.failure(t)
}

func requestLine(t *testing.T, server, span told) string {
	t.Helper()
	if span.trace != server.trace || span.parent != server.id {
		t.Errorf("the span of a request is no child of its call's: %+v", span)
	}
	line := span.at.Sub(server.at).String() + " "
	line += span.attributes["http.response.status_code"] + span.failure(t)
	if resent := span.attributes["http.request.resend_count"]; resent != "" {
		line += " resend " + resent
	}
	return strings.Replace(line, "  ", " ", 1)
}

// failure is the error.type of a span, unless its status says it.
func (s told) failure(t *testing.T) string {
	t.Helper()
	kind := s.attributes["error.type"]
	if s.failed != (kind != "") {
		t.Errorf("the status of a span and its error.type %q disagree: %+v", kind, s)
	}
	if kind == "" || kind == s.attributes["http.response.status_code"] {
		return ""
	}
	return " error " + kind
}

func eventLine(server, event told) string {
	a := event.attributes
	switch name := strings.TrimPrefix(event.name, "outrider."); name {
	case "attempt.unsent":
		return event.at.Add(-secondsOf(a["outrider.duration"])).Sub(server.at).String() + " unsent " + a["error.type"]
	case "retry", "backoff":
		return fmt.Sprintf("retry %s after %v: %s", a["outrider.attempt"], event.took, a["outrider.reason"])
	case "give-up":
		return "give up " + a["outrider.attempt"] + ": " + a["outrider.reason"]
	case "queue wait":
		return fmt.Sprintf("wait %v: %s", event.took, a["outrider.reason"])
	case "circuit":
		return "circuit " + a["outrider.to"]
	default:
		return name + ": " + a["outrider.reason"]
	}
}

func secondsOf(text string) time.Duration {
	number, _ := strconv.ParseFloat(text, 64)
	return time.Duration(math.Round(number * float64(time.Second)))
}

// times are the parts of a line that depend on chance, and on how long something takes.
var times = regexp.MustCompile(`^\d\S*s |(?: after)? \d\S*s:`)

// timeless is a story without its times.
func timeless(story []string) []string {
	plain := make([]string, len(story))
	for i, line := range story {
		plain[i] = times.ReplaceAllString(line, "")
	}
	return plain
}
