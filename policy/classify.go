package policy

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"outrider/policy/answer"
)

// Class says what the end of an attempt means. One table decides it for the
// circuit, for telemetry and for the access log.
type Class string

// The classes.
const (
	ClassOK         Class = "ok"              // the upstream answered; also with its own 4xx
	ClassThrottled  Class = "throttled"       // 429: alive, and asking for patience
	ClassExhausted  Class = "quota-exhausted" // alive, and a quota is spent that no waiting brings back
	ClassBusy       Class = "busy"            // alive, and to be asked again: no matter of a quota
	ClassAuth       Class = "auth"            // 401, 403: alive, and refusing this credential
	ClassFault      Class = "fault"           // the upstream failed, or could not be reached
	ClassClientGone Class = "client-gone"     // nobody waits for it: our client left, or gave us too little time, or has the answer of another attempt. Nobody's fault
	ClassBroken     Class = "broken-off"      // we ended while it was under way, and broke it off: of calls, not of attempts
	ClassLocal      Class = "local"           // we refused it ourselves, or this machine could not connect: the attempt was not sent
	ClassKept       Class = "kept"            // we keep it, to send it later: see package outbox. Nobody has answered it yet
)

// statusClass holds the statuses whose class is not ok. 529 is "overloaded" at
// several providers. 501 and 505 say that the request is wrong for a server
// that is well.
var statusClass = map[int]Class{
	http.StatusUnauthorized:        ClassAuth,
	http.StatusForbidden:           ClassAuth,
	http.StatusTooManyRequests:     ClassThrottled,
	http.StatusInternalServerError: ClassFault,
	http.StatusBadGateway:          ClassFault,
	http.StatusServiceUnavailable:  ClassFault,
	http.StatusGatewayTimeout:      ClassFault,
	529:                            ClassFault,
}

// Classify says what a response or an error means. ctx is the call's context, whose
// latest answer resp is.
func Classify(ctx context.Context, resp *http.Response, err error) Class {
	if err == nil {
		f := finding(ctx)
		if f == nil && resp.StatusCode < http.StatusBadRequest { // mostly
			return ClassOK
		}
		means := meaning(f)
		if means == "" && spentFor(resp, nil) > 0 {
			means = answer.Throttled
		}
		return classifyAnswer(resp.StatusCode, means)
	}
	if _, ok := errors.AsType[Refusal](err); ok {
		return ClassLocal
	}
	if CallFrom(ctx).BodyFailed() || ClientGone(ctx) || HasLost(ctx) {
		return ClassClientGone
	}
	if timeout, ok := errors.AsType[*TimeoutError](err); ok && timeout.Clock == CallerClock {
		return ClassClientGone // how little time a caller has says nothing about the upstream
	}
	if failedHere(err) {
		return ClassLocal
	}
	return ClassFault
}

// classifyAnswer goes by what the answer means, and else by its status. That a server is
// busy does not say that it is well.
func classifyAnswer(status int, means answer.Meaning) Class {
	class := ClassOK
	if status >= http.StatusBadRequest {
		class = cmp.Or(statusClass[status], ClassOK)
	}
	switch means {
	case answer.Exhausted:
		return ClassExhausted
	case answer.Throttled:
		return ClassThrottled
	case answer.Refused:
		return ClassAuth
	case answer.Fault:
		return ClassFault
	case answer.Busy:
		if class != ClassFault {
			return ClassBusy
		}
	}
	return class
}

// ClientGone reports that the context ended because the client left, and not
// because one of our clocks ran out.
func ClientGone(ctx context.Context) bool {
	return ctx.Err() != nil && context.Cause(ctx) == context.Canceled
}

// failedHere reports that an attempt could not be made for a want of this machine, such as of
// descriptors. Nothing was sent, and the upstream is not to blame; unlike after a Refusal it
// may be tried again.
func failedHere(err error) bool {
	l, ok := errors.AsType[interface {
		error
		Local() bool
	}](err)
	return ok && l.Local()
}

// connectFailed reports that err ended an attempt before a byte was sent.
func connectFailed(err error) bool {
	u, ok := errors.AsType[unsent](err)
	return ok && u.Unsent()
}
