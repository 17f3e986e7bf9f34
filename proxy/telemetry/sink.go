package telemetry

import (
	"context"
	"errors"
	"os"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"outrider/proxy/telemetry/spans"
)

// A spanSink gets the spans that are to be told of. It keeps nothing of what it is given.
type spanSink interface {
	Add(*spans.Data)
	Shutdown(context.Context) error
}

// deliver tells of a span that has ended, if it is sampled.
func (t *Telemetry) deliver(d *spans.Data) {
	if d.SpanContext().IsSampled() {
		for _, sink := range t.sinks {
			sink.Add(d)
		}
	}
	d.Free()
}

// shutdownSpans ends all who get spans.
func (t *Telemetry) shutdownSpans(ctx context.Context) error {
	var errs []error
	for _, sink := range t.sinks {
		errs = append(errs, sink.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// spanQueue sends spans to a collector.
type spanQueue struct {
	*spans.Queue
	upload *spans.Uploader
}

// exportEvery is how long spans wait for others to be exported with, where
// OTEL_BSP_SCHEDULE_DELAY does not say. The five seconds of the specification are long
// for somebody who looks for the trace of the call that has just failed.
const exportEvery = time.Second

// newSpanQueue is as the standard variables say:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
func newSpanQueue(upload *spans.Uploader, g *guard) spanQueue {
	return spanQueue{upload: upload, Queue: spans.NewQueue(spans.QueueSettings{
		Spans:   number("OTEL_BSP_MAX_QUEUE_SIZE", spans.DefaultSpans),
		Batch:   number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", spans.DefaultBatch),
		Delay:   milliseconds("OTEL_BSP_SCHEDULE_DELAY", exportEvery),
		Timeout: milliseconds("OTEL_BSP_EXPORT_TIMEOUT", spans.DefaultTimeout),
		Full:    func(n int) { g.lost("traces", n, noRoom) },
		Export: func(ctx context.Context, batch spans.Batch) {
			g.export(ctx, "traces", batch.Count, func(ctx context.Context) error { return upload.Upload(ctx, batch) })
		},
	})}
}

func milliseconds(variable string, otherwise time.Duration) time.Duration {
	return time.Duration(number(variable, int(otherwise.Milliseconds()))) * time.Millisecond
}

// Shutdown sends what waits, and ends.
func (q spanQueue) Shutdown(ctx context.Context) error {
	sent, stopped := q.Queue.Shutdown(ctx), q.upload.Stop(ctx)
	if sent != nil {
		return sent // and the other is no news then
	}
	return stopped
}

// snapshots has a span processor of the SDK's see the ends of spans, one copy each.
type snapshots struct{ sdktrace.SpanProcessor }

func (s snapshots) Add(d *spans.Data) { s.OnEnd(d.Snapshot()) }

// consoleQueue writes spans for people to read. That costs far more than to send them.
type consoleQueue struct {
	snapshots
	room *room
}

func newConsoleQueue(exporter sdktrace.SpanExporter, g *guard) consoleQueue {
	r := newRoom("traces", "OTEL_BSP_MAX_QUEUE_SIZE", g)
	opts := []sdktrace.BatchSpanProcessorOption{sdktrace.WithMaxQueueSize(int(r.size))}
	if os.Getenv("OTEL_BSP_SCHEDULE_DELAY") == "" {
		opts = append(opts, sdktrace.WithBatchTimeout(exportEvery))
	}
	return consoleQueue{snapshots{sdktrace.NewBatchSpanProcessor(consoleExporter{exporter, r}, opts...)}, r}
}

// Add queues a span, or drops it.
func (q consoleQueue) Add(d *spans.Data) {
	if q.room.enter() {
		q.snapshots.Add(d)
	}
}

type consoleExporter struct {
	sdktrace.SpanExporter
	room *room
}

func (e consoleExporter) ExportSpans(ctx context.Context, list []sdktrace.ReadOnlySpan) error {
	e.room.export(ctx, len(list), func(ctx context.Context) error { return e.SpanExporter.ExportSpans(ctx, list) })
	return nil
}
