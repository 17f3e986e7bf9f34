package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Kind says what went wrong with a call. It is what the layers above decide by.
type Kind uint8

// The kinds. Whether bytes of the request left this machine is not part of
// the kind: that is [Error.Sent].
const (
	// InvalidRequest: the request cannot be written as HTTP (method, target,
	// host or a header field). Nothing was dialled.
	InvalidRequest Kind = iota + 1
	// DialFailed: the name did not resolve, or no address took the connection.
	DialFailed
	// AddressDenied: the guard refused every address that was about to be
	// dialled, or one of those that a proxy might have dialled.
	AddressDenied
	// ProxyFailed: the way led through a proxy and not past it: it could not be
	// reached, or would not let the call through. A *ProxyError is wrapped.
	ProxyFailed
	// TLSFailed: the handshake failed, or the peer ended TLS with an alert.
	TLSFailed
	// Reset: the connection died before a whole response head had arrived.
	Reset
	// Malformed: the peer's bytes are not HTTP as RFC 9112 and RFC 9113 have it.
	Malformed
	// HeaderTooLarge: the response's header or trailer section passed the limit.
	HeaderTooLarge
	// Truncated: the connection ended inside a response body.
	// errors.Is(err, io.ErrUnexpectedEOF) holds.
	Truncated
	// ClientBody: reading the request body failed, or it did not have the
	// length that was declared.
	ClientBody
	// Canceled: the context ended first; the cause is wrapped.
	Canceled
	// SocketsExhausted: this machine has no descriptor, port or memory for another
	// connection. The peer was not asked.
	SocketsExhausted
)

var kindTexts = [...]string{
	InvalidRequest:   "invalid request",
	DialFailed:       "dial failed",
	AddressDenied:    "address denied",
	ProxyFailed:      "proxy failed",
	TLSFailed:        "TLS failed",
	Reset:            "connection lost before a response",
	Malformed:        "malformed response",
	HeaderTooLarge:   "response header too large",
	Truncated:        "response body truncated",
	ClientBody:       "request body failed",
	Canceled:         "canceled",
	SocketsExhausted: "sockets exhausted",
}

// String is the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindTexts) && kindTexts[k] != "" {
		return kindTexts[k]
	}
	return "unknown"
}

// Error is every error of this package, from RoundTrip as from a body's Read.
// Its text names the address and the fault, never a query, a header field's
// value or a piece of a body.
type Error struct {
	Kind Kind
	Addr string // host:port that was called, "" if it was not known yet
	// Sent: at least one byte of this request was accepted by the socket (in
	// TLS: a record that holds it), or over HTTP/2 its header frame was, and
	// the peer did not declare it unprocessed.
	Sent bool
	// While says how far a call had come that was Canceled before it was sent, such as
	// "while the name was looked up"; "": that is not known.
	While string
	Err   error
}

// Error implements error.
func (e *Error) Error() string {
	s := "egress: " + e.Kind.String()
	if e.Addr != "" {
		s += ": " + e.Addr
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsent reports that provably no byte of the request reached the peer's
// application, so that even a request with side effects may be tried again.
func (e *Error) Unsent() bool { return !e.Sent }

// Local reports that it is this machine which failed, and not the peer. No Error has another
// one inside that does: whoever asks the first of a chain knows.
func (e *Error) Local() bool { return e.Kind == SocketsExhausted }

// ErrorType is the kind as one word, for telemetry.
func (e *Error) ErrorType() string {
	return strings.ReplaceAll(strings.ToLower(e.Kind.String()), " ", "_")
}

// Permanent reports that the same request would meet the same end again. A
// proxy that refuses our credentials is not asked again and again either: some
// lock the account.
func (e *Error) Permanent() bool {
	if refused, ok := errors.AsType[*ProxyError](e.Err); ok {
		return refused.Status == http.StatusProxyAuthRequired
	}
	return e.Kind == HeaderTooLarge
}

// canceledError wraps context.Cause and still answers to the context's own
// error, which callers commonly ask for.
type canceledError struct{ cause, err error }

func (e *canceledError) Error() string   { return e.cause.Error() }
func (e *canceledError) Unwrap() []error { return []error{e.cause, e.err} }

func causeOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if cause == err {
		return cause
	}
	return &canceledError{cause, err}
}

// faultError carries the kind from where a fault is found to where the Error
// with its address is made. The text is ours and quotes nothing of the peer.
type faultError struct {
	kind Kind
	text string
	err  error
}

func (e *faultError) Error() string { return e.text }
func (e *faultError) Unwrap() error { return e.err }

func malformed(text string) error { return &faultError{kind: Malformed, text: text} }
func tooLarge(text string) error  { return &faultError{kind: HeaderTooLarge, text: text} }
func invalid(text string) error {
	return &invalidError{&faultError{kind: InvalidRequest, text: text}}
}

// invalidError is the fault of whoever made the request, and not of the host
// that never saw it.
type invalidError struct{ fault *faultError }

func (e *invalidError) Error() string { return e.fault.Error() }
func (e *invalidError) Unwrap() error { return e.fault }

// Refusal tells the layers above that nothing was sent, and would not be later.
func (e *invalidError) Refusal() (reason string, retryAfter time.Duration) {
	return "malformed-request", 0
}

// kindOf classifies err: a fault's own kind, a TLS alert, or otherwise.
func kindOf(err error, otherwise Kind) Kind {
	if _, ok := errors.AsType[*ProxyError](err); ok {
		return ProxyFailed
	}
	if fault, ok := errors.AsType[*faultError](err); ok {
		return fault.kind
	}
	// crypto/tls reports the peer's alert by this operation name, also after
	// the handshake: under TLS 1.3 a refused client certificate shows only then.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return TLSFailed
	}
	return otherwise
}

// unexpected turns a plain end of the connection into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
