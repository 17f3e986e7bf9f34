package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// The line of a call is held against what slog writes of the same one.
func FuzzLineIsAsSlogWritesIt(f *testing.F) {
	for _, text := range []string{"", "crm", `"q"\`, "\x00\n\r\t\x1f\x7f", "日本語", "\xff\xe2\x80", "a\u2028b\u2029c", "<&>"} {
		f.Add(text, text, int64(len(text)), 200, int64(1500), true)
	}
	f.Fuzz(func(t *testing.T, a, b string, bytes int64, status int, micros int64, letter bool) {
		r := &telemetry.Record{
			Upstream: a, Rule: b, Method: "GET", Host: b, Path: a, Status: status, Class: policy.Class(b), Problem: a,
			Attempts: status, WaitedMS: telemetry.MS(time.Duration(micros)), DurationMS: telemetry.MS(time.Duration(micros) * time.Microsecond),
			RequestBytes: bytes, ResponseBytes: -bytes, Connection: a, Stale: b, Quiet: a, Error: b, Form: b,
		}
		if letter {
			r.Letter = a
		}
		asSlog(t, r, time.UnixMicro(micros%1e17)) // years of four digits
	})
}

func TestLineIsAsSlogWritesIt(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		b := make([]byte, chance.IntN(20))
		for i := range b {
			b[i] = byte(chance.Uint32())
		}
		return string(b)
	}
	for range 2000 {
		asSlog(t, &telemetry.Record{
			Upstream: text(), Rule: text(), Method: text(), Host: text(), Path: text(), Status: chance.IntN(600), Class: policy.Class(text()),
			Attempts: chance.IntN(9), WaitedMS: telemetry.MS(time.Duration(chance.Int64N(1 << chance.IntN(50)))), DurationMS: telemetry.MS(time.Duration(chance.Int64N(1 << chance.IntN(60)))),
			RequestBytes: chance.Int64(), ResponseBytes: chance.Int64(), Letter: text(), Form: text(), Error: text(),
		}, time.Now().Add(time.Duration(chance.Int64N(1<<62))))
	}
}

// asSlog wants the same line by both ways, of a call that ended at some time.
func asSlog(t *testing.T, r *telemetry.Record, ended time.Time) {
	t.Helper()
	within := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 0xab}, SpanID: trace.SpanID{2, 0xcd}})
	for _, ctx := range []context.Context{t.Context(), trace.ContextWithSpanContext(t.Context(), within)} {
		r.TraceID = ""
		if id := trace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
			r.TraceID = id.String()
		}
		var ours, theirs bytes.Buffer
		telemetry.LineByUs(&ours)(ctx, r, ended)
		telemetry.LineBySlog(&theirs)(ctx, r, ended)
		if ours.String() != theirs.String() {
			t.Fatalf("the line is\n%sand by slog\n%s", &ours, &theirs)
		}
		if !json.Valid(ours.Bytes()) {
			t.Fatalf("this is no JSON: %s", &ours)
		}
	}
}

// BenchmarkLine is the cost of the line of a call until it is written, which is the same.
func BenchmarkLine(b *testing.B) {
	within := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 0xab}, SpanID: trace.SpanID{2, 0xcd}})
	ctx := trace.ContextWithSpanContext(b.Context(), within)
	r := &telemetry.Record{
		Upstream: "crm", Method: "GET", Host: "acme.my.salesforce.com", Path: "/services/data/v61.0/sobjects/Contact",
		TraceID: within.TraceID().String(), Status: 200, Class: policy.ClassOK, Attempts: 1, DurationMS: 12.345, ResponseBytes: 1234,
	}
	for name, by := range map[string]func(io.Writer) func(context.Context, *telemetry.Record, time.Time){
		"slog": telemetry.LineBySlog, "ours": telemetry.LineByUs,
	} {
		b.Run(name, func(b *testing.B) {
			write, ended := by(io.Discard), time.Now()
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				write(ctx, r, ended)
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
