package spans_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"outrider/proxy/telemetry/spans"
)

// What arrives at a collector is held against what the SDK sends, of the same operations
// with the same ids at the same times: both are driven by a script of bytes.

// FuzzSameAsSDK looks for a script by which the two differ.
func FuzzSameAsSDK(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(script(seed, 400))
	}
	f.Fuzz(func(t *testing.T, script []byte) { sameAsSDK(t, script[:min(len(script), 2000)]) })
}

func TestSameAsSDK(t *testing.T) {
	for seed := range uint64(400) {
		sameAsSDK(t, script(seed, 600))
	}
}

func script(seed uint64, size int) []byte {
	chance := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(chance.Uint32())
	}
	return b
}

func sameAsSDK(t *testing.T, script []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		choice := &choices{script}
		limits, sampler := choice.limits(), choice.sampler()
		theirs, ours := newSDK(t, limits, sampler), newOurs(t, limits, sampler)
		play(t, choice, theirs.tracer, ours.tracer)
		ours.end(t)
		want, got := sound(theirs.client.spans()), ours.client.spans()
		same(t, "by us", got, want)
		same(t, "of a snapshot of ours", sound(ours.copies.spans()), want)
		if fmt.Sprint(ours.children) != fmt.Sprint(theirs.children) {
			t.Errorf("spans have %v children, want %v", ours.children, theirs.children)
		}
	})
}

func same(t *testing.T, what string, got, want *tracepb.ResourceSpans) {
	t.Helper()
	if proto.Equal(got, want) {
		return
	}
	if a, b := oneScope(got), oneScope(want); len(a) == len(b) {
		for i := range a {
			if !proto.Equal(a[i], b[i]) {
				t.Fatalf("%s, span %d is\n%s\nand the SDK's\n%s", what, i, protojson.Format(a[i]), protojson.Format(b[i]))
			}
		}
	}
	t.Fatalf("%s is\n%s\nand by the SDK\n%s", what, protojson.Format(got), protojson.Format(want))
}

func oneScope(r *tracepb.ResourceSpans) []*tracepb.Span {
	if len(r.GetScopeSpans()) == 0 {
		return nil
	}
	return r.ScopeSpans[0].Spans
}

// sound replaces what is no UTF-8 in texts, of which the SDK's encoder makes an error.
func sound(r *tracepb.ResourceSpans) *tracepb.ResourceSpans {
	soundMessage(r.ProtoReflect())
	return r
}

func soundMessage(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				soundMessage(v.List().Get(i).Message())
			}
		case field.IsList():
		case field.Message() != nil:
			soundMessage(v.Message())
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(strings.ToValidUTF8(v.String(), "\uFFFD")))
		}
		return true
	})
}

var (
	about    = resource.NewWithAttributes("https://schema.test/1", attribute.String("service.name", "x"), attribute.Int("n", 3))
	theScope = instrumentation.Scope{Name: "outrider", Version: "1.2.3", SchemaURL: "https://schema.test/2"}
)

// sdk is the tracer of the SDK, and what it sent.
type sdk struct {
	tracer   trace.Tracer
	client   *client
	children []int
}

func newSDK(t testing.TB, limits sdktrace.SpanLimits, sampler sdktrace.Sampler) *sdk {
	s := &sdk{client: &client{}}
	exporter, err := otlptrace.New(t.Context(), s.client)
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithRawSpanLimits(limits), sdktrace.WithSampler(sampler),
		sdktrace.WithIDGenerator(&counted{}), sdktrace.WithResource(about),
		sdktrace.WithSpanProcessor(sdktrace.NewSimpleSpanProcessor(exporter)), sdktrace.WithSpanProcessor(s))
	s.tracer = provider.Tracer(theScope.Name, trace.WithInstrumentationVersion(theScope.Version), trace.WithSchemaURL(theScope.SchemaURL))
	return s
}

func (s *sdk) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (s *sdk) OnEnd(span sdktrace.ReadOnlySpan) {
	s.children = append(s.children, span.ChildSpanCount())
}
func (s *sdk) Shutdown(context.Context) error   { return nil }
func (s *sdk) ForceFlush(context.Context) error { return nil }

