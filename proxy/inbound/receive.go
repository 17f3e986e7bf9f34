package inbound

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outrider/proxy/framing"

	"golang.org/x/net/http/httpguts"
)

// receive reads the head of a request. It is nil when there is none to come. A
// malformed one is a call, too, for the handler to say so.
func (c *conn) receive() *call {
	c.scanner.Begin(c.server.Limits)
	k := &call{conn: c} // now: its memory gets into the cache while the head is looked at
	for waited := false; ; waited = true {
		window := c.input.window()
		n, bad := c.scanner.Head(window)
		switch {
		case bad != nil:
			return c.refuse(bad)
		case n > 0:
			return c.accept(k, window[:n])
		case !waited:
			c.readUntil(c.server.HeadTimeout)
		}
		err := c.fill()
		switch {
		case err == nil:
		case !c.scanner.Begun(c.input.window()):
			return nil
		case err == io.EOF:
			return c.refuse(framing.ErrCutOff)
		case timedOut(err):
			return c.refuse(framing.ErrSlow)
		default:
			return nil
		}
	}
}

// refuse makes the request that stands in for one that is malformed.
func (c *conn) refuse(bad *framing.Error) *call {
	k := &call{conn: c} // another one may have been begun
	k.begin()
	k.violation, k.answer.closes, k.url.Path = bad, true, "/"
	r := &k.request
	r.Method, r.RequestURI, r.Host = http.MethodGet, "/", "outrider.invalid"
	if c.scanner.Refused(c.input.window()) {
		r.Method = http.MethodHead // no body in the answer
	}
	r.Header, r.Close = make(http.Header), true
	return k
}

// begin sets out with a call, whose request says nothing yet.
func (k *call) begin() {
	// A request takes its context in no other way. It is that of another one that is empty: to
	// read this one would wait until it is in the cache.
	k.request = *new(http.Request).WithContext(k)
	k.request.Proto, k.request.ProtoMajor, k.request.ProtoMinor = "HTTP/1.1", 1, 1
	k.request.URL, k.request.Body = &k.url, http.NoBody
	k.answer.call, k.answer.length = k, unknown
}

// accept makes the request of a head, and k the call of that.
func (c *conn) accept(k *call, head []byte) *call {
	fields, parts := c.scanner.Fields(), c.scanner.Parts()
	for _, f := range fields {
		canonicalize(head[f.Name:f.NameEnd])
	}
	text := string(head) // all that follows are parts of it
	verb, target := method(text[parts.Method:parts.MethodEnd]), text[parts.Target:parts.TargetEnd]
	k.begin()
	r := &k.request
	r.Method, r.RequestURI, r.ContentLength = verb, target, parts.Length
	if parts.Chunked {
		r.ContentLength, r.TransferEncoding = -1, chunkedOnly
	}
	if parts.HTTP10 {
		r.Proto, r.ProtoMinor, r.Close = "HTTP/1.0", 0, true
	}
	special := k.readHeader(text, fields)
	if err := k.readTarget(); err != nil {
		return c.refuse(&framing.Error{Status: http.StatusBadRequest, Reason: "request target that is no URL"})
	}
	if special {
		var known bool
		if k.answer.expected, known = expects(r); !known {
			return c.refuse(&framing.Error{Status: http.StatusExpectationFailed, Reason: "expectation other than 100-continue"})
		}
		r.Close = closes(r)
	}
	if r.ContentLength != 0 {
		k.body.call, r.Body = k, &k.body
		_ = c.setReadDeadline(time.Time{}) // the one for the head
	}
	c.input.use(len(head), &c.scanner)
	return k
}

var chunkedOnly = []string{"chunked"}

// method is s, where it is one that everybody uses without a part in the head: it
// may be remembered for long.
func method(s string) string {
	switch s {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodHead:
		return http.MethodHead
	case http.MethodOptions:
		return http.MethodOptions
	case http.MethodConnect:
		return http.MethodConnect
	}
	return s
}

// readHeader takes the fields of a head. Names are canonical already. It reports whether
// there is something that is said to the server itself.
func (k *call) readHeader(text string, fields []framing.Field) (special bool) {
	r, header := &k.request, make(http.Header, max(len(fields)-1, 0)) // less the Host
	values := k.values[:]
	if len(fields) > len(values) {
		values = make([]string, len(fields))
	}
	for i, f := range fields {
		name, value := text[f.Name:f.NameEnd], text[f.Value:f.ValueEnd]
		switch name {
		case "Host":
			r.Host = value
			continue
		case "Content-Length", "Transfer-Encoding": // see Request.ContentLength
			continue
		case "Connection", "Expect", "Trailer":
			kept, ours := k.hear(name, value)
			if special = special || ours; !kept {
				continue
			}
		}
		values[i] = value
		names := len(header)
		header[name] = values[i : i+1 : i+1]
		if len(header) == names { // there is another one of that name
			header[name] = valuesOf(text, fields[:i+1], name)
		}
	}
	r.Header = header
	return special
}

