package policytest

import (
	"io"
	"net/http"
	"time"
)

// A Step is one answer of an Upstream. The zero value is an empty 200 at once.
// Of the ways to end an attempt the first that is set counts: Unsent, Hang, Err,
// Upgrade, and else a response.
type Step struct {
	// Times is how many requests are answered like this: 0 is one, a negative
	// number all that follow.
	Times int

	// Delay passes before the response headers or the error, unless the
	// request's context ends.
	Delay time.Duration

	// Do, if not nil, runs in the middle of RoundTrip, after the request was
	// received and before Delay. It may panic or call runtime.Goexit.
	Do func(*http.Request)

	// Unsent fails before any byte of the request was sent: the body is closed
	// unread, and the request does not count as received. The error is an
	// *UnsentError around Err.
	Unsent bool

	// Hang gives no answer until the request's context ends.
	Hang bool

	// Err fails after the request was received.
	Err error

	// Upgrade answers 101 and runs at the other end of the connection that the
	// response body is then, in a goroutine of its own. The connection is closed
	// when it returns, and broken when the request's context ends.
	Upgrade func(peer Conn)

	Status  int         // 0: 200
	Header  http.Header // of the response
	Body    string
	Trailer http.Header // there when the body has been read to its end

	// BodyDelay passes before the first byte of the body.
	BodyDelay time.Duration
	// Stall stays silent after Body, until the body is closed or the request's
	// context ends.
	Stall bool
	// BodyErr ends the body in place of io.EOF: io.ErrUnexpectedEOF is what a
	// transport says of a truncated one.
	BodyErr error
}

// Conn is an end of an upgraded connection, which can be closed for writing
// alone.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// UnsentError says that no byte of the request was sent.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return "dialing: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *UnsentError) Unwrap() error { return e.Err }

// Unsent reports that the request may be sent again whatever it does.
func (e *UnsentError) Unsent() bool { return true }