// ours is the same by us.
type ours struct {
	tracer   *spans.Tracer
	client   *client // of the bytes that are sent
	copies   *client // of snapshots
	children []int
	queue    *spans.Queue
}

func newOurs(t testing.TB, limits sdktrace.SpanLimits, sampler sdktrace.Sampler) *ours {
	o := &ours{client: &client{wire: true}, copies: &client{}}
	upload, err := spans.NewUploader(t.Context(), o.client, false, about, theScope)
	if err != nil {
		t.Fatal(err)
	}
	exporter, err := otlptrace.New(t.Context(), o.copies)
	if err != nil {
		t.Fatal(err)
	}
	o.queue = spans.NewQueue(spans.QueueSettings{
		Batch: 3, Delay: time.Second,
		Export: func(ctx context.Context, b spans.Batch) {
			if err := upload.Upload(ctx, b); err != nil {
				t.Error(err)
			}
		},
		Full: func(int) { t.Error("a span was dropped") },
	})
	o.tracer = spans.New(spans.Settings{
		Resource: about, Scope: theScope, Sampler: sampler, Limits: limits, IDs: &counted{},
		Ended: func(d *spans.Data) {
			copied := d.Snapshot()
			o.children = append(o.children, copied.ChildSpanCount())
			if d.SpanContext().IsSampled() {
				o.queue.Add(d)
				exporter.ExportSpans(t.Context(), []sdktrace.ReadOnlySpan{copied})
			}
			d.Free()
		},
	})
	return o
}

func (o *ours) end(t testing.TB) {
	if err := o.queue.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// client keeps what it is to send.
type client struct {
	wire bool // it goes through bytes
	all  []*tracepb.ResourceSpans
}

func (*client) Start(context.Context) error { return nil }
func (*client) Stop(context.Context) error  { return nil }

func (c *client) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	if c.wire {
		sent, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: list})
		if err != nil {
			return err
		}
		var got coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(sent, &got); err != nil {
			return err
		}
		list = got.ResourceSpans
	}
	c.all = append(c.all, list...)
	return nil
}

// spans are all that were sent, as if at once.
func (c *client) spans() *tracepb.ResourceSpans {
	if len(c.all) == 0 {
		return &tracepb.ResourceSpans{}
	}
	all := c.all[0]
	for _, more := range c.all[1:] {
		all.ScopeSpans[0].Spans = append(all.ScopeSpans[0].Spans, more.ScopeSpans[0].Spans...)
	}
	return all
}

// counted makes ids one after the other.
type counted struct{ n byte }

func (c *counted) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	c.n++
	return trace.TraceID{1, c.n, 8: c.n * 151}, c.NewSpanID(ctx, trace.TraceID{})
}

func (c *counted) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	c.n++
	return trace.SpanID{2, c.n}
}

// choices are made by a script; after its end each is the first one.
type choices struct{ script []byte }

func (c *choices) of(n int) int {
	if len(c.script) == 0 {
		return 0
	}
	b := c.script[0]
	c.script = c.script[1:]
	return int(b) % n
}

func (c *choices) limits() sdktrace.SpanLimits {
	sizes := []int{128, -1, 0, 1, 2, 5}
	size := func() int { return sizes[c.of(len(sizes))] }
	return sdktrace.SpanLimits{
		AttributeValueLengthLimit: []int{-1, 0, 1, 3, 7}[c.of(5)], AttributeValueDepthLimit: []int{64, -1, 1, 2}[c.of(4)],
		AttributeCountLimit: size(), EventCountLimit: size(), LinkCountLimit: size(),
		AttributePerEventCountLimit: size(), AttributePerLinkCountLimit: size(),
	}
}

func (c *choices) sampler() sdktrace.Sampler {
	return []sdktrace.Sampler{
		sdktrace.AlwaysSample(), sdktrace.NeverSample(), sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.5)),
		sdktrace.AlwaysRecord(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.5))), telling{},
	}[c.of(5)]
}

// telling is a sampler that adds to spans.
type telling struct{}