// hear takes a field that may be said to the server itself: ours. It reports whether the
// header has it.
func (k *call) hear(name, value string) (kept, ours bool) {
	r := &k.request
	switch name {
	case "Trailer":
		if r.ContentLength == unknown {
			announce(r, value)
			return false, false
		}
		return true, false
	case "Connection": // most clients say keep-alive, and it says nothing (RFC 9112 §9.3)
		if r.ProtoMinor == 1 && strings.EqualFold(value, "keep-alive") {
			return false, false
		}
	}
	return true, true
}

// valuesOf are the values of the fields of a name.
func valuesOf(text string, fields []framing.Field, name string) (values []string) {
	for _, f := range fields {
		if text[f.Name:f.NameEnd] == name {
			values = append(values, text[f.Value:f.ValueEnd])
		}
	}
	return values
}

// announce notes which trailers are to come.
func announce(r *http.Request, names string) {
	for name := range strings.SplitSeq(names, ",") {
		if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name == "" {
			continue
		}
		if r.Trailer == nil {
			r.Trailer = make(http.Header)
		}
		r.Trailer[name] = nil
	}
}

// readTarget fills the URL.
func (k *call) readTarget() error {
	r, to := &k.request, k.request.RequestURI
	path := plain(to)
	if to[0] != '/' || path < len(to) && to[path] != '?' {
		return k.readURL()
	}
	k.url.Path = to[:path]
	if path < len(to) {
		k.url.RawQuery = to[path+1:]
		k.url.ForceQuery = k.url.RawQuery == ""
	}
	r.Host = k.conn.sameHost(r.Host)
	return nil
}

// readURL fills the URL from a target that is not a plain path, and takes the host from one that
// names it (RFC 9112 §3.2.2).
func (k *call) readURL() error {
	r := &k.request
	if r.Method == http.MethodConnect {
		r.Host = k.conn.sameHost(r.RequestURI)
		r.RequestURI, k.url.Host = r.Host, r.Host
		return nil
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return err
	}
	if k.url = *u; k.url.Host == "" {
		r.Host = k.conn.sameHost(r.Host)
		return nil
	}
	r.Host = k.conn.sameHost(k.url.Host)
	k.url.Host = r.Host
	return nil
}

// sameHost is the host that the connection's last request was for, if this is the
// same. Hosts are remembered for long, here and there: they must not be a part of
// the head, which would be remembered with them.
func (c *conn) sameHost(host string) string {
	if host != c.host {
		c.host = strings.Clone(host)
	}
	return c.host
}

// plain is how much of the start of a target is written in the one way in which package url
// writes a path: if that is all in front of a query, it is what url.ParseRequestURI would make
// of it.
func plain(to string) int {
	for i := range len(to) {
		if !pathBytes[to[i]] {
			return i
		}
	}
	return len(to)
}

// pathBytes are those that are never escaped in a path.
var pathBytes = func() (t [256]bool) {
	for _, b := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@") {
		t[b] = true
	}
	return t
}()

// expects reports whether the client waits for 100 before it sends its body, if that is all
// that it expects (RFC 9110 §10.1.1): else it is not known.
func expects(r *http.Request) (it, known bool) {
	expect := r.Header["Expect"]
	if len(expect) == 0 || strings.Trim(strings.Join(expect, ""), ", \t") == "" {
		return false, true
	}
	known = httpguts.HeaderValuesContainsToken(expect, "100-continue")
	return known && r.ContentLength != 0 && r.ProtoMinor == 1, known
}

// closes reports whether the client wants the connection to end with the answer
// (RFC 9112 §9.3).
func closes(r *http.Request) bool {
	tokens := r.Header["Connection"]
	if len(tokens) == 0 {
		return r.ProtoMinor == 0
	}
	if httpguts.HeaderValuesContainsToken(tokens, "close") {
		return true
	}
	return r.ProtoMinor == 0 && !httpguts.HeaderValuesContainsToken(tokens, "keep-alive")
}

// canonicalize writes a field name in its canonical form, which is no longer and
// no shorter.
func canonicalize(name []byte) {
	upper := true
	for i, b := range name {
		switch {
		case upper && 'a' <= b && b <= 'z':
			name[i] = b - 'a' + 'A'
		case !upper && 'A' <= b && b <= 'Z':
			name[i] = b - 'A' + 'a'
		}
		upper = b == '-'
	}
}
