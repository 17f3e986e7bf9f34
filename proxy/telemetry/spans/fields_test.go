package spans_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"outrider/proxy/telemetry/spans"
)

// What others say is not always UTF-8, and one text that is not would have a collector refuse
// all that is sent with it.
func TestTextThatIsNoUTF8IsMended(t *testing.T) {
	var got []attribute.KeyValue
	tracer := spans.New(spans.Settings{
		Sampler: sdktrace.AlwaysSample(), Limits: sdktrace.NewSpanLimits(),
		Ended: func(d *spans.Data) { got = d.Snapshot().Attributes() },
	})
	var span spans.Span
	tracer.Begin(t.Context(), &span, &spans.Beginning{})
	d := span.Take()
	d.Fields().Text(spans.NewKey("a"), "x\xffy")
	d.Fields().TextBytes(spans.NewKey("b"), []byte("x\xffy"))
	d.Fields().TextBytes(spans.NewKey("c"), []byte("日本"))
	d.End(time.Time{})
	want := []attribute.KeyValue{attribute.String("a", "x\uFFFDy"), attribute.String("b", "x\uFFFDy"), attribute.String("c", "日本")}
	if !slices.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

// Who is about to end a span is the only one that writes to it.
func TestTakenSpanIsWrittenByNobodyElse(t *testing.T) {
	tracer := spans.New(spans.Settings{Sampler: sdktrace.AlwaysSample(), Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) {
		if s := d.Snapshot(); s.Name() != "last" || len(s.Attributes()) != 0 {
			t.Errorf("somebody else wrote: %s %v", s.Name(), s.Attributes())
		}
	}})
	var span spans.Span
	tracer.Begin(t.Context(), &span, &spans.Beginning{Name: "first"})
	d := span.Take()
	d.SetName("last")
	span.SetName("later")
	span.SetAttributes(attribute.Bool("late", true))
	if span.IsRecording() || span.Take() != nil {
		t.Error("the span is recorded still")
	}
	span.End()
	d.End(time.Time{})
}

// What begins a trace is recorded when it is written to first, or ends: that is not to be seen.
func TestTraceIsRecordedAsIfFromItsBeginning(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	for name, write := range map[string]func(*spans.Span){
		"nothing is written": func(*spans.Span) {},
		"an attribute":       func(s *spans.Span) { s.SetAttributes(attribute.Bool("a", true)) },
		"an event":           func(s *spans.Span) { s.AddEvent("a", trace.WithTimestamp(began)) },
		"a link": func(s *spans.Span) {
			s.AddLink(trace.Link{Attributes: []attribute.KeyValue{attribute.Bool("a", true)}})
		},
		"a name":   func(s *spans.Span) { s.SetName("another") },
		"a status": func(s *spans.Span) { s.SetStatus(codes.Error, "why") },
		"an error": func(s *spans.Span) { s.RecordError(errors.New("why"), trace.WithTimestamp(began)) },
		"a child":  func(s *spans.Span) { s.Bear() },
	} {
		var told []tracetest.SpanStub
		tracer := spans.New(spans.Settings{All: true, Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) {
			stub := tracetest.SpanStubFromReadOnlySpan(d.Snapshot())
			if !stub.SpanContext.IsValid() || !stub.SpanContext.IsSampled() {
				t.Errorf("%s: the span is %v", name, stub.SpanContext)
			}
			stub.SpanContext = trace.SpanContext{}
			told = append(told, stub)
		}})
		var late, early spans.Span
		tracer.BeginTrace(&late, "GET", trace.SpanKindServer, began)
		tracer.Begin(t.Context(), &early, &spans.Beginning{Name: "GET", Kind: trace.SpanKindServer, Start: began})
		for _, span := range []*spans.Span{&late, &early} {
			if !span.IsRecording() {
				t.Errorf("%s: the span is not recorded", name)
			}
			write(span)
			span.EndAt(began.Add(time.Minute))
			if span.IsRecording() || span.Take() != nil {
				t.Errorf("%s: the span is recorded still", name)
			}
		}
		if len(told) != 2 || !reflect.DeepEqual(told[0], told[1]) {
			t.Errorf("%s: told was\n%+v, want\n%+v", name, told[0], told[1])
		}
	}
}

// A child that asks nobody is recorded and sampled as its parent, and of its trace.
func TestChildIsAsItsParent(t *testing.T) {
	state, _ := trace.ParseTraceState("vendor=1")
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	for name, sampler := range map[string]sdktrace.Sampler{
		"sampled": sdktrace.AlwaysSample(), "recorded": sdktrace.AlwaysRecord(sdktrace.NeverSample()), "dropped": sdktrace.NeverSample(),
	} {
		var parents []trace.SpanContext
		tracer := spans.New(spans.Settings{Sampler: sampler, Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) { parents = append(parents, d.Parent()) }})
		var parent spans.Span
		tracer.Begin(trace.ContextWithSpanContext(t.Context(), remote), &parent, &spans.Beginning{})
		above, recorded, id := parent.SpanContext(), parent.Bear(), tracer.ChildID(&parent)
		got := above.WithSpanID(id)
		if got.TraceID() != above.TraceID() || got.SpanID() == above.SpanID() || !got.IsValid() || got.IsRemote() ||
			got.TraceFlags() != above.TraceFlags() || got.TraceState().String() != "vendor=1" {
			t.Errorf("%s: the child is %v of %v", name, got, above)
		}
		if recorded != parent.IsRecording() {
			t.Errorf("%s: the child is recorded: %t", name, recorded)
		}
		if recorded {
			d := tracer.RecordChild(&parent, id, &spans.Beginning{})
			if !d.SpanContext().Equal(got) {
				t.Errorf("%s: what is recorded is of %v, the child is %v", name, d.SpanContext(), got)
			}
			d.End(time.Time{})
		}
		if len(parents) > 0 != (name != "dropped") || len(parents) > 0 && !parents[0].Equal(above) {
			t.Errorf("%s: ended were children of %v", name, parents)
		}
	}
}

// A context of another make that knows the key carries a span as any other.
func TestContextKeyIsThatOfPackageTrace(t *testing.T) {
	span := &spans.Span{}
	if got := trace.ContextWithSpan(t.Context(), span).Value(spans.ContextKey); got != span {
		t.Errorf("by the key there is %v", got)
	}
}