func (telling) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	state, _ := trace.ParseTraceState("sampler=" + fmt.Sprint(len(p.Links), len(p.Attributes)))
	return sdktrace.SamplingResult{
		Decision: sdktrace.RecordAndSample, Tracestate: state,
		Attributes: []attribute.KeyValue{attribute.String("a", p.Name), attribute.Int("kind", int(p.Kind))},
	}
}

func (telling) Description() string { return "telling" }

var texts = []string{"", "a", "crm", "\xff", "a\xffb\xfec", "日本語のテキスト", "ab\uFFFDcdef", strings.Repeat("long ", 60), strings.Repeat("\xe6", 200)}

func (c *choices) text() string { return texts[c.of(len(texts))] }

func (c *choices) attributes() []attribute.KeyValue {
	list := make([]attribute.KeyValue, c.of(6))
	for i := range list {
		list[i] = attribute.KeyValue{Key: attribute.Key([]string{"a", "b", "http.request.method", "c\xff", "", "d", "kind"}[c.of(7)]), Value: c.value(3)}
	}
	return list
}

func (c *choices) value(deep int) attribute.Value {
	n := []int64{0, 1, -1, 127, 128, math.MaxInt64, math.MinInt64}[c.of(7)]
	switch c.of(14) {
	default:
		return attribute.StringValue(c.text())
	case 1:
		return attribute.Int64Value(n)
	case 2:
		return attribute.BoolValue(n > 0)
	case 3:
		return attribute.Float64Value(float64(n) / 3)
	case 4:
		return attribute.StringSliceValue([]string{c.text(), c.text()}[:c.of(3)])
	case 5:
		return attribute.Int64SliceValue([]int64{n, 0}[:c.of(3)])
	case 6:
		return attribute.BoolSliceValue([]bool{true, false}[:c.of(3)])
	case 7:
		return attribute.Float64SliceValue([]float64{float64(n), 0}[:c.of(3)])
	case 8:
		return attribute.ByteSliceValue([]byte(c.text()))
	case 9:
		return attribute.Value{}
	case 10:
		if deep > 0 {
			return attribute.SliceValue([]attribute.Value{c.value(deep - 1), c.value(deep - 1)}[:c.of(3)]...)
		}
	case 11:
		if deep > 0 {
			return attribute.MapValue([]attribute.KeyValue{
				{Key: "a", Value: c.value(deep - 1)}, {Key: attribute.Key(c.text()), Value: c.value(deep - 1)}, {Key: "a", Value: c.value(deep - 1)},
			}[:c.of(4)]...)
		}
	}
	return attribute.Float64Value(math.Inf(int(n >> 63)))
}

func (c *choices) spanContext() trace.SpanContext {
	of := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(c.of(4)), Remote: c.of(2) == 1}
	if c.of(4) != 0 {
		of.TraceID, of.SpanID = trace.TraceID{9, byte(c.of(200))}, trace.SpanID{7, byte(c.of(200))}
	}
	if c.of(3) == 0 {
		of.TraceState, _ = trace.ParseTraceState("vendor=1,other=2")
	}
	return trace.NewSpanContext(of)
}

func (c *choices) link() trace.Link {
	return trace.Link{SpanContext: c.spanContext(), Attributes: c.attributes()}
}

func (c *choices) time() time.Time {
	return time.Unix(int64(c.of(3)-1)*1e9, int64(c.of(256)))
}

func (c *choices) startOptions() []trace.SpanStartOption {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKind(c.of(8) - 1))}
	if c.of(2) == 0 {
		options = append(options, trace.WithAttributes(c.attributes()...))
	}
	if c.of(4) == 0 {
		options = append(options, trace.WithNewRoot())
	}
	if c.of(4) == 0 {
		options = append(options, trace.WithTimestamp(c.time()))
	}
	for range c.of(3) {
		options = append(options, trace.WithLinks(c.link()))
	}
	return options
}

func (c *choices) eventOptions() []trace.EventOption {
	var options []trace.EventOption
	if c.of(2) == 0 {
		options = append(options, trace.WithAttributes(c.attributes()...))
	}
	if c.of(2) == 0 {
		options = append(options, trace.WithTimestamp(c.time()))
	}
	return options
}

