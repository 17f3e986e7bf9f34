package spans_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"outrider/proxy/telemetry/spans"
)

// discarding is a client that makes of spans what it would send, and no more.
type discarding struct{ bytes atomic.Int64 }

func (*discarding) Start(context.Context) error { return nil }
func (*discarding) Stop(context.Context) error  { return nil }

func (c *discarding) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	sent, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: list})
	c.bytes.Add(int64(len(sent)))
	return err
}

// bySDK is a tracer of the SDK's with its batch processor.
func bySDK(b testing.TB, client otlptrace.Client) (tracer trace.Tracer, end func()) {
	exporter, err := otlptrace.New(b.Context(), client)
	if err != nil {
		b.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		sdktrace.WithResource(about), sdktrace.WithBatcher(exporter, sdktrace.WithBlocking()))
	return provider.Tracer("outrider"), func() { provider.Shutdown(context.Background()) }
}

// byUs is a tracer of ours with its queue.
func byUs(b testing.TB, client otlptrace.Client) (tracer *spans.Tracer, end func()) {
	upload, err := spans.NewUploader(b.Context(), client, false, about, theScope)
	if err != nil {
		b.Fatal(err)
	}
	queue := spans.NewQueue(spans.QueueSettings{
		Spans: 1 << 20, Delay: time.Second, Full: func(int) { b.Error("a span was dropped") },
		Export: func(ctx context.Context, batch spans.Batch) { upload.Upload(ctx, batch) },
	})
	tracer = spans.New(spans.Settings{
		Resource: about, Scope: theScope, Sampler: sdktrace.ParentBased(sdktrace.AlwaysSample()), Limits: sdktrace.NewSpanLimits(),
		Ended: func(d *spans.Data) {
			queue.Add(d)
			d.Free()
		},
	})
	return tracer, func() { queue.Shutdown(context.Background()) }
}

// Attributes as a usual call has them, and its attempt.
var (
	ofCall = []attribute.KeyValue{
		attribute.String("http.request.method", "GET"), attribute.String("url.scheme", "http"),
		attribute.String("url.path", "/services/data/v61.0/sobjects/Contact"), attribute.String("outrider.form", "base-url"),
		attribute.Int("outrider.attempts", 1), attribute.Float64("outrider.wait", 0),
		attribute.String("server.address", "acme.my.salesforce.com"), attribute.String("outrider.upstream", "crm"),
		attribute.String("outrider.class", "ok"), attribute.Int("http.response.status_code", 200), attribute.Int("http.response.body.size", 1234),
	}
	ofAttempt = []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("url.full", "https://acme.my.salesforce.com/services/data/v61.0/sobjects/Contact?limit=REDACTED"),
		attribute.String("server.address", "acme.my.salesforce.com"), attribute.Int("server.port", 443),
		attribute.Bool("outrider.connection.reused", true), attribute.String("network.peer.address", "203.0.113.7"),
		attribute.Int("network.peer.port", 443), attribute.String("outrider.upstream", "crm"),
		attribute.Int("http.response.status_code", 200), attribute.String("network.protocol.version", "1.1"),
	}
)

// BenchmarkSpans is the cost of the two spans of a call until they are the body of an
// export. One processor does it all, so that nothing is hidden by another.
func BenchmarkSpans(b *testing.B) {
	b.Run("sdk", func(b *testing.B) {
		client := &discarding{}
		tracer, end := bySDK(b, client)
		server, attempt := trace.WithSpanKind(trace.SpanKindServer), trace.WithSpanKind(trace.SpanKindClient)
		measure(b, client, end, func() {
			ctx, call := tracer.Start(context.Background(), "GET", server)
			_, try := tracer.Start(ctx, "GET", attempt)
			try.SetAttributes(ofAttempt...)
			try.End()
			call.SetName("GET crm")
			call.SetAttributes(ofCall...)
			call.End()
		})
	})
	b.Run("ours", func(b *testing.B) {
		client := &discarding{}
		tracer, end := byUs(b, client)
		measure(b, client, end, func() { oneCall(tracer) })
	})
}

// keys are those of attributes, ready to be sent.
type keys []spans.Key

var keysOfCall, keysOfAttempt = keysOf(ofCall), keysOf(ofAttempt)

func keysOf(list []attribute.KeyValue) (names keys) {
	for _, a := range list {
		names = append(names, spans.NewKey(a.Key))
	}
	return names
}

func (names keys) write(to *spans.Fields, list []attribute.KeyValue) {
	for i := range list {
		switch v := &list[i].Value; v.Type() {
		case attribute.STRING:
			to.Word(names[i], v.AsString())
		case attribute.INT64:
			to.Number(names[i], v.AsInt64())
		case attribute.FLOAT64:
			to.Fraction(names[i], v.AsFloat64())
		case attribute.BOOL:
			to.Truth(names[i], v.AsBool())
		}
	}
}

func oneCall(tracer *spans.Tracer) {
	var call spans.Span
	tracer.BeginTrace(&call, "GET", trace.SpanKindServer, time.Now())
	call.Bear()
	d := tracer.RecordChild(&call, tracer.ChildID(&call), &spans.Beginning{Name: "GET", Kind: trace.SpanKindClient})
	keysOfAttempt.write(d.Fields(), ofAttempt)
	d.End(time.Time{})
	d = call.Take()
	d.SetName("GET crm")
	keysOfCall.write(d.Fields(), ofCall)
	d.End(time.Time{})
}

func measure(b *testing.B, client *discarding, end func(), call func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b.ReportAllocs()
	before := processorTime(b)
	for n := 0; b.Loop(); n++ {
		call()
		if n%512 == 0 {
			runtime.Gosched() // who sends has its turn
		}
	}
	end()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(client.bytes.Load())/float64(b.N), "sent_B/op")
}

// processorTime is what the process has used: on a machine that others use, too, it says more
// than the clock.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// A call allocates the handle of its span, and nothing for what that and its child record.
func TestSpanAllocatesItsHandle(t *testing.T) {
	if raceEnabled { // the pool leaves things out then, at random
		return
	}
	tracer, end := byUs(t, &discarding{})
	defer end()
	if n := testing.AllocsPerRun(1000, func() { oneCall(tracer) }); n != 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
