package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
)

// logAccess writes the line of a finished call, which ended at some time.
func (t *Telemetry) logAccess(ctx context.Context, r *Record, ended time.Time) {
	if t.lines != nil {
		t.lines.write(trace.SpanContextFromContext(ctx).SpanID(), r, ended)
		return
	}
	line := slog.NewRecord(ended, slog.LevelInfo, lineOfCall, 0)
	line.AddAttrs(r.attrs()...)
	_ = t.log.Handler().Handle(ctx, line) // as slog: there is nobody left to tell
}

// lineOfCall is the message of an access log line.
const lineOfCall = "call"

// attrs are the fields of the line of a call. Those that most calls have nothing to say in are
// left out where they are empty. See [Record.appendFields], which writes the same.
func (r *Record) attrs() []slog.Attr {
	list := append(make([]slog.Attr, 0, 20),
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
		slog.Int64("response_bytes", r.ResponseBytes))
	if r.Connection != "" {
		list = append(list, slog.String("connection", r.Connection))
	}
	if r.Stale != "" {
		list = append(list, slog.String("stale", r.Stale))
	}
	if r.Quiet != "" {
		list = append(list, slog.String("quiet", r.Quiet))
	}
	if r.Letter != "" {
		list = append(list, slog.String("letter", r.Letter), slog.String("form", r.Form))
	}
	if r.Error != "" {
		list = append(list, slog.String("error", r.Error))
	}
	return list
}

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