// play has two tracers do the same.
func play(t testing.TB, c *choices, tracers ...trace.Tracer) {
	type begun struct {
		contexts []context.Context // of each tracer
		spans    []trace.Span
	}
	var all []begun
	for len(c.script) > 0 {
		op := c.of(11)
		if op < 2 || len(all) == 0 {
			next := begun{contexts: make([]context.Context, len(tracers)), spans: make([]trace.Span, len(tracers))}
			above, at := c.of(3), c.of(max(1, len(all)))
			remote := c.spanContext()
			name, options := c.text(), c.startOptions()
			for i, tracer := range tracers {
				ctx := t.Context()
				switch {
				case above == 1:
					ctx = trace.ContextWithSpanContext(ctx, remote)
				case above == 2 && len(all) > 0:
					ctx = all[at].contexts[i]
				}
				next.contexts[i], next.spans[i] = tracer.Start(ctx, name, options...)
			}
			all = append(all, next)
			continue
		}
		do := c.operation(op)
		list := all[c.of(len(all))].spans
		for _, span := range list {
			do(span)
		}
		if a, b := list[0], list[1]; a.IsRecording() != b.IsRecording() || !a.SpanContext().Equal(b.SpanContext()) {
			t.Fatalf("%v is recording: %v; %v: %v", a.SpanContext(), a.IsRecording(), b.SpanContext(), b.IsRecording())
		}
	}
	slices.Reverse(all)
	for _, one := range all {
		for _, span := range one.spans {
			span.End()
		}
	}
}

func (c *choices) operation(op int) func(trace.Span) {
	switch op {
	case 2, 3:
		list := c.attributes()
		return func(s trace.Span) { s.SetAttributes(list...) }
	case 4:
		name, options := c.text(), c.eventOptions()
		return func(s trace.Span) { s.AddEvent(name, options...) }
	case 5:
		link := c.link()
		return func(s trace.Span) { s.AddLink(link) }
	case 6:
		code, text := codes.Code(c.of(3)), c.text()
		return func(s trace.Span) { s.SetStatus(code, text) }
	case 7:
		name := c.text()
		return func(s trace.Span) { s.SetName(name) }
	case 8:
		err, options := []error{nil, errors.New("x\xff"), context.Canceled, &time.ParseError{}}[c.of(4)], c.eventOptions()
		return func(s trace.Span) { s.RecordError(err, slices.Clone(options)...) }
	case 9:
		time.Sleep(time.Duration(c.of(256)) * time.Millisecond)
		return func(trace.Span) {}
	}
	switch c.of(4) {
	case 0:
		at := c.time()
		return func(s trace.Span) { s.End(trace.WithTimestamp(at)) }
	case 1:
		return c.lastWords()
	}
	return func(s trace.Span) { s.End() }
}

// lastWords ends a span with attributes that who ends it knows, which by us are written as
// they are sent.
func (c *choices) lastWords() func(trace.Span) {
	names := []attribute.Key{"a", "http.request.method", "last", "other"}
	list := make([]attribute.KeyValue, c.of(5))
	for i := range list {
		switch n := []int64{0, 1, 127, 128, math.MaxInt64, math.MinInt64}[c.of(6)]; c.of(4) {
		case 0:
			list[i] = names[i].Int64(n)
		case 1:
			list[i] = names[i].Bool(n > 0)
		case 2:
			list[i] = names[i].Float64(float64(n) / 3)
		default:
			list[i] = names[i].String(strings.ToValidUTF8(c.text(), "?"))
		}
	}
	name, code, text := c.text(), codes.Code(c.of(3)), c.text()
	return func(s trace.Span) {
		if ours, ok := s.(*spans.Span); ok {
			if d := ours.Take(); d != nil {
				d.SetName(name)
				d.SetStatus(code, text)
				keysOf(list).write(d.Fields(), list)
				d.End(time.Time{})
			}
			return
		}
		s.SetName(name)
		s.SetStatus(code, text)
		s.SetAttributes(list...)
		s.End()
	}
}
