package spans_test

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
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
		got, d := tracer.BeginChild(&parent, &spans.Beginning{})
		above := parent.SpanContext()
		if got.TraceID() != above.TraceID() || got.SpanID() == above.SpanID() || !got.IsValid() || got.IsRemote() ||
			got.TraceFlags() != above.TraceFlags() || got.TraceState().String() != "vendor=1" {
			t.Errorf("%s: the child is %v of %v", name, got, above)
		}
		if (d != nil) != parent.IsRecording() {
			t.Errorf("%s: the child is recorded: %t", name, d != nil)
		}
		if d != nil {
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
