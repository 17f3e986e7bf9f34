package egress

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// maxInterim bounds the 1xx responses before the final one.
const maxInterim = 100

// framing says how a response body ends.
type framing uint8

const (
	noBody     framing = iota
	fixed              // after Content-Length bytes
	chunked            // after the last chunk
	untilClose         // with the connection
)

// receive reads up to the final response's head and returns the response,
// with this exchange as its body.
func (ex *exchange) receive() (*http.Response, error) {
	resp := ex.resp // found while waiting for 100 (Continue)
	for interim := 0; resp == nil; interim++ {
		r, err := ex.readHead()
		if err != nil {
			return nil, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			resp = r
			break
		}
		if err := ex.interim(r, interim); err != nil {
			return nil, err
		}
	}
	ex.freeOut()
	ex.resp = resp
	resp.Request = ex.req
	resp.TLS = ex.c.tls
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return ex.switchProtocols(resp)
	}
	f, keep, err := frame(resp, ex.req.Method)
	if err != nil {
		return nil, err
	}
	ex.framing, ex.keep, ex.left = f, keep && !ex.endsConnection(), 0
	if f == fixed {
		ex.left = resp.ContentLength
	}
	ex.hint(resp.Header)
	if ex.sender != nil && resp.StatusCode > 299 {
		// The peer has decided without the rest of the body (RFC 9112 §9.5).
		ex.sender.interrupt()
	}
	if f == noBody {
		resp.Body = http.NoBody
		ex.finish(true)
		return resp, nil
	}
	resp.Body = ex
	return resp, nil
}

// endsConnection reports that the request itself asked for no further one.
func (ex *exchange) endsConnection() bool {
	return ex.req.Close || tokenIn(ex.req.Header["Connection"], "close")
}

// awaitContinue reads responses up to 100 (Continue), or up to a final one,
// which it leaves in ex.resp. The deadline counts only between heads.
func (ex *exchange) awaitContinue() (final bool, err error) {
	until := time.Now().Add(ex.t.settings.ExpectContinueTimeout)
	for interim := 0; ; interim++ {
		ex.setReadDeadline(until)
		if _, err := ex.br.Peek(1); err != nil {
			return false, err
		}
		ex.setReadDeadline(time.Time{})
		r, err := ex.readHead()
		if err != nil {
			return false, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			ex.resp = r
			return true, nil
		}
		if err := ex.interim(r, interim); err != nil {
			return false, err
		}
		if r.StatusCode == http.StatusContinue {
			return false, nil
		}
	}
}

// interim hands a 1xx response on.
func (ex *exchange) interim(r *http.Response, n int) error {
	if n >= maxInterim {
		return malformed("too many interim responses")
	}
	tr := ex.trace
	if tr == nil {
		return nil
	}
	if r.StatusCode == http.StatusContinue && tr.Got100Continue != nil {
		tr.Got100Continue()
	}
	if tr.Got1xxResponse != nil {
		return tr.Got1xxResponse(r.StatusCode, textproto.MIMEHeader(r.Header))
	}
	return nil
}

// readHead reads and parses one head.
func (ex *exchange) readHead() (*http.Response, error) {
	if !ex.first {
		if _, err := ex.br.Peek(1); err != nil {
			return nil, err
		}
		ex.first = true
		if tr := ex.trace; tr != nil && tr.GotFirstResponseByte != nil {
			tr.GotFirstResponseByte()
		}
	}
	s, err := readSection(ex.br, ex.t.settings.MaxHeaderBytes)
	if err != nil {
		return nil, err
	}
	return parseHead(s)
}

