package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// A waiting is one kind of time that a call spends without being sent.
type waiting struct {
	span string // name of its span
	kind string // in a Record
}

var (
	inLine   = waiting{"queue wait", "turn"}
	backsOff = waiting{"backoff", "backoff"}
	forToken = waiting{"token wait", "token"}
)

// waited tells of a wait that is over just now and took e.Delay: in the record of the
// call, in the metrics by reason, and as a span within the call's, which is made when it
// has ended already. A wait that took no time is none.
func (t *Telemetry) waited(ctx context.Context, w waiting, e policy.Event, reason string, now time.Time) {
	if e.Delay <= 0 {
		return
	}
	began := now.Add(-e.Delay)
	spanFrom(ctx).addWait(began, e.Delay, w.kind, e.Reason)
	t.metrics.waited(ctx, e.Upstream, reason, e.Delay)
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	var span spans.Span
	t.tracer.Begin(ctx, &span, &spans.Beginning{Name: w.span, Start: began, Links: linkTo(e.Work)})
	span.SetAttributes(waitAttributes(ctx, w, e)...)
	span.EndAt(now)
}

// waitAttributes are those of the event, but its duration, which is the span's; and for
// who stood in line how urgent it was.
func waitAttributes(ctx context.Context, w waiting, e policy.Event) []attribute.KeyValue {
	e.Delay = 0
	attrs := append(eventAttributes(e), keyUpstream.String(e.Upstream))
	if c := policy.CallFrom(ctx); c != nil && w == inLine {
		attrs = append(attrs, keyPriority.String(c.Priority()))
	}
	return attrs
}
