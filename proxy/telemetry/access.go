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
		t.lines.write(trace.SpanContextFromContext(ctx), r, ended)
		return
	}
	line := make(attrLine, 0, 20)
	r.tell(&line)
	t.log.LogAttrs(ctx, slog.LevelInfo, lineOfCall, line...)
}

// lineOfCall is the message of an access log line.
const lineOfCall = "call"

// An accessLine takes the fields of an access log line, in their order.
type accessLine interface {
	text(key, value string)
	number(key string, n int64)
	milliseconds(key string, ms float64)
}

// tell gives a line its fields. Those that most calls have nothing to say in are left out
// where they are empty.
func (r *Record) tell(line accessLine) {
	line.text("upstream", r.Upstream)
	line.text("rule", r.Rule)
	line.text("method", r.Method)
	line.text("host", r.Host)
	line.text("path", r.Path)
	line.number("status", int64(r.Status))
	line.text("class", string(r.Class))
	line.text("problem", r.Problem)
	line.text("answered_by", r.answeredBy())
	line.number("attempts", int64(r.Attempts))
	line.milliseconds("waited_ms", r.WaitedMS)
	line.milliseconds("duration_ms", r.DurationMS)
	line.number("request_bytes", r.RequestBytes)
	line.number("response_bytes", r.ResponseBytes)
	if r.Connection != "" {
		line.text("connection", r.Connection)
	}
	if r.Stale != "" {
		line.text("stale", r.Stale)
	}
	if r.Quiet != "" {
		line.text("quiet", r.Quiet)
	}
	if r.Letter != "" {
		line.text("letter", r.Letter)
		line.text("form", r.Form)
	}
	if r.Error != "" {
		line.text("error", r.Error)
	}
}

// attrLine are the fields as slog has them.
type attrLine []slog.Attr

func (l *attrLine) text(key, value string)     { *l = append(*l, slog.String(key, value)) }
func (l *attrLine) number(key string, n int64) { *l = append(*l, slog.Int64(key, n)) }
func (l *attrLine) milliseconds(key string, ms float64) {
	*l = append(*l, slog.Float64(key, ms))
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
