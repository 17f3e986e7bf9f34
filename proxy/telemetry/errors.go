package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"

	"outrider/policy"
)

// errorTyper is how an error names its own error.type, as OpenTelemetry's
// semantic conventions look for it: a word out of a small fixed set.
type errorTyper interface {
	error
	ErrorType() string
}

// failedHere is implemented by errors that may be due to this machine, and then say so.
type failedHere interface {
	errorTyper
	Local() bool
}

// harmless is implemented by errors whose text is made of our own words: it holds
// nothing of the call.
type harmless interface {
	error
	Harmless() string
}

// errorKind names an error in one word of a small set: the most telling cause
// first, then what the error calls itself.
func errorKind(err error) string {
	if clock, ok := errors.AsType[*policy.TimeoutError](err); ok {
		return clock.Clock
	}
	if refusal, ok := errors.AsType[policy.Refusal](err); ok {
		reason, _ := refusal.Refusal()
		return clip(reason, 64)
	}
	if local, ok := errors.AsType[failedHere](err); ok && local.Local() {
		return local.ErrorType() // before dns: it may be the resolver that has no socket
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "dns"
	}
	if isTLS(err) {
		return "tls"
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) {
			return known.kind
		}
	}
	if typed, ok := errors.AsType[errorTyper](err); ok && typed.ErrorType() != "" {
		return clip(typed.ErrorType(), 64)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "timeout"
	}
	return "_OTHER"
}

// canceled is the kind of an attempt that was not waited for any more: nobody's fault.
const canceled = "canceled"

var knownErrors = []struct {
	err  error
	kind string
}{
	{context.DeadlineExceeded, "timeout"}, // before canceled: a clock's error is both
	{context.Canceled, canceled},
	{syscall.ECONNREFUSED, "connection_refused"},
	{syscall.ECONNRESET, "connection_reset"},
	{syscall.EPIPE, "connection_reset"},
	{syscall.EHOSTUNREACH, "unreachable"},
	{syscall.ENETUNREACH, "unreachable"},
	{io.ErrUnexpectedEOF, "eof"},
	{io.EOF, "eof"},
	{net.ErrClosed, "connection_closed"},
}

func isTLS(err error) bool {
	return as[*tls.CertificateVerificationError](err) || as[tls.RecordHeaderError](err) ||
		as[tls.AlertError](err) || certificateText(err) != ""
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// errorText describes an error for people without repeating it: texts of
// *url.Error carry queries, those of protocol errors carry header lines, and
// those of others are unknown. So it is put together from parts that cannot
// hold anything of the call: our own words, addresses, certificates, errnos.
func errorText(err error) string {
	kind := errorKind(err)
	if clock, ok := errors.AsType[*policy.TimeoutError](err); ok {
		return clock.Error()
	}
	if own, ok := errors.AsType[harmless](err); ok {
		return clip(own.Harmless(), 512)
	}
	if text := certificateText(err); text != "" {
		return kind + ": " + clip(text, 256)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return kind + ": lookup " + clip(dns.Name, 255) + ": " + clip(dns.Err, 128)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		text := kind + ": " + op.Op + " " + op.Net
		if op.Addr != nil {
			text += " " + op.Addr.String()
		}
		if errno, ok := errors.AsType[syscall.Errno](op.Err); ok {
			text += ": " + errno.Error()
		}
		return text
	}
	return kind
}

// certificateText is what is wrong with the certificate that a server showed.
func certificateText(err error) string {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e.Error()
	}
	return ""
}

// stripURL takes the outermost error texts off that repeat a URL.
func stripURL(err error) error {
	for {
		wrapped, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = wrapped.Err
	}
}
