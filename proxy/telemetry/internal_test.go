package telemetry

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Held is what the tail holds: calls that have not ended, and spans of them.
func (t *Telemetry) Held() (calls, spans int) {
	t.tail.mu.Lock()
	defer t.tail.mu.Unlock()
	return len(t.tail.calls), t.tail.spans
}

// The bounds of a tail.
const (
	MaxCallSpans = maxCallSpans
	MaxHeldSpans = maxHeldSpans
)

// MS is a duration in milliseconds, as records have it.
func MS(d time.Duration) float64 { return ms(d) }

// WriteLines writes the line of a call as we do, and as slog does.
func WriteLines(ctx context.Context, r *Record, ended time.Time, ours, theirs io.Writer) {
	with := Telemetry{accessLog: true, log: slog.New(at{slog.Handler(traced{slog.NewJSONHandler(theirs, nil)}), ended})}
	with.logAccess(ctx, r, ended)
	with.lines = &lineLog{ours}
	with.logAccess(ctx, r, ended)
}

// at has records be of one time.
type at struct {
	slog.Handler
	time time.Time
}

func (h at) Handle(ctx context.Context, r slog.Record) error {
	r.Time = h.time
	return h.Handler.Handle(ctx, r)
}
