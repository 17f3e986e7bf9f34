package retry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// An ExhaustedError ends a call whose last attempt failed without a response,
// after more than one attempt. It calls them tries, for who reads it: of attempts the
// requests on the wire are counted elsewhere, and one that cannot connect is none.
type ExhaustedError struct {
	Attempts int   // how many were made
	Err      error // how the last one ended
}

func (e *ExhaustedError) Error() string {
	return "after " + strconv.Itoa(e.Attempts) + " tries: " + e.Err.Error()
}

// Unwrap returns the error of the last attempt.
func (e *ExhaustedError) Unwrap() error { return e.Err }

// refused reports an error of our own that stands for "nothing was sent, and
// that is the answer".
func refused(err error) bool {
	_, ok := errors.AsType[interface {
		error
		Refusal() (reason string, retryAfter time.Duration)
	}](err)
	return ok
}

// permanent reports an error that the next attempt would meet again: it says
// so itself, or the upstream's certificate is not good.
func permanent(err error) bool {
	if p, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err); ok && p.Permanent() {
		return true
	}
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// phase tells how far an attempt came that ended with err, nil for a response.
func phase(err error) Phase {
	if err == nil {
		return Answered
	}
	u, ok := errors.AsType[interface {
		error
		Unsent() bool
	}](err)
	if ok && u.Unsent() {
		return Unsent
	}
	return NoAnswer
}

// describe names an outcome in a few words, out of a small set.
func describe(resp *http.Response, a Answer, err error) string {
	if a.Reason != "" {
		return a.Reason
	}
	if resp != nil {
		return "status " + strconv.Itoa(resp.StatusCode)
	}
	timeout, isTimeout := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connect refused"
	case isTimeout && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case phase(err) == Unsent:
		return "not sent"
	}
	return "no answer"
}

// ended names the reason for which the context of a call is done. Without a
// cause of ours, it is the caller that left.
func ended(ctx context.Context) string {
	if context.Cause(ctx) == context.Canceled {
		return ClientGone
	}
	return Deadline
}
