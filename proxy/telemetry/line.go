package telemetry

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"
)

// lineLog writes access log lines as slog's JSON handler does, byte for byte, for a small
// part of the time: each call has one, and a line has twenty fields, which are known here.
type lineLog struct {
	out   *output
	clock clockFace // guarded by the lock of out
}

// write writes the line of a call that ended at some time, and whose span has that id: behind
// those that wait.
func (l *lineLog) write(span trace.SpanID, r *Record, ended time.Time) {
	l.out.gather(ended, func(b []byte) []byte {
		b = l.clock.append(append(b, `{"time":"`...), ended)
		b = append(b, `","level":"INFO","msg":"`+lineOfCall+`"`...)
		b = r.appendFields(b)
		if r.TraceID != "" { // where the call is found in traces: see the type traced
			b = append(append(b, `,"trace_id":"`...), r.TraceID...)
			b = append(hex.AppendEncode(append(b, `","span_id":"`...), span[:]), '"')
		}
		return append(b, "}\n"...)
	})
}

// appendFields writes the fields of the line of a call, those of [Record.attrs].
func (r *Record) appendFields(b []byte) []byte {
	b = appendEscaped(append(b, `,"upstream":"`...), r.Upstream)
	b = appendEscaped(append(b, `","rule":"`...), r.Rule)
	b = appendEscaped(append(b, `","method":"`...), r.Method)
	b = appendEscaped(append(b, `","host":"`...), r.Host)
	b = appendEscaped(append(b, `","path":"`...), r.Path)
	b = strconv.AppendInt(append(b, `","status":`...), int64(r.Status), 10)
	b = appendEscaped(append(b, `,"class":"`...), string(r.Class))
	b = appendEscaped(append(b, `","problem":"`...), r.Problem)
	b = appendEscaped(append(b, `","answered_by":"`...), r.answeredBy())
	b = strconv.AppendInt(append(b, `","attempts":`...), int64(r.Attempts), 10)
	b = appendMilliseconds(append(b, `,"waited_ms":`...), r.WaitedMS)
	b = appendMilliseconds(append(b, `,"duration_ms":`...), r.DurationMS)
	b = strconv.AppendInt(append(b, `,"request_bytes":`...), r.RequestBytes, 10)
	b = strconv.AppendInt(append(b, `,"response_bytes":`...), r.ResponseBytes, 10)
	if r.Connection != "" {
		b = append(appendEscaped(append(b, `,"connection":"`...), r.Connection), '"')
	}
	if r.Stale != "" {
		b = append(appendEscaped(append(b, `,"stale":"`...), r.Stale), '"')
	}
	if r.Quiet != "" {
		b = append(appendEscaped(append(b, `,"quiet":"`...), r.Quiet), '"')
	}
	if r.Letter != "" {
		b = appendEscaped(append(b, `,"letter":"`...), r.Letter)
		b = append(appendEscaped(append(b, `","form":"`...), r.Form), '"')
	}
	if r.Error != "" {
		b = append(appendEscaped(append(b, `,"error":"`...), r.Error), '"')
	}
	return b
}

// appendMilliseconds writes a time, which is in whole microseconds, or so large that they make
// no difference.
func appendMilliseconds(b []byte, ms float64) []byte {
	us := int64(math.Round(ms * 1000))
	if us < 0 || us >= 1e15 || float64(us)/1000 != ms {
		return strconv.AppendFloat(b, ms, 'f', -1, 64) // JSON would have an exponent only of what is no time
	}
	return appendFraction(strconv.AppendInt(b, us/1000, 10), int(us%1000), 3)
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
	if begins := plain(s); begins < len(s) {
		return escapeFrom(b, s, begins)
	}
	return append(b, s...)
}

// escapeFrom is appendEscaped of a text of which so many bytes are known to be written as they
// are.
func escapeFrom(b []byte, s string, i int) []byte {
	begin := 0 // of what is not written yet, and needs no escape
	for i < len(s) {
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

// plain is how many bytes at the beginning are written as they are: nearly always all. Eight
// are looked at at a time. In a word of them the high bit of each byte is set, by one term for
// each kind, where a byte has to be looked at closer, and in none where none has.
func plain(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		word := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash := word^'"'*ones, word^'\\'*ones // zero where it is one
		if (word|(word-' '*ones)|(quote-ones)|(slash-ones))&high != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
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
