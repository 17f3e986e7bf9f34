package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"outrider/proxy/telemetry/spans"
)

// Attributes of our own.
const (
	keyLetter        = attribute.Key("outrider.letter")         // id of the letter that a call was kept as, or that is sent
	keyLetterAttempt = attribute.Key("outrider.letter.attempt") // 1 for the first time that it is sent
)

// formOutbox is the form of what no client of ours waits for: a letter that is sent.
const formOutbox = "outbox"

// A Letter is a kept call, one time that it is sent.
type Letter struct {
	ID       string
	Upstream string
	Attempt  int    // 1 for the first time that it is sent
	Size     int64  // of its body, in bytes
	Accepted string // traceparent of the call that was kept, as [Span.Traceparent] gave it; "": unknown

	accepted trace.SpanContext // as it is read
}

// StartLetter begins the CONSUMER span of sending a letter. It is a trace of its own: the
// call that was kept has ended long ago, maybe in another process, and it may be sent
// several times. The two point to each other: this span has a link to that call, and when
// it ends, a span is added to the trace of that call, with a link back.
//
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
func (t *Telemetry) StartLetter(ctx context.Context, l Letter) (context.Context, *Span) {
	s := &Span{t: t, start: time.Now(), letter: &l}
	l.accepted = trace.SpanContextFromContext(
		traceContext.Extract(context.Background(), propagation.MapCarrier{"traceparent": l.Accepted}))
	how := &spans.Beginning{Name: "deliver " + l.Upstream, Kind: trace.SpanKindConsumer, Start: s.start, NewRoot: true}
	if l.accepted.IsValid() {
		how.Links = []trace.Link{{SpanContext: l.accepted}}
	}
	t.tracer.Begin(ctx, &s.span, how)
	s.span.SetAttributes(l.attributes()...)
	t.tail.begin(&s.span)
	ctx = s.carry(ctx, formOutbox)
	return ctx, s
}

// Traceparent says which span this is, in the form of https://www.w3.org/TR/trace-context/.
func (s *Span) Traceparent() string {
	carrier := propagation.MapCarrier{}
	traceContext.Inject(trace.ContextWithSpan(context.Background(), &s.span), carrier)
	return carrier.Get("traceparent")
}

// attributes are those of a message that is processed.
func (l *Letter) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String("outrider"),
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("deliver"),
		semconv.MessagingDestinationName(l.Upstream),
		semconv.MessagingMessageID(l.ID),
		semconv.MessagingMessageBodySize(int(l.Size)),
		keyLetterAttempt.Int(l.Attempt),
	}
}

// leaveTrace adds to the trace of the call that was kept where it was sent. One that is not
// sampled has nobody who looks there.
func (s *Span) leaveTrace(ended time.Time) {
	if !s.letter.accepted.IsSampled() {
		return
	}
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), s.letter.accepted)
	var left spans.Span
	s.t.tracer.Begin(ctx, &left, &spans.Beginning{
		Name: "sent later", Start: s.start, Links: []trace.Link{{SpanContext: s.span.SpanContext()}},
	})
	left.SetAttributes(keyLetter.String(s.letter.ID), keyUpstream.String(s.letter.Upstream), keyLetterAttempt.Int(s.letter.Attempt))
	left.EndAt(ended)
}
