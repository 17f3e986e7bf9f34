package spans

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// Settings say which spans are recorded, and who gets them.
type Settings struct {
	Resource *resource.Resource    // who makes the spans
	Scope    instrumentation.Scope // of all of them
	Sampler  sdktrace.Sampler      // which are recorded, and which sent
	All      bool                  // every trace that begins here is: the Sampler is asked about those of others
	Limits   sdktrace.SpanLimits   // of what one holds: see [sdktrace.NewSpanLimits]
	IDs      sdktrace.IDGenerator  // nil: they are random
	// Ended is handed what a span has recorded, once it has ended. It has it for its own
	// from then on, and frees it: see [Data.Free]. It must not block.
	Ended func(*Data)
}

// A Tracer starts spans. Its methods are safe for concurrent use.
type Tracer struct {
	embedded.Tracer
	Settings
	wide bool // Limits are such that no Fields meet them
}

var _ trace.Tracer = (*Tracer)(nil)

// New makes a Tracer.
func New(s Settings) *Tracer {
	if s.IDs == nil {
		s.IDs = new(randomIDs)
	}
	wide := s.Limits.AttributeValueLengthLimit < 0 &&
		(s.Limits.AttributeCountLimit < 0 || s.Limits.AttributeCountLimit >= sdktrace.DefaultAttributeCountLimit)
	return &Tracer{Settings: s, wide: wide}
}

// A Beginning says how a span begins.
type Beginning struct {
	Name       string
	Kind       trace.SpanKind // zero: internal
	Start      time.Time      // zero: now
	NewRoot    bool           // it is nobody's child, whatever span the context has
	Links      []trace.Link
	Attributes []attribute.KeyValue // that the sampler sees, too
}

// Start begins a span, as a child of the one in ctx, and gives the context that carries it.
func (t *Tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	if ctx == nil { // the interface wants that to be borne
		ctx = context.Background()
	}
	how := trace.NewSpanStartConfig(options...)
	s := new(Span)
	t.Begin(ctx, s, &Beginning{
		Name: name, Kind: how.SpanKind(), Start: how.Timestamp(), NewRoot: how.NewRoot(),
		Links: how.Links(), Attributes: how.Attributes(),
	})
	return trace.ContextWithSpan(ctx, s), s
}

// Begin is Start where who begins a span has a place for it, and no options to be looked
// through, and carries it where it has to go. s must be new: a Span serves once.
func (t *Tracer) Begin(ctx context.Context, s *Span, how *Beginning) {
	above := trace.SpanFromContext(ctx)
	if of, ok := above.(*Span); ok {
		of.children.Add(1)
	}
	parent, within := above.SpanContext(), ctx
	if how.NewRoot {
		parent, within = trace.SpanContext{}, trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	if !parent.IsValid() && parent.TraceState().Len() == 0 {
		if t.All {
			t.identifyTrace(s)
			s.data = t.record(&s.context, &trace.SpanContext{}, how)
			s.data.setAttributes(how.Attributes)
			return
		}
		within = context.Background() // in which a sampler sees at once that there is none
	}
	t.begin(within, s, &parent, how)
}

// BeginTrace is Begin of what is known to be nobody's child, and of which there is no more to be
// said: no context is looked through, and nothing is recorded before that is needed. The start is
// not zero.
func (t *Tracer) BeginTrace(s *Span, name string, kind trace.SpanKind, start time.Time) {
	if !t.All {
		t.begin(context.Background(), s, &trace.SpanContext{}, &Beginning{Name: name, Kind: kind, Start: start})
		return
	}
	t.identifyTrace(s)
	s.late.tracer, s.late.name, s.late.kind, s.late.start = t, name, kind, start
}

// identifyTrace gives a span its ids that begins a trace, all of which are sampled.
func (t *Tracer) identifyTrace(s *Span) {
	of := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	of.TraceID, of.SpanID = t.IDs.NewIDs(context.Background())
	s.context = trace.NewSpanContext(of)
}

// begin begins a span that is recorded if the sampler wants it.
func (t *Tracer) begin(ctx context.Context, s *Span, parent *trace.SpanContext, how *Beginning) {
	sampled := t.identify(ctx, s, parent, how)
	if sampled.Decision != sdktrace.Drop {
		s.data = t.record(&s.context, parent, how)
		s.data.setAttributes(sampled.Attributes)
		s.data.setAttributes(how.Attributes)
	}
}

// ChildID makes the id of a child of a span of ours: see [Span.Bear].
func (t *Tracer) ChildID(parent *Span) trace.SpanID {
	return t.IDs.NewSpanID(context.Background(), parent.context.TraceID())
}

// RecordChild gives the Data of a child that was born to a span of ours, and is recorded, to
// write to and to end.
func (t *Tracer) RecordChild(parent *Span, id trace.SpanID, how *Beginning) *Data {
	child := parent.context.WithSpanID(id)
	d := t.record(&child, &parent.context, how)
	d.setAttributes(how.Attributes)
	return d
}

// identify gives a span its ids, and says whether it is recorded.
func (t *Tracer) identify(ctx context.Context, s *Span, parent *trace.SpanContext, how *Beginning) sdktrace.SamplingResult {
	var of trace.SpanContextConfig
	if of.TraceID = parent.TraceID(); of.TraceID.IsValid() {
		of.SpanID = t.IDs.NewSpanID(ctx, of.TraceID)
	} else {
		of.TraceID, of.SpanID = t.IDs.NewIDs(ctx)
	}
	result := t.Sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: ctx, TraceID: of.TraceID, Name: how.Name, Kind: how.Kind, Attributes: how.Attributes, Links: how.Links,
	})
	of.TraceState = result.Tracestate
	of.TraceFlags = parent.TraceFlags().WithSampled(result.Decision == sdktrace.RecordAndSample)
	s.context = trace.NewSpanContext(of)
	return result
}

// record begins to record a span.
func (t *Tracer) record(context, parent *trace.SpanContext, how *Beginning) *Data {
	d := pool.Get().(*Data)
	d.tracer, d.context, d.parent = t, *context, *parent
	d.name, d.kind, d.start = how.Name, trace.ValidateSpanKind(how.Kind), how.Start
	if d.start.IsZero() {
		d.start = time.Now()
	}
	for _, link := range how.Links {
		d.addLink(link)
	}
	return d
}
