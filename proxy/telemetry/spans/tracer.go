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
		s.IDs = randomIDs{}
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
			t.BeginTrace(s, how)
			return
		}
		within = context.Background() // in which a sampler sees at once that there is none
	}
	t.begin(within, s, &parent, how)
}

// BeginTrace is Begin of what is known to be nobody's child: no context is looked through.
func (t *Tracer) BeginTrace(s *Span, how *Beginning) {
	if !t.All {
		t.begin(context.Background(), s, &trace.SpanContext{}, how)
		return
	}
	of := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	of.TraceID, of.SpanID = t.IDs.NewIDs(context.Background())
	s.context = trace.NewSpanContext(of)
	s.data = t.record(&s.context, &trace.SpanContext{}, how)
	s.data.setAttributes(how.Attributes)
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

// BeginChild begins a child of a span of ours, that is recorded and sampled as that is:
// nobody is asked. It is for who keeps the child to itself and so needs no handle of it, but
// its ids, and the Data to write to and to end. That is nil where nothing is recorded.
func (t *Tracer) BeginChild(parent *Span, how *Beginning) (trace.SpanContext, *Data) {
	parent.children.Add(1)
	child := parent.context.WithSpanID(t.IDs.NewSpanID(context.Background(), parent.context.TraceID()))
	if !parent.context.IsSampled() && !parent.IsRecording() {
		return child, nil
	}
	d := t.record(&child, &parent.context, how)
	d.setAttributes(how.Attributes)
	return child, d
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
