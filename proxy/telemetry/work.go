package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// StartWork begins the span of what several calls may wait for, such as the refresh of a
// token. It is nobody's child: the call that caused it may have left long before it ends,
// and the others have traces of their own. So it is a trace of its own, with a link to
// that call, and each wait for it has a link to this one: see linkTo. e is the event that
// will tell of its end.
//
// The context goes on with what ctx has, but in the new trace and in no call.
func (t *Telemetry) StartWork(ctx context.Context, e policy.Event) (context.Context, func(error)) {
	span := &spans.Span{}
	t.tracer.Begin(ctx, span, &spans.Beginning{Name: workNames[e.Kind], NewRoot: true, Links: linkTo(ctx)})
	t.tail.begin(span)
	if span.IsRecording() {
		span.SetAttributes(append(eventAttributes(e), keyUpstream.String(e.Upstream))...)
	}
	ctx = context.WithValue(policy.WithCall(trace.ContextWithSpan(ctx, span), nil), spanKey{}, (*Span)(nil))
	began := time.Now()
	return ctx, func(err error) {
		d := span.Take()
		if d == nil {
			return
		}
		if err != nil {
			d.Fields().Word(fieldError, errorKind(err))
			d.SetStatus(codes.Error, clip(err.Error(), 512)) // it holds no value that is secret: see policy.Event
		}
		t.tail.judge(d, err != nil, time.Since(began))
		d.End(time.Time{})
	}
}

// workNames are those of the spans of what is no call.
var workNames = map[policy.EventKind]string{
	policy.EventRefresh: "token refresh",
}

// linkTo points from a span that begins to the one of a context, in whatever trace that
// is. Whether there is anything to be found there, the link says itself: it has the
// sampled flag of the other trace. There is none to no context, nor to one without a span.
func linkTo(ctx context.Context) []trace.Link {
	if ctx == nil {
		return nil
	}
	other := trace.SpanContextFromContext(ctx)
	if !other.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: other}}
}
