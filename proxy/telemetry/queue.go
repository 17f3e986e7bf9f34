package telemetry

import (
	"context"
	"strconv"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A queue is the SDK's batch processor before an exporter, with a count of what does not
// fit: that one drops in silence. It counts what is on its way, from a span's end until
// its export has ended, and lets in no more than the SDK has room for.
type queue struct {
	sdktrace.SpanProcessor
	room    int64
	pending atomic.Int64
	guard   *guard
}

func newQueue(exporter sdktrace.SpanExporter, g *guard) *queue {
	q := &queue{room: queueRoom(), guard: g}
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(&spanGuard{exporter, q}, sdktrace.WithMaxQueueSize(int(q.room)))
	return q
}

// queueRoom is how many spans may be on their way, by the standard variable.
func queueRoom() int64 {
	if n, err := strconv.Atoi(env("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		return int64(n)
	}
	return sdktrace.DefaultMaxQueueSize
}

// OnEnd queues a span, or drops it.
func (q *queue) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if q.pending.Add(1) > q.room {
		q.pending.Add(-1)
		q.guard.losses.add("traces", 1, noRoom)
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// spanGuard is the exporter of a queue.
type spanGuard struct {
	sdktrace.SpanExporter
	queue *queue
}

func (g *spanGuard) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer g.queue.pending.Add(-int64(len(spans)))
	g.queue.guard.export(ctx, "traces", len(spans), func(ctx context.Context) error { return g.SpanExporter.ExportSpans(ctx, spans) })
	return nil
}
