package egress

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// locate finds out where the request goes, and what its Host is.
func (ex *exchange) locate() error {
	u := ex.req.URL
	ex.key.tls = u.Scheme == "https"
	if !ex.key.tls && u.Scheme != "http" {
		return invalid("scheme is neither http nor https")
	}
	host := u.Host
	if last := ex.t.latest.Load(); last != nil && last.key.tls == ex.key.tls && last.key.host == host {
		// What is like a key's host is its own: see hostKey. The request's string may be a part
		// of something large, and a connection keeps its key.
		ex.key.host = last.key.host
	} else {
		var err error
		if host, err = asciiHost(host); err != nil {
			return err
		}
		ex.key.host = hostKey(host, ex.key.tls)
	}
	if named := ex.req.Host; named != "" && named != u.Host {
		var err error
		if host, err = asciiHost(named); err != nil {
			return err
		}
	}
	ex.host = withoutZone(host)
	return nil
}

// check validates what will be written of the request besides its host and its
// fields, so that no CR, LF or NUL gets into the stream, and computes the target.
func (ex *exchange) check() error {
	req := ex.req
	// A CONNECT over a Transport would have no body to be a tunnel: see Dial.
	if req.Method != "" && !isToken(req.Method) || req.Method == http.MethodConnect {
		return invalid("method")
	}
	var err error
	if ex.path, err = targetPath(req); err != nil {
		return err
	}
	if !isTarget(ex.path) || !isTarget(req.URL.RawQuery) {
		return invalid("request target holds a space or a control character")
	}
	if req.Trailer == nil {
		return nil
	}
	return checkFields(req.Trailer, "trailer")
}

func checkFields(h http.Header, section string) error {
	for name, values := range h {
		if err := checkField(name, values, section); err != nil {
			return err
		}
	}
	return nil
}

func checkField(name string, values []string, section string) error {
	if !isToken(name) {
		return invalid(section + " field name")
	}
	for _, v := range values {
		if !isFieldValue(v) {
			return invalidValue(section, name)
		}
	}
	return nil
}

func invalidValue(section, name string) error {
	return invalid("value of " + section + " field " + name)
}

// targetPath is the request target up to the query: the raw path behind the
// authority in Opaque, else the escaped path. "*" is for OPTIONS.
func targetPath(req *http.Request) (string, error) {
	path := req.URL.Opaque
	if path == "" {
		path = escapedPath(req.URL)
	} else if rest, ok := strings.CutPrefix(path, "//"); ok {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			slash = len(rest)
		}
		path = rest[slash:]
	}
	switch {
	case path == "":
		return "/", nil
	case path[0] == '/', path == "*" && req.Method == http.MethodOptions:
		return path, nil
	}
	return "", invalid("request target is neither a path nor *")
}

func escapedPath(u *url.URL) string {
	if u.Path == "*" {
		return "*"
	}
	return u.EscapedPath()
}

// asciiHost is host as it goes on the wire: international names in Punycode.
func asciiHost(host string) (string, error) {
	if host == "" || host == ":" {
		return "", invalid("no host")
	}
	if isPlainHost(host) {
		return host, nil
	}
	ascii, err := httpguts.PunycodeHostPort(host)
	if err != nil || !httpguts.ValidHostHeader(ascii) || strings.ContainsAny(ascii, "@/?#\\") {
		return "", invalid("host")
	}
	return ascii, nil
}

// isPlainHost reports a name or an IPv4 address in ASCII, with or without a
// port: it goes as it is.
func isPlainHost(host string) bool {
	end := 0
	for end < len(host) && tokenBytes[host[end]]&hostByte != 0 {
		end++
	}
	return end > 0 && (end == len(host) || host[end] == ':' && isDigits(host[end+1:]))
}

// withoutZone takes the zone off an IPv6 address: it means something to this
// machine only (RFC 6874 §1).
func withoutZone(host string) string {
	if strings.HasPrefix(host, "[") {
		if from, to := strings.IndexByte(host, '%'), strings.LastIndexByte(host, ']'); from > 0 && from < to {
			return host[:from] + host[to:]
		}
	}
	return host
}

// render validates the header and puts the head into out.
func (ex *exchange) render() error {
	ex.out = outPool.Get().(*[]byte)
	head, err := ex.appendHead((*ex.out)[:0])
	*ex.out, ex.headLen = head, len(head)
	return err
}

