package telemetry

import (
	"encoding/hex"
	"math"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"
)

// lineLog writes access log lines as slog's JSON handler does, byte for byte, for a small
// part of the time: each call has one, and a line has twenty fields, which are known here.
type lineLog struct{ out *output }

// linePool has lines that were written, for others.
var linePool = sync.Pool{New: func() any { return new(jsonLine) }}

// write writes the line of a call that ended at some time.
func (l *lineLog) write(of trace.SpanContext, r *Record, ended time.Time) {
	line := linePool.Get().(*jsonLine)
	defer linePool.Put(line)
	line.begin(ended)
	r.tell(line)
	line.end(of)
	l.out.gather(line.b, ended)
}

// A jsonLine is a line that is being written.
type jsonLine struct {
	b     []byte
	clock clockFace
}

func (l *jsonLine) begin(at time.Time) {
	l.b = append(l.b[:0], `{"time":"`...)
	l.b = l.clock.append(l.b, at)
	l.b = append(l.b, `","level":"INFO","msg":"`+lineOfCall+`"`...)
}

// end adds where the call is found in traces: see the type traced.
func (l *jsonLine) end(sc trace.SpanContext) {
	if sc.IsValid() {
		traceID, spanID := sc.TraceID(), sc.SpanID()
		l.b = hex.AppendEncode(append(l.b, `,"trace_id":"`...), traceID[:])
		l.b = append(hex.AppendEncode(append(l.b, `","span_id":"`...), spanID[:]), '"')
	}
	l.b = append(l.b, "}\n"...)
}

func (l *jsonLine) text(f *lineField, value string) {
	l.b = append(appendEscaped(append(l.b, f.text...), value), '"')
}

func (l *jsonLine) number(f *lineField, n int64) {
	l.b = strconv.AppendInt(append(l.b, f.number...), n, 10)
}

// milliseconds writes a time, which is in whole microseconds, or so large that they make no
// difference.
func (l *jsonLine) milliseconds(f *lineField, ms float64) {
	l.b = append(l.b, f.number...)
	us := int64(math.Round(ms * 1000))
	if us < 0 || us >= 1e15 || float64(us)/1000 != ms {
		l.b = strconv.AppendFloat(l.b, ms, 'f', -1, 64) // JSON would have an exponent only of what is no time
		return
	}
	l.b = strconv.AppendInt(l.b, us/1000, 10)
	l.b = appendFraction(l.b, int(us%1000), 3)
}

// appendFraction writes what comes after the point, if there is any: a number of so many
// digits, without the zeros at its end.
func appendFraction(b []byte, n, digits int) []byte {
	if n == 0 {
		return b
	}
	for n%10 == 0 {
		n /= 10
		digits--
	}
	text := [...]byte{'.', '0', '0', '0', '0', '0', '0', '0', '0', '0'}
	for i := digits; n > 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, text[:1+digits]...)
}

// appendEscaped writes what is between the quotes of a JSON string. What is no UTF-8 is
// replaced, and U+2028 and U+2029 are escaped, since JavaScript takes them for line ends.
func appendEscaped(b []byte, s string) []byte {
	begin := 0 // of what is not written yet, and needs no escape
	for i := plain(s); i < len(s); {
		size, escape := 1, ""
		switch c := s[i]; {
		case c == '"' || c == '\\':
			escape = `\` + s[i:i+1]
		case c >= utf8.RuneSelf:
			size, escape = escapeRune(s[i:])
		case c < ' ':
			escape = escapeControl(c)
		}
		if escape != "" {
			b = append(append(b, s[begin:i]...), escape...)
			begin = i + size
		}
		i += size
	}
	return append(b, s[begin:]...)
}

// plain is how many bytes at the beginning are written as they are: nearly always all.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

// escapeRune is how the first character of s is written, and how many bytes it is long;
// "": as it is.
func escapeRune(s string) (size int, escape string) {
	switch c, size := utf8.DecodeRuneInString(s); {
	case c == utf8.RuneError && size == 1:
		return size, `\ufffd`
	case c == '\u2028':
		return size, `\u2028`
	case c == '\u2029':
		return size, `\u2029`
	default:
		return size, ""
	}
}

func escapeControl(c byte) string {
	switch c {
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	const digits = "0123456789abcdef"
	return `\u00` + digits[c>>4:c>>4+1] + digits[c&15:c&15+1]
}
