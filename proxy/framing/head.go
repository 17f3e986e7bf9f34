package framing

import (
	"bytes"
	"math"
)

// A head is what the lines of one request head have said so far about framing.
type head struct {
	begun   bool // the request line was read
	blank   bool // an empty line came before it and was dropped
	http10  bool
	connect bool
	chunked bool
	sized   bool  // there is a Content-Length
	length  int64 // its value, if sized
	digits  int   // its length in bytes: with the value, tells "5" from "05"
	hosts   int
	method  int // length in bytes
	target  int // length in bytes
}

// first checks the first byte of a connection's or request's head, so that a
// client that speaks another protocol is told at once, not at a time limit.
func (h *head) first(b byte) *Error {
	switch {
	case b == '\r' || classes[b]&token != 0:
		return nil
	case b == 0x16:
		return errTLS
	case b == 0x04 || b == 0x05:
		return errSOCKS
	case b == '\n':
		return errBareLF
	case b == ' ':
		return errRequestLine
	}
	return errMethod
}

// requestLine checks method SP request-target SP HTTP-version (RFC 9112 §3).
func (h *head) requestLine(line []byte) *Error {
	i, j := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if i <= 0 || j <= i+1 || j == len(line)-1 {
		return errRequestLine
	}
	method, to, version := line[:i], line[i+1:j], line[j+1:]
	if !all(method, token) {
		return errMethod
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.http10 = true
	default:
		if string(line) == "PRI * HTTP/2.0" {
			return errPreface
		}
		return checkVersion(version)
	}
	if !all(to, target) {
		if bytes.IndexByte(to, ' ') >= 0 {
			return errRequestLine
		}
		return errTarget
	}
	h.begun, h.method, h.target = true, len(method), len(to)
	h.connect = string(method) == "CONNECT"
	switch {
	case h.connect:
		return checkConnect(to)
	case to[0] == '/':
		return checkPath(to)
	case string(to) == "*":
		if string(method) != "OPTIONS" {
			return errAsterisk
		}
		return nil
	}
	return checkURL(to)
}

// checkVersion names what is wrong with an HTTP-version that is not ours.
func checkVersion(b []byte) *Error {
	if len(b) == 8 && string(b[:5]) == "HTTP/" && b[6] == '.' &&
		'0' <= b[5] && b[5] <= '9' && '0' <= b[7] && b[7] <= '9' {
		return errUnsupported
	}
	if bytes.IndexByte(b, '\r') >= 0 {
		return errBareCR
	}
	return errVersion
}

// checkURL accepts absolute-form with scheme http or https (RFC 9112 §3.2.2).
func checkURL(b []byte) *Error {
	scheme, rest, ok := bytes.Cut(b, []byte("://"))
	if !ok || !fold(scheme, "http") && !fold(scheme, "https") {
		return errForm
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if err := checkHost(rest[:end]); err != nil {
		return err
	}
	return checkPath(rest[end:])
}

// checkPath accepts a path and query whose bytes are known to be in target. The
// query is not looked at: servers read stray '%' there as they like, and so
// does net/http.
func checkPath(b []byte) *Error {
	for i := 0; i < len(b) && b[i] != '?'; i++ {
		if b[i] != '%' {
			continue
		}
		if i+2 >= len(b) || classes[b[i+1]]&classes[b[i+2]]&hex == 0 {
			return errEscape
		}
		i += 2
	}
	return nil
}

// checkField names what is wrong with a field line whose first colon is at colon.
func checkField(line []byte, colon int) *Error {
	blank := func(b byte) bool { return b == ' ' || b == '\t' }
	switch {
	case blank(line[0]):
		return errFold
	case colon < 0 && bytes.IndexByte(line, '\r') >= 0:
		return errBareCR
	case colon < 0:
		return errNoColon
	case colon == 0:
		return errNoName
	case blank(line[colon-1]):
		return errNameSpace
	case !all(line[:colon], token):
		return errName
	case bytes.IndexByte(line[colon:], '\r') >= 0:
		return errBareCR
	}
	return errValue
}

// field takes one header field. Most are about something else, and seen by their length to be.
func (h *head) field(key, val []byte) *Error {
	switch len(key) {
	case len("host"):
		if fold(key, "host") {
			return h.host(val)
		}
	case len("trailer"):
		if fold(key, "trailer") {
			return checkAnnounced(val)
		}
	case len("content-length"):
		if fold(key, "content-length") {
			return h.contentLength(val)
		}
	case len("transfer-encoding"):
		if fold(key, "transfer-encoding") {
			return h.transferEncoding(val)
		}
	}
	return nil
}

// transferEncoding takes the one that is taken (RFC 9112 §6.1).
func (h *head) transferEncoding(val []byte) *Error {
	if h.chunked || !fold(val, "chunked") {
		return errCoding
	}
	h.chunked = true
	return nil
}

// host takes a Host field. An empty one is what a client must send when its
// target has no authority (RFC 9110 §7.2).
func (h *head) host(val []byte) *Error {
	if h.hosts++; h.hosts > 1 {
		return errHosts
	}
	if len(val) == 0 {
		return nil
	}
	return checkHost(val)
}

// contentLength takes 1*DIGIT (RFC 9110 §8.6) that fits an int64.
func (h *head) contentLength(val []byte) *Error {
	if len(val) == 0 {
		return errLength
	}
	var n int64
	for _, x := range val {
		if x < '0' || x > '9' || n > (math.MaxInt64-int64(x-'0'))/10 {
			return errLength
		}
		n = n*10 + int64(x-'0')
	}
	if h.sized && (n != h.length || len(val) != h.digits) {
		return errLengths
	}
	h.sized, h.length, h.digits = true, n, len(val)
	return nil
}

// checkAnnounced refuses a Trailer field that names framing fields: net/http
// refuses it as well, but without our answer.
func checkAnnounced(val []byte) *Error {
	for len(val) > 0 {
		var key []byte
		key, val, _ = bytes.Cut(val, []byte(","))
		from, to := trim(key)
		key = key[from:to]
		if fold(key, "content-length") || fold(key, "transfer-encoding") || fold(key, "trailer") {
			return errTrailerKey
		}
	}
	return nil
}

// end judges the head as a whole (RFC 9112 §3.2, §6).
func (h *head) end() *Error {
	switch {
	case h.hosts == 0 && !h.http10:
		return errNoHost
	case h.chunked && h.http10:
		return errCodingOld
	case h.chunked && h.sized:
		return errBoth
	case h.connect && (h.chunked || h.length > 0):
		return errConnBody
	}
	return nil
}
