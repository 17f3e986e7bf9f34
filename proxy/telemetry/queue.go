package telemetry

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// room is that of one of the SDK's batch processors, which drop in silence what does not
// fit. It counts what is on its way, until its export has ended, and lets in no more than
// there is room for, so that what is dropped is dropped here, and counted.
type room struct {
	signal  string
	size    int64
	pending atomic.Int64
	guard   *guard
}

// defaultRoom is that of the specification, for spans and for log records:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
const defaultRoom = 2048

// newRoom has the size that a standard variable says.
func newRoom(signal, variable string, g *guard) *room {
	r := &room{signal: signal, size: defaultRoom, guard: g}
	if n, err := strconv.Atoi(env(variable)); err == nil && n > 0 {
		r.size = int64(n)
	}
	return r
}

// enter reports whether there is room for one more.
func (r *room) enter() bool {
	if r.pending.Add(1) <= r.size {
		return true
	}
	r.pending.Add(-1)
	r.guard.lost(r.signal, 1, noRoom)
	return false
}

// export sends n that have entered, which leave then, come what may.
func (r *room) export(ctx context.Context, n int, send func(context.Context) error) {
	defer r.pending.Add(-int64(n))
	r.guard.export(ctx, r.signal, n, send)
}

// spanQueue is the batch processor before an exporter of spans.
type spanQueue struct {
	sdktrace.SpanProcessor
	room *room
}

// exportEvery is how long spans wait for others to be exported with, where
// OTEL_BSP_SCHEDULE_DELAY does not say. The five seconds of the specification are long
// for somebody who looks for the trace of the call that has just failed.
const exportEvery = time.Second

func newSpanQueue(exporter sdktrace.SpanExporter, g *guard) spanQueue {
	r := newRoom("traces", "OTEL_BSP_MAX_QUEUE_SIZE", g)
	opts := []sdktrace.BatchSpanProcessorOption{sdktrace.WithMaxQueueSize(int(r.size))}
	if os.Getenv("OTEL_BSP_SCHEDULE_DELAY") == "" {
		opts = append(opts, sdktrace.WithBatchTimeout(exportEvery))
	}
	return spanQueue{sdktrace.NewBatchSpanProcessor(spanExporter{exporter, r}, opts...), r}
}

// OnEnd queues a span, or drops it.
func (q spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	if span.SpanContext().IsSampled() && q.room.enter() {
		q.SpanProcessor.OnEnd(span)
	}
}

type spanExporter struct {
	sdktrace.SpanExporter
	room *room
}

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.room.export(ctx, len(spans), func(ctx context.Context) error { return e.SpanExporter.ExportSpans(ctx, spans) })
	return nil
}

// logQueue is the batch processor before an exporter of log records.
type logQueue struct {
	sdklog.Processor
	room *room
}

func newLogQueue(exporter sdklog.Exporter, g *guard) logQueue {
	r := newRoom("logs", "OTEL_BLRP_MAX_QUEUE_SIZE", g)
	return logQueue{sdklog.NewBatchProcessor(logExporter{exporter, r}, sdklog.WithMaxQueueSize(int(r.size))), r}
}

// OnEmit queues a record, or drops it.
func (q logQueue) OnEmit(ctx context.Context, record *sdklog.Record) error {
	if !q.room.enter() {
		return nil
	}
	return q.Processor.OnEmit(ctx, record)
}

type logExporter struct {
	sdklog.Exporter
	room *room
}

func (e logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	e.room.export(ctx, len(records), func(ctx context.Context) error { return e.Exporter.Export(ctx, records) })
	return nil
}
