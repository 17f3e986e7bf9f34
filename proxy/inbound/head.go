package inbound

import (
	"bytes"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// head writes the head that a handler's header makes.
func (a *answer) head(header http.Header) {
	a.beginHead("")
	out, dated := a.out, false
	for name, values := range header {
		dated = dated || name == "Date"
		a.take(name, values)
	}
	out.fields()
	if !dated {
		out.add("Date: ")
		out.bytes = time.Now().UTC().AppendFormat(out.bytes, http.TimeFormat)
		out.add("\r\n")
	}
	a.endHead()
}

// beginHead begins the head of the answer, whose status is known.
func (a *answer) beginHead(reason string) {
	r := &a.call.request
	a.buffer().statusLine(r.ProtoMinor, a.status, reason)
	a.bodyless = r.Method == http.MethodHead || !hasBody(a.status)
}

// take has a field come with the next ones, unless it is for the server to say.
func (a *answer) take(name string, values []string) {
	switch name {
	case "Connection":
		a.said = values
		return
	case "Transfer-Encoding":
		return
	case "Content-Length":
		if a.length = a.declared(values); a.length == unknown {
			return
		}
	}
	a.out.take(name, values)
}

// endHead ends the head, save for what depends on the body.
func (a *answer) endHead() {
	k := a.call
	a.closes = a.closes || len(a.said) > 0 && httpguts.HeaderValuesContainsToken(a.said, "close") || k.request.Close ||
		k.conn.server.draining.Load() || k.refused.Load() != nil || k.body.abandons()
}

// hasBody reports whether an answer of a status may have a body (RFC 9110 §6.4.1).
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// declared is the length that a handler says, if it is one (RFC 9110 §8.6).
func (a *answer) declared(values []string) int64 {
	if len(values) != 1 || a.status == http.StatusNoContent || values[0] == "" {
		return unknown
	}
	n := int64(0)
	for _, digit := range []byte(values[0]) {
		digit -= '0'
		if digit > 9 || n > (math.MaxInt64-int64(digit))/10 {
			return unknown
		}
		n = 10*n + int64(digit)
	}
	return n
}

// frame completes the head of an answer, by what is known of its body now.
func (a *answer) frame() {
	if a.framed {
		return
	}
	a.framed = true
	out, old := a.buffer(), a.call.request.ProtoMinor == 0
	if a.length == unknown && !a.bodyless {
		a.chunked = !old
		a.closes = a.closes || old // its end is the end of the connection
	}
	if a.closes || old || len(a.said) > 0 {
		a.connection(out, old)
	}
	if a.chunked {
		out.add("Transfer-Encoding: chunked\r\n")
	}
	out.add("\r\n")
}

// connection says whether the connection goes on behind the answer (RFC 9112 §9.3).
func (a *answer) connection(out *output, old bool) {
	switch {
	case a.closes && (!old || len(a.said) > 0):
		out.field("Connection", "close")
	case a.closes:
	case len(a.said) > 0:
		for _, value := range a.said {
			out.field("Connection", value)
		}
	case old:
		out.field("Connection", "keep-alive")
	}
}

// statusLine writes a status line (RFC 9112 §4), with the usual reason if it is empty, or
// would bring a line of its own to the head.
func (o *output) statusLine(minor, status int, reason string) {
	if minor == 1 && status == http.StatusOK && (reason == "" || reason == "OK") { // most of them
		o.add("HTTP/1.1 200 OK\r\n")
		return
	}
	o.anyStatusLine(minor, status, reason)
}

// anyStatusLine is for those that are not the usual one.
func (o *output) anyStatusLine(minor, status int, reason string) {
	if minor == 0 {
		o.add("HTTP/1.0 ")
	} else {
		o.add("HTTP/1.1 ")
	}
	o.bytes = strconv.AppendInt(o.bytes, int64(status), 10)
	o.add(" ")
	if reason == "" || !httpguts.ValidHeaderFieldValue(reason) {
		reason = http.StatusText(status)
	}
	if reason == "" {
		reason = "status code " + strconv.Itoa(status)
	}
	o.add(reason)
	o.add("\r\n")
}

// trailers writes the trailers of a chunked body (RFC 9112 §7.1.2).
func (o *output) trailers(header http.Header) {
	for name, values := range header {
		if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			o.take(trailer, values)
		}
	}
	o.fields()
}

// take has a field come with the next ones. A name that is none is left out, as is that of
// a trailer, which has a colon in it.
func (o *output) take(name string, values []string) {
	if len(values) == 0 || !httpguts.ValidHeaderFieldName(name) {
		return
	}
	for _, value := range values {
		o.lines = append(o.lines, Field{name, value})
	}
}

// fields writes what was taken, in the order of names, and those of one name in the order in
// which they were taken. What would make another line of a value is looked for in all of them at
// once.
func (o *output) fields() {
	slices.SortStableFunc(o.lines, byName)
	out := o.bytes
	for i := range o.lines {
		out = appendField(out, o.lines[i].Name, o.lines[i].Value)
	}
	from, n := len(o.bytes), len(o.lines)
	o.bytes = out
	if bytes.Count(out[from:], carriageReturn) != n || bytes.Count(out[from:], newLine) != n {
		o.bytes = out[:from] // there are more lines than fields
		for i := range o.lines {
			o.field(o.lines[i].Name, o.lines[i].Value)
		}
	}
	clear(o.lines)
	o.lines = o.lines[:0]
}

var carriageReturn, newLine = []byte("\r"), []byte("\n")

// byName puts lines in the order of their names, of which most differ in the first byte.
func byName(a, b Field) int {
	if a.Name[0] != b.Name[0] {
		return int(a.Name[0]) - int(b.Name[0])
	}
	return strings.Compare(a.Name, b.Name)
}

// field writes one field line. What would make another line of it does not get into the
// value.
func (o *output) field(name, value string) {
	o.bytes = appendField(o.bytes, name, oneLine.Replace(value))
}

// oneLine makes one line of several.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// appendField writes a field line, which is one if its value is on one.
func appendField(out []byte, name, value string) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	for value != "" && blank(value[0]) {
		value = value[1:]
	}
	for value != "" && blank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	out = append(out, value...)
	return append(out, "\r\n"...)
}

// blank reports whether b is no part of a value at its ends.
func blank(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
