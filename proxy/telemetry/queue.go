package telemetry

import (
	"context"
	"strconv"
	"sync/atomic"

	sdklog "go.opentelemetry.io/otel/sdk/log"
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
	return &room{signal: signal, size: int64(max(1, number(variable, defaultRoom))), guard: g}
}

// number is what a standard variable says, if that is a number that is not below zero.
func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(env(variable)); err == nil && n >= 0 {
		return n
	}
	return otherwise
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
