package egress

import (
	"errors"
	"strings"

	"golang.org/x/net/http2"
)

// The library tells these only by text: the values are not exported, and a
// stream that GOAWAY left out carries no type. A test provokes each, so that
// another wording in a later version shows there and not in production.
const (
	textUnusable      = "http2: client conn not usable"
	textGoAway        = "http2: Transport received Server's graceful shutdown GOAWAY"
	textGoAwayFirst   = "http2: Transport received GOAWAY from server ErrCode:"
	textHeaderTooBig  = "http2: response header list larger than advertised limit"
	textRequestTooBig = "http2: request header list larger than peer's advertised limit"
	textTooMuchData   = "net/http: server replied with more than declared Content-Length; truncated"
)

func isUnusable(err error) bool { return err.Error() == textUnusable }

// wasRefused reports that the peer declared the request unprocessed: it reset
// the stream with REFUSED_STREAM, or its GOAWAY named a lower last stream
// (RFC 9113 §8.7). The library has both GOAWAY texts for streams above that
// identifier only; for those below it has the type GoAwayError.
func wasRefused(err error) bool {
	if se, ok := errors.AsType[http2.StreamError](err); ok {
		return se.Code == http2.ErrCodeRefusedStream
	}
	text := err.Error()
	return text == textGoAway || strings.HasPrefix(text, textGoAwayFirst)
}

// explain classifies the library's error and puts it into words that quote
// nothing of the peer (GOAWAY carries free text of its own).
func explain(err error) (Kind, error) {
	if ga, ok := errors.AsType[http2.GoAwayError](err); ok {
		return Reset, &faultError{Reset, "the peer said GOAWAY (" + ga.ErrCode.String() + ") and closed", err}
	}
	if se, ok := errors.AsType[http2.StreamError](err); ok {
		if fault, ok := errors.AsType[*faultError](se.Cause); ok {
			return fault.kind, fault
		}
		switch {
		case se.Cause == nil || se.Cause.Error() == "received from peer":
			return Reset, &faultError{Reset, "the peer reset the stream (" + se.Code.String() + ")", err}
		case se.Cause.Error() == textHeaderTooBig:
			return HeaderTooLarge, &faultError{HeaderTooLarge, "header section passes the limit", err}
		}
		return Malformed, &faultError{Malformed, "HTTP/2 stream error (" + se.Code.String() + ")", err}
	}
	if ce, ok := errors.AsType[http2.ConnectionError](err); ok {
		return Malformed, &faultError{Malformed, "HTTP/2 connection error (" + http2.ErrCode(ce).String() + ")", err}
	}
	if err.Error() == textRequestTooBig {
		return InvalidRequest, err
	}
	return kindOf(err, Reset), unexpected(err)
}
