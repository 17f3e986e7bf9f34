package inbound

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// head writes the head of the answer, save for what depends on the body. It is
// called with mu held.
func (a *answer) head(header http.Header) {
	k := a.call
	out := a.buffer()
	out.statusLine(k.request.ProtoMinor, a.status)
	a.bodyless = k.request.Method == http.MethodHead || !hasBody(a.status)
	dated := false
	for name, values := range header {
		switch name {
		case "Connection":
			a.said = values
			continue
		case "Content-Length":
			if a.length = a.declared(values); a.length == unknown {
				continue
			}
		case "Date":
			dated = true
		}
		if mayPass(name) {
			out.take(name, values)
		}
	}
	out.fields()
	if !dated {
		out.add("Date: ")
		out.bytes = time.Now().UTC().AppendFormat(out.bytes, http.TimeFormat)
		out.add("\r\n")
	}
	a.closes = a.closes || httpguts.HeaderValuesContainsToken(a.said, "close") || k.request.Close ||
		k.conn.server.draining.Load() || k.refused.Load() != nil || k.body.abandons()
}

// hasBody reports whether an answer of a status may have a body (RFC 9110 §6.4.1).
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// declared is the length that a handler says, if it is one (RFC 9110 §8.6).
func (a *answer) declared(values []string) int64 {
	if len(values) != 1 || a.status == http.StatusNoContent {
		return unknown
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return unknown
	}
	return int64(n) //nolint:gosec // 63 bits
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
	a.connection(out, old)
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

// statusLine writes a status line (RFC 9112 §4).
func (o *output) statusLine(minor, status int) {
	switch {
	case minor == 0:
		o.add("HTTP/1.0 ")
	case status == http.StatusOK: // most of them
		o.add("HTTP/1.1 200 OK\r\n")
		return
	default:
		o.add("HTTP/1.1 ")
	}
	o.bytes = strconv.AppendInt(o.bytes, int64(status), 10)
	o.add(" ")
	reason := http.StatusText(status)
	if reason == "" {
		reason = "status code " + strconv.Itoa(status)
	}
	o.add(reason)
	o.add("\r\n")
}

// mayPass reports whether a header of a handler may go out in a head.
func mayPass(name string) bool {
	return name != "Transfer-Encoding" && !strings.HasPrefix(name, http.TrailerPrefix)
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

// An entry is one of a header.
type entry struct {
	name   string
	values []string
}

// take has an entry come with the next fields. A name that is none is left out.
func (o *output) take(name string, values []string) {
	if len(values) > 0 && httpguts.ValidHeaderFieldName(name) {
		o.entries = append(o.entries, entry{name, values})
	}
}

// fields writes what was taken, in the order of names. It is their places that are put in
// order: they are moved with less ado than what is there. What would make another line of a
// value is looked for in all of them at once.
func (o *output) fields() {
	o.order = o.order[:0]
	for i := range o.entries {
		o.order = append(o.order, i)
	}
	slices.SortFunc(o.order, func(a, b int) int { return strings.Compare(o.entries[a].name, o.entries[b].name) })
	out, lines := o.bytes, 0
	for _, i := range o.order {
		for _, value := range o.entries[i].values {
			out = appendField(out, o.entries[i].name, value)
			lines++
		}
	}
	from := len(o.bytes)
	o.bytes = out
	if written := out[from:]; bytes.Count(written, carriageReturn) != lines || bytes.Count(written, newLine) != lines {
		o.bytes = out[:from] // there are more lines than fields
		for _, i := range o.order {
			for _, value := range o.entries[i].values {
				o.field(o.entries[i].name, value)
			}
		}
	}
	clear(o.entries)
	o.entries = o.entries[:0]
}

var carriageReturn, newLine = []byte("\r"), []byte("\n")

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
