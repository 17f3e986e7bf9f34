package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"outrider/policy"

	"go.opentelemetry.io/otel/trace"
)

// newLogHandler writes the log that the settings ask for.
func newLogHandler(s Settings) (slog.Handler, error) {
	var level slog.Level
	switch s.LogLevel {
	case "", "info":
		level = slog.LevelInfo
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, fmt.Errorf("telemetry.log_level = %q: must be debug, info, warn or error", s.LogLevel)
	}
	out := s.LogOutput
	if out == nil {
		out = os.Stderr
	}
	opts := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "", "json":
		return traced{slog.NewJSONHandler(out, opts)}, nil
	case "text":
		return traced{slog.NewTextHandler(out, opts)}, nil
	}
	return nil, fmt.Errorf("telemetry.log_format = %q: must be json or text", s.LogFormat)
}

// traced adds the ids of the context's span to each record.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }

// answeredBy says whose answer the client got: the upstream's, one that it had given
// before, or ours; "": it got none.
func (r *Record) answeredBy() string {
	switch {
	case r.Stale != "":
		return "stale"
	case r.Problem != "" || r.own:
		return "outrider"
	case r.Status == 0 || r.Status == statusClientClosed || r.Form == "connect":
		return ""
	case r.Attempts == 0 && r.Class != policy.ClassKept: // whose answer came by a letter
		return "outrider"
	}
	return "upstream"
}

// statusClientClosed is what a call has in place of a status whose client left before
// its answer.
const statusClientClosed = 499

// logAccess writes the line of a finished call.
func (t *Telemetry) logAccess(ctx context.Context, r *Record) {
	if !t.accessLog || !t.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("upstream", r.Upstream),
		slog.String("rule", r.Rule),
		slog.String("method", r.Method),
		slog.String("host", r.Host),
		slog.String("path", r.Path),
		slog.Int("status", r.Status),
		slog.String("class", string(r.Class)),
		slog.String("problem", r.Problem),
		slog.String("answered_by", r.answeredBy()),
		slog.Int("attempts", r.Attempts),
		slog.Float64("waited_ms", r.WaitedMS),
		slog.Float64("duration_ms", r.DurationMS),
		slog.Int64("request_bytes", r.RequestBytes),
		slog.Int64("response_bytes", r.ResponseBytes),
	)
	if r.Connection != "" {
		attrs = append(attrs, slog.String("connection", r.Connection))
	}
	if r.Stale != "" {
		attrs = append(attrs, slog.String("stale", r.Stale))
	}
	if r.Quiet != "" {
		attrs = append(attrs, slog.String("quiet", r.Quiet))
	}
	if r.Letter != "" {
		attrs = append(attrs, slog.String("letter", r.Letter), slog.String("form", r.Form))
	}
	if r.Error != "" {
		attrs = append(attrs, slog.String("error", r.Error))
	}
	t.log.LogAttrs(ctx, slog.LevelInfo, "call", attrs...)
}
