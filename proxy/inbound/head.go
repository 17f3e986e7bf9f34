package inbound

import (
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
	if a.status != http.StatusNoContent {
		a.length = declared(header)
	}
	out.fields(header, func(name string) bool { return name == "Connection" || name == "Content-Length" && a.length == unknown })
	if _, said := header["Date"]; !said {
		out.add("Date: ")
		out.bytes = time.Now().UTC().AppendFormat(out.bytes, http.TimeFormat)
		out.add("\r\n")
	}
	a.said = header["Connection"]
	a.closes = a.closes || httpguts.HeaderValuesContainsToken(a.said, "close") || k.request.Close ||
		k.conn.server.draining.Load() || k.refused.Load() != nil || k.body.abandons()
}

// hasBody reports whether an answer of a status may have a body (RFC 9110 §6.4.1).
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// declared is the length that a handler says, if it is one (RFC 9110 §8.6).
func declared(header http.Header) int64 {
	values := header["Content-Length"]
	if len(values) != 1 {
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
	if minor == 0 {
		o.add("HTTP/1.0 ")
	} else {
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

// fields writes a header, in the order of names, without what is left out.
func (o *output) fields(header http.Header, out func(name string) bool) {
	o.names = o.names[:0]
	for name := range header {
		if name != "Transfer-Encoding" && !out(name) && !strings.HasPrefix(name, http.TrailerPrefix) {
			o.names = append(o.names, name)
		}
	}
	o.sorted(header, "")
}

// trailers writes the trailers of a chunked body (RFC 9112 §7.1.2).
func (o *output) trailers(header http.Header) {
	o.names = o.names[:0]
	for name := range header {
		if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			o.names = append(o.names, trailer)
		}
	}
	o.sorted(header, http.TrailerPrefix)
}

// sorted writes the fields of o.names, which stand in header behind a prefix.
func (o *output) sorted(header http.Header, prefix string) {
	slices.Sort(o.names)
	for _, name := range o.names {
		for _, value := range header[prefix+name] {
			o.field(name, value)
		}
	}
	clear(o.names)
}

// field writes one field line. What would make another line of it does not get
// into the value, and a name that is none is left out.
func (o *output) field(name, value string) {
	if !httpguts.ValidHeaderFieldName(name) {
		return
	}
	o.add(name)
	o.add(": ")
	from := len(o.bytes)
	o.add(strings.Trim(value, " \t\r\n"))
	for i := from; i < len(o.bytes); i++ {
		if b := o.bytes[i]; b == '\r' || b == '\n' {
			o.bytes[i] = ' '
		}
	}
	o.add("\r\n")
}
