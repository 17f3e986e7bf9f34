package framing

import "net/http"

// An Error is a violation of HTTP/1 syntax or of [Limits].
type Error struct {
	// Status is the answer that fits: 400, 408 (head too slow), 414 (request
	// line too long), 431 (head too large) or 505 (HTTP version).
	Status int
	// Reason says what is wrong, in words for the client's author.
	// It is fixed text and never repeats bytes of the request.
	Reason string
}

func (e *Error) Error() string { return "malformed request: " + e.Reason }

func bad(reason string) *Error { return &Error{http.StatusBadRequest, reason} }

// Violations of a connection's first bytes.
var (
	errTLS     = bad("TLS handshake on a plain HTTP port; use http:// to reach Outrider itself")
	errSOCKS   = bad("SOCKS handshake on an HTTP port; configure Outrider as an HTTP proxy")
	errPreface = &Error{http.StatusHTTPVersionNotSupported, "HTTP/2 preface; this port speaks HTTP/1.1"}
)

// Violations of lines: RFC 9112 §2.2, §5.
var (
	errBareLF     = bad("line that ends in LF without CR")
	errBareCR     = bad("CR without LF")
	errEmptyLines = bad("more than one empty line before the request line")
	errFold       = bad("header line that begins with whitespace (obs-fold)")
	errNoColon    = bad("header line without a colon")
	errNoName     = bad("header line with an empty name")
	errNameSpace  = bad("whitespace between header name and colon")
	errName       = bad("invalid byte in a header name")
	errValue      = bad("control byte in a header value")
)

// Violations of the request line: RFC 9112 §3.
var (
	errRequestLine = bad("request line is not: method, one space, target, one space, version")
	errMethod      = bad("invalid byte in the method")
	errVersion     = bad("malformed HTTP version")
	errUnsupported = &Error{http.StatusHTTPVersionNotSupported, "HTTP version other than 1.0 and 1.1"}
	errTarget      = bad("control byte, space or fragment in the request target")
	errEscape      = bad("'%' without two hex digits in the request target")
	errForm        = bad("request target is neither a path nor an http or https URL")
	errAsterisk    = bad("request target * with a method other than OPTIONS")
	errConnect     = bad("CONNECT target is not host:port")
)

// Violations of hosts and framing: RFC 9112 §3.2, §6.
var (
	errNoHost     = bad("HTTP/1.1 request without Host")
	errHosts      = bad("more than one Host")
	errUserinfo   = bad("user information before the host")
	errHost       = bad("invalid host")
	errPort       = bad("invalid port")
	errBoth       = bad("Content-Length and Transfer-Encoding in one request")
	errCoding     = bad("Transfer-Encoding other than exactly chunked, once")
	errCodingOld  = bad("Transfer-Encoding in HTTP/1.0")
	errLength     = bad("invalid Content-Length")
	errLengths    = bad("differing Content-Length fields")
	errConnBody   = bad("CONNECT with a body")
	errTrailerKey = bad("Trailer announces a framing field")
)

// Violations of chunked bodies: RFC 9112 §7.1.
var (
	errChunkSize    = bad("invalid chunk size")
	errChunkExt     = bad("invalid chunk extension")
	errChunkLine    = bad("chunk line too long")
	errChunkExts    = bad("too many bytes of chunk extensions")
	errChunkEnd     = bad("chunk data not followed by CRLF")
	errTrailerField = bad("field that is not allowed in trailers")
	errTrailerSize  = bad("trailer section too large")
)

// Limits exceeded.
var (
	// ErrSlow and ErrCutOff are for a head that began and did not come to its end,
	// which only the reader of the bytes can know.
	ErrSlow     = &Error{http.StatusRequestTimeout, "request head took too long"}
	ErrCutOff   = bad("connection ended inside the request head")
	errLineLong = &Error{http.StatusRequestURITooLong, "request line too long"}
	errHeadLine = &Error{http.StatusRequestHeaderFieldsTooLarge, "header line too long"}
	errHead     = &Error{http.StatusRequestHeaderFieldsTooLarge, "header section too large"}
	errFields   = &Error{http.StatusRequestHeaderFieldsTooLarge, "too many header fields"}
)
