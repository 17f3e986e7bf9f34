package telemetry

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// keyKept says why a trace is there although it was not sampled: "error" or "slow". Who
// counts calls by their traces has to leave these out.
const keyKept = attribute.Key("outrider.kept")

// What a tail holds is bounded: spans of one call, and of all.
const (
	maxCallSpans = 64
	maxHeldSpans = 8192 // of about 2 KiB each
)

// A tail is a span processor that sees to it that calls which failed, or were slow, are
// kept when only a share of all traces is. Whether a call fails is known at its end. So
// the spans of one that is not sampled are recorded and held back until its own has
// ended, which settles what becomes of them all. What is sampled passes at once.
//
// What is held is without the sampled flag, in what the upstream is told, too: at that
// time it is true.
type tail struct {
	next   []sdktrace.SpanProcessor
	errors bool
	slow   time.Duration // 0: slow ones are not kept
	losses *losses

	mu    sync.Mutex
	calls map[trace.SpanID]*held // span that has no parent of ours → what is held for it
	order list.List              // of *held that hold spans, in the order of their first ones
	spans int                    // of all of them
}

// held are the spans of a call that have ended before its own. Each is a child of that:
// spans of ours are nested one deep.
type held struct {
	spans   []sdktrace.ReadOnlySpan
	kept    bool
	inOrder *list.Element // nil: there are no spans
}

func newTail(s Settings, l *losses, next []sdktrace.SpanProcessor) *tail {
	return &tail{next: next, errors: s.KeepErrors, slow: s.KeepSlow, losses: l, calls: make(map[trace.SpanID]*held)}
}

// judge settles whether a span without a parent of ours, which is about to end, is kept
// with all that belongs to it. took is how long the answer took to begin.
func (t *tail) judge(span trace.Span, failed bool, took time.Duration) {
	if t == nil || !span.IsRecording() || span.SpanContext().IsSampled() {
		return
	}
	var why string
	switch {
	case failed && t.errors:
		why = "error"
	case t.slow > 0 && took >= t.slow:
		why = "slow"
	default:
		return
	}
	span.SetAttributes(keyKept.String(why))
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.calls[span.SpanContext().SpanID()]; h != nil {
		h.kept = true
	}
}

// forget lets go of a span that will not end, and of what is held for it.
func (t *tail) forget(span trace.Span) {
	if t != nil {
		t.settle(span.SpanContext().SpanID())
	}
}

// OnStart begins to hold for a call that is not sampled.
func (t *tail) OnStart(ctx context.Context, span sdktrace.ReadWriteSpan) {
	for _, p := range t.next {
		p.OnStart(ctx, span)
	}
	if span.SpanContext().IsSampled() || !isRoot(span) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[span.SpanContext().SpanID()] = &held{}
}

// OnEnd passes on what is sampled, and holds or settles what is not.
func (t *tail) OnEnd(span sdktrace.ReadOnlySpan) {
	switch {
	case span.SpanContext().IsSampled():
		t.pass(span)
	case !isRoot(span):
		t.hold(span)
	default:
		if h := t.settle(span.SpanContext().SpanID()); h != nil && h.kept {
			for _, child := range h.spans {
				t.pass(keptSpan{child})
			}
			t.pass(keptSpan{span})
		}
	}
}

func (t *tail) pass(span sdktrace.ReadOnlySpan) {
	for _, p := range t.next {
		p.OnEnd(span)
	}
}

// hold keeps a span until its call has ended. Where there is no room, the calls give way
// that hold spans for the longest time. A span that ends after its call is let go.
func (t *tail) hold(span sdktrace.ReadOnlySpan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.calls[span.Parent().SpanID()]
	switch {
	case h == nil:
		return
	case len(h.spans) >= maxCallSpans:
		t.losses.add("traces", 1, heldTooMany)
		return
	case t.spans >= maxHeldSpans:
		oldest := t.order.Front().Value.(*held)
		t.losses.add("traces", len(oldest.spans), heldTooMany)
		t.drop(oldest)
	}
	if h.inOrder == nil {
		h.inOrder = t.order.PushBack(h)
	}
	h.spans = append(h.spans, span)
	t.spans++
}

// settle takes out what is held for a call; nil: nothing ever was.
func (t *tail) settle(id trace.SpanID) *held {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.calls[id]
	if h == nil {
		return nil
	}
	delete(t.calls, id)
	out := &held{spans: h.spans, kept: h.kept}
	t.drop(h)
	return out
}

// drop lets go of the spans of a call. The lock is held.
func (t *tail) drop(h *held) {
	if h.inOrder != nil {
		t.order.Remove(h.inOrder)
	}
	t.spans -= len(h.spans)
	h.spans, h.inOrder = nil, nil
}

// Shutdown ends the processors behind it. What is held then belongs to calls that have
// not ended, and is let go.
func (t *tail) Shutdown(ctx context.Context) error {
	return t.each(func(p sdktrace.SpanProcessor) error { return p.Shutdown(ctx) })
}

// ForceFlush has the processors behind it send what they have.
func (t *tail) ForceFlush(ctx context.Context) error {
	return t.each(func(p sdktrace.SpanProcessor) error { return p.ForceFlush(ctx) })
}

func (t *tail) each(do func(sdktrace.SpanProcessor) error) error {
	var errs []error
	for _, p := range t.next {
		errs = append(errs, do(p))
	}
	return errors.Join(errs...)
}

// isRoot reports that a span has no parent of ours.
func isRoot(span sdktrace.ReadOnlySpan) bool {
	parent := span.Parent()
	return !parent.IsValid() || parent.IsRemote()
}

// keptSpan is a span that is sent after all. Processors pass over what is not sampled.
type keptSpan struct{ sdktrace.ReadOnlySpan }

// SpanContext has the sampled flag, which is true by now.
func (s keptSpan) SpanContext() trace.SpanContext {
	sc := s.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags() | trace.FlagsSampled)
}

// recordAll is the sampler above a tail: what is not sampled is recorded all the same,
// save for the calls of a caller whose decision counts, and who has left them out.
type recordAll struct{ sampling }

func (r recordAll) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := r.Sampler.ShouldSample(p)
	if result.Decision != sdktrace.Drop {
		return result
	}
	parent := trace.SpanFromContext(p.ParentContext)
	sc := parent.SpanContext()
	begins := !sc.IsValid() || sc.IsRemote() && !r.asks
	if begins || parent.IsRecording() {
		result.Decision = sdktrace.RecordOnly
	}
	return result
}