// appendHead renders the request line and the header section.
func (ex *exchange) appendHead(b []byte) ([]byte, error) {
	req := ex.req
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	b = put(b, method)
	b = put(b, " ")
	if ex.key.forwarded() {
		b = ex.appendAbsolute(b)
	} else {
		b = put(b, ex.path)
	}
	if req.URL.ForceQuery || req.URL.RawQuery != "" {
		b = put(b, "?")
		b = put(b, req.URL.RawQuery)
	}
	b = put(b, " HTTP/1.1\r\nHost: ")
	b = put(b, ex.host)
	b = put(b, "\r\n")
	b, err := ex.appendFields(b)
	if ex.length != 0 {
		b = ex.appendFraming(b)
	} else if ex.sized || anticipatesContent(method) {
		// RFC 9110 §8.6: methods that anticipate content say that there is
		// none; others say so if the caller did.
		b = put(b, "Content-Length: 0\r\n")
	}
	if req.Close && !ex.upgrade {
		b = put(b, "Connection: close\r\n")
	}
	return put(b, "\r\n"), err
}

// appendAbsolute renders the target up to the query for a proxy that reads the
// request. There "*" is an authority without a path (RFC 9112 §3.2.2, §3.2.4).
func (ex *exchange) appendAbsolute(b []byte) []byte {
	b = put(b, "http://")
	b = put(b, ex.host)
	if ex.path == "*" {
		return b
	}
	return put(b, ex.path)
}

func anticipatesContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// appendFields renders the header fields that are not about framing, and notes
// what some say.
func (ex *exchange) appendFields(b []byte) ([]byte, error) {
	auth := ex.proxyAuth()
	ex.last = ex.req.Close
	for name, values := range ex.req.Header {
		if err := checkField(name, values, "header"); err != nil {
			return b, err
		}
		switch {
		case name == "Content-Length":
			ex.sized = len(values) > 0
			continue
		case name == "Connection":
			ex.last = ex.last || tokenIn(values, "close")
		case isFraming(name), auth != "" && fold(name, "Proxy-Authorization"):
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	if auth != "" {
		b = appendField(b, "Proxy-Authorization", auth)
	}
	return b, nil
}

// proxyAuth is what a proxy that reads the request wants of us, "" for nothing.
func (ex *exchange) proxyAuth() string {
	if !ex.key.forwarded() {
		return ""
	}
	return ex.key.via.auth
}

// appendFraming says how long the body is that there is. One with trailers is chunked
// even if its length is known: there is no other place for them.
func (ex *exchange) appendFraming(b []byte) []byte {
	if !ex.chunkedOut() {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, ex.length, 10)
		return append(b, '\r', '\n')
	}
	b = append(b, "Transfer-Encoding: chunked\r\n"...)
	if len(ex.req.Trailer) > 0 {
		b = append(b, "Trailer: "...)
		sep := ""
		for name := range ex.req.Trailer {
			b = put(put(b, sep), name)
			sep = ", "
		}
		b = append(b, '\r', '\n')
	}
	return b
}

func (ex *exchange) chunkedOut() bool {
	return ex.length < 0 || ex.length > 0 && len(ex.req.Trailer) > 0
}

func appendField(b []byte, name, value string) []byte {
	b = put(b, name)
	b = put(b, ": ")
	b = put(b, value)
	return put(b, "\r\n")
}

// put is append. Each place that appends has the code for that, which is longer than a
// call: of a head, which is many pieces, it would be most.
//
//go:noinline
func put(b []byte, s string) []byte { return append(b, s...) }

// isFraming reports the fields that are written from the request's own
// members and never from its header map.
func isFraming(name string) bool {
	switch len(name) {
	case 4:
		return fold(name, "Host")
	case 7:
		return fold(name, "Trailer")
	case 14:
		return fold(name, "Content-Length")
	case 17:
		return fold(name, "Transfer-Encoding")
	}
	return false
}

// readInline appends the small body to out.
func (ex *exchange) readInline() error {
	defer closeBody(ex.req)
	b, n := *ex.out, int(ex.length)
	if need := len(b) + n; cap(b) < need {
		b = append(make([]byte, 0, need), b...)
	}
	b = b[:ex.headLen+n]
	src := source{r: ex.req.Body, left: ex.length}
	if _, err := io.ReadFull(&src, b[ex.headLen:]); err != nil {
		if src.err != nil {
			err = src.err
		}
		return err
	}
	*ex.out = b
	return nil
}

// copied makes a body of a reader that needs no closing.
func copied(r io.Reader) io.ReadCloser { return io.NopCloser(r) }
