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

// LineBySlog gives what writes the line of a call to out as slog does.
func LineBySlog(out io.Writer) func(context.Context, *Record, time.Time) {
	handler := &at{Handler: traced{slog.NewJSONHandler(out, nil)}}
	t := &Telemetry{accessLog: true, log: slog.New(handler)}
	return func(ctx context.Context, r *Record, ended time.Time) {
		handler.time = ended
		t.logAccess(ctx, r, ended)
	}
}

// LineByUs gives what writes it as we do.
func LineByUs(out io.Writer) func(context.Context, *Record, time.Time) {
	t := &Telemetry{accessLog: true, log: slog.New(slog.NewJSONHandler(out, nil)), lines: &lineLog{out: &output{out: out, ended: true}}}
	return t.logAccess
}

// at has records be of one time.
type at struct {
	slog.Handler
	time time.Time
}

func (h *at) Handle(ctx context.Context, r slog.Record) error {
	r.Time = h.time
	return h.Handler.Handle(ctx, r)
}