// parseHead parses a head, without its empty line, as RFC 9112 §4 and §5 have
// it. The reason phrase, and the space before it, may be missing.
func parseHead(s string) (*http.Response, error) {
	line, fields, ok := strings.Cut(s, "\r\n")
	if !ok || len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[8] != ' ' {
		return nil, malformed("status line")
	}
	minor := line[7] - '0'
	if minor > 1 {
		return nil, malformed("HTTP version")
	}
	code, rest := line[9:12], line[12:]
	if code[0] < '1' || !isDigits(code) || rest != "" && rest[0] != ' ' || !isFieldValue(rest) {
		return nil, malformed("status line")
	}
	h, err := parseFields(fields)
	if err != nil {
		return nil, err
	}
	r := &http.Response{
		Status:        line[9:],
		StatusCode:    int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0'),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    int(minor),
		Header:        h,
		ContentLength: -1,
	}
	if minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	return r, nil
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// frame finds out how the body of a final response ends (RFC 9112 §6) and
// whether the connection may be used afterwards (§9.3). Whatever two parsers
// could read differently is refused. It takes Transfer-Encoding, and with
// chunked Trailer, out of the header, as net/http does.
func frame(r *http.Response, method string) (f framing, keep bool, err error) {
	r.Close = tokenIn(r.Header["Connection"], "close") ||
		r.ProtoMinor == 0 && !tokenIn(r.Header["Connection"], "keep-alive")
	keep = !r.Close

	length, err := contentLength(r)
	if err != nil {
		return 0, false, err
	}
	r.ContentLength = length
	isChunked, err := transferEncoding(r)
	if err != nil {
		return 0, false, err
	}
	if isChunked {
		if err := announceTrailers(r); err != nil {
			return 0, false, err
		}
	}
	switch {
	case bodyless(method, r.StatusCode):
		if length < 0 && method != http.MethodHead {
			r.ContentLength = 0
		}
		return noBody, keep, nil
	case isChunked:
		r.TransferEncoding = []string{"chunked"}
		return chunked, keep, nil
	case length == 0:
		return noBody, keep, nil
	case length > 0:
		return fixed, keep, nil
	}
	r.Close = true
	return untilClose, false, nil
}

// contentLength is the declared length, -1 without one. Repetitions that agree
// become one field (RFC 9110 §8.6).
func contentLength(r *http.Response) (int64, error) {
	values := r.Header["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, malformed("Content-Length fields that differ")
		}
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || !isDigits(values[0]) {
		return 0, malformed("Content-Length")
	}
	r.Header["Content-Length"] = values[:1]
	return n, nil
}

// transferEncoding accepts nothing or exactly chunked: other codings we never
// asked for, and could not take off (RFC 9112 §6.1, §7.4).
func transferEncoding(r *http.Response) (bool, error) {
	values := r.Header["Transfer-Encoding"]
	switch {
	case len(values) == 0:
		return false, nil
	case len(values) > 1 || !fold(values[0], "chunked"):
		return false, malformed("Transfer-Encoding other than chunked")
	case r.ContentLength >= 0:
		return false, malformed("both Transfer-Encoding and Content-Length")
	case r.ProtoMinor == 0:
		return false, malformed("Transfer-Encoding in HTTP/1.0")
	}
	delete(r.Header, "Transfer-Encoding")
	return true, nil
}

// announceTrailers moves the names in Trailer to r.Trailer.
func announceTrailers(r *http.Response) error {
	lists := r.Header["Trailer"]
	if len(lists) == 0 {
		return nil
	}
	delete(r.Header, "Trailer")
	r.Trailer = make(http.Header)
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.Trim(item, " \t"); item == "" {
				continue
			}
			if !isToken(item) || !allowedTrailer(item) {
				return malformed("field that cannot be a trailer in Trailer")
			}
			r.Trailer[textproto.CanonicalMIMEHeaderKey(item)] = nil
		}
	}
	return nil
}

// hint notes for how long the peer says that it keeps the connection
// (Keep-Alive: timeout=N), less a second for the way there.
func (ex *exchange) hint(h http.Header) {
	for _, list := range h["Keep-Alive"] {
		for item := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(strings.Trim(item, " \t"), "=")
			value = strings.Trim(value, ` "`)
			if !fold(name, "timeout") || !isDigits(value) || len(value) > 6 {
				continue
			}
			n, _ := strconv.Atoi(value)
			if n <= 1 {
				ex.keep = false
				continue
			}
			ex.c.keepFor = time.Duration(n-1) * time.Second
		}
	}
}
