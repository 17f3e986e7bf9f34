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
	text(f *lineField, value string)
	number(f *lineField, n int64)
	milliseconds(f *lineField, ms float64)
}

// A lineField is the name of a field, and how it begins in JSON.
type lineField struct{ name, text, number string }

// newLineField makes one of a word of ours, with nothing in it to be escaped.
func newLineField(name string) *lineField {
	return &lineField{name: name, text: `,"` + name + `":"`, number: `,"` + name + `":`}
}

// The fields of the line of a call.
var (
	lineUpstream      = newLineField("upstream")
	lineRule          = newLineField("rule")
	lineMethod        = newLineField("method")
	lineHost          = newLineField("host")
	linePath          = newLineField("path")
	lineStatus        = newLineField("status")
	lineClass         = newLineField("class")
	lineProblem       = newLineField("problem")
	lineAnsweredBy    = newLineField("answered_by")
	lineAttempts      = newLineField("attempts")
	lineWaited        = newLineField("waited_ms")
	lineDuration      = newLineField("duration_ms")
	lineRequestBytes  = newLineField("request_bytes")
	lineResponseBytes = newLineField("response_bytes")
	lineConnection    = newLineField("connection")
	lineStale         = newLineField("stale")
	lineQuiet         = newLineField("quiet")
	lineLetter        = newLineField("letter")
	lineForm          = newLineField("form")
	lineError         = newLineField("error")
)

// tell gives a line its fields. Those that most calls have nothing to say in are left out
// where they are empty.
func (r *Record) tell(line accessLine) {
	line.text(lineUpstream, r.Upstream)
	line.text(lineRule, r.Rule)
	line.text(lineMethod, r.Method)
	line.text(lineHost, r.Host)
	line.text(linePath, r.Path)
	line.number(lineStatus, int64(r.Status))
	line.text(lineClass, string(r.Class))
	line.text(lineProblem, r.Problem)
	line.text(lineAnsweredBy, r.answeredBy())
	line.number(lineAttempts, int64(r.Attempts))
	line.milliseconds(lineWaited, r.WaitedMS)
	line.milliseconds(lineDuration, r.DurationMS)
	line.number(lineRequestBytes, r.RequestBytes)
	line.number(lineResponseBytes, r.ResponseBytes)
	if r.Connection != "" {
		line.text(lineConnection, r.Connection)
	}
	if r.Stale != "" {
		line.text(lineStale, r.Stale)
	}
	if r.Quiet != "" {
		line.text(lineQuiet, r.Quiet)
	}
	if r.Letter != "" {
		line.text(lineLetter, r.Letter)
		line.text(lineForm, r.Form)
	}
	if r.Error != "" {
		line.text(lineError, r.Error)
	}
}

// attrLine are the fields as slog has them.
type attrLine []slog.Attr

func (l *attrLine) text(f *lineField, value string) { *l = append(*l, slog.String(f.name, value)) }
func (l *attrLine) number(f *lineField, n int64)    { *l = append(*l, slog.Int64(f.name, n)) }
func (l *attrLine) milliseconds(f *lineField, ms float64) {
	*l = append(*l, slog.Float64(f.name, ms))
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
