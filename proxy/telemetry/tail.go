package telemetry

import (
	"container/list"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"outrider/proxy/telemetry/spans"
)

// keyKept says why a trace is there although it was not sampled: "error" or "slow". Who
// counts calls by their traces has to leave these out.
const keyKept = attribute.Key("outrider.kept")

// What a tail holds is bounded: spans of one call, and of all.
const (
	maxCallSpans = 64
	maxHeldSpans = 8192 // of about 2.5 KiB each
	maxSpare     = 64
)

// A tail gets spans that have ended, and sees to it that calls which failed, or were slow, are
// kept when only a share of all traces is. Whether a call fails is known at its end. So
// the spans of one that is not sampled are recorded and held back until its own has
// ended, which settles what becomes of them all. What is sampled passes at once.
//
// What is held is without the sampled flag, in what the upstream is told, too: at that
// time it is true.
type tail struct {
	next   func(*spans.Data) // for what is sampled or kept
	errors bool
	slow   time.Duration // 0: slow ones are not kept
	losses *losses

	mu    sync.Mutex
	calls map[trace.SpanID]*held // span that has no parent of ours → what is held for it
	order list.List              // of *held that hold spans, in the order of their first ones
	spans int                    // of all of them
	spare []*held                // for other calls, at most maxSpare
}

// held are the spans of a call that have ended before its own. Each is a child of that:
// spans of ours are nested one deep.
type held struct {
	spans   []*spans.Data
	kept    bool
	inOrder *list.Element // nil: there are no spans
}

func newTail(s Settings, l *losses, next func(*spans.Data)) *tail {
	return &tail{next: next, errors: s.KeepErrors, slow: s.KeepSlow, losses: l, calls: make(map[trace.SpanID]*held)}
}

// judge settles whether a span without a parent of ours, which is about to end, is kept
// with all that belongs to it, and reports whether anybody will read it. took is how long the
// answer took to begin.
func (t *tail) judge(span *spans.Data, failed bool, took time.Duration) bool {
	if t == nil || span.SpanContext().IsSampled() {
		return true
	}
	var why string
	switch {
	case failed && t.errors:
		why = "error"
	case t.slow > 0 && took >= t.slow:
		why = "slow"
	default:
		return false
	}
	span.Fields().Word(fieldKept, why)
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.calls[span.SpanContext().SpanID()]; h != nil {
		h.kept = true
	}
	return true
}

// forget lets go of a span that will not end, and of what is held for it.
func (t *tail) forget(span *spans.Span) {
	if t != nil {
		t.settle(span.SpanContext().SpanID())
	}
}

// begin begins to hold for a call, or what else has no parent of ours, that is not sampled.
func (t *tail) begin(span *spans.Span) {
	if t != nil {
		t.watch(span)
	}
}

func (t *tail) watch(span *spans.Span) {
	if span.SpanContext().IsSampled() || !span.IsRecording() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	h := &held{}
	if last := len(t.spare) - 1; last >= 0 {
		h, t.spare = t.spare[last], t.spare[:last]
	}
	t.calls[span.SpanContext().SpanID()] = h
}

// ended passes on what is sampled, and holds or settles what is not.
func (t *tail) ended(span *spans.Data) {
	switch {
	case span.SpanContext().IsSampled():
		t.next(span)
	case !isRoot(span):
		t.hold(span)
	default:
		kept, others := t.settle(span.SpanContext().SpanID())
		if !kept {
			span.Free()
			return
		}
		for _, one := range append(others, span) {
			one.Keep()
			t.next(one)
		}
	}
}

// hold keeps a span until its call has ended. Where there is no room, the calls give way
// that hold spans for the longest time. A span that ends after its call is let go.
func (t *tail) hold(span *spans.Data) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.calls[span.Parent().SpanID()]
	switch {
	case h == nil:
		span.Free()
		return
	case len(h.spans) >= maxCallSpans:
		span.Free()
		t.losses.add("traces", 1, heldTooMany)
		return
	case t.spans >= maxHeldSpans:
		oldest := t.order.Front().Value.(*held)
		t.losses.add("traces", len(oldest.spans), heldTooMany)
		t.let(oldest)
	}
	if h.inOrder == nil {
		h.inOrder = t.order.PushBack(h)
	}
	h.spans = append(h.spans, span)
	t.spans++
}

// settle ends the holding for a call, and gives what was held of one that is kept. Of another
// it is let go.
func (t *tail) settle(id trace.SpanID) (kept bool, others []*spans.Data) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.calls[id]
	if h == nil {
		return false, nil
	}
	delete(t.calls, id)
	if h.kept {
		t.unlist(h)
		return true, h.spans
	}
	t.let(h)
	if len(t.spare) < maxSpare {
		t.spare = append(t.spare, h)
	}
	return false, nil
}

// let lets go of the spans of a call. The lock is held.
func (t *tail) let(h *held) {
	t.unlist(h)
	for _, span := range h.spans {
		span.Free()
	}
	clear(h.spans)
	h.spans = h.spans[:0]
}

// unlist has the spans of a call not be counted any more. The lock is held.
func (t *tail) unlist(h *held) {
	if h.inOrder != nil {
		t.order.Remove(h.inOrder)
		h.inOrder = nil
	}
	t.spans -= len(h.spans)
}

// isRoot reports that a span has no parent of ours.
func isRoot(span *spans.Data) bool {
	parent := span.Parent()
	return !parent.IsValid() || parent.IsRemote()
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
