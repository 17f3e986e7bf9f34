package outbox

import (
	"context"
	"io"
	"net/http"
	"time"
)

// A Sending is a letter on its way.
type Sending struct {
	*Letter
	Attempt int  // 1 is the first; local refusals do not count
	First   bool // nothing of it has gone on the wire before, by any process
	// Body opens the body, from its begin each time. It fails with an error where the
	// kept body is damaged.
	Body func() (io.ReadCloser, error)
	// Depart must be called before anything of the letter goes on the wire, and an error
	// of it means that nothing may: the letter is not ours any more, the store is away, or
	// the sender stops.
	Depart func(ctx context.Context) error
}

// A Verdict is what sending a letter came to.
type Verdict int

// The verdicts.
const (
	// NotSent: refused by ourselves, as by an open circuit. It is no attempt, and the lane
	// waits, too.
	NotSent Verdict = iota
	// Delivered: done, with a good answer.
	Delivered
	// Later: it did not succeed, and may be sent again.
	Later
	// Dead: it will not succeed.
	Dead
	// Unknown: it may have been done or not, and may not be sent again.
	Unknown
)

// An Outcome tells how sending a letter ended.
type Outcome struct {
	Verdict Verdict
	// Reason is that of a letter that is dead by it: one of the constants. "": refused.
	Reason string
	// Response is the answer, if any. The outbox reads its body and closes it.
	Response *http.Response
	// Err is what there is instead of an answer. Its text is kept, and shown: it has no
	// secrets.
	Err error
	// After is how long the letter is not to be sent again; 0: nobody says.
	After time.Duration
	// Elsewhere says of NotSent that another process of this store may send the letter at once:
	// After is for this process alone.
	Elsewhere bool
	// NothingDone says that it is known that nothing was done, though it went on the wire.
	NothingDone bool
	Wire        int // requests that went on the wire
	TraceID     string
	Started     time.Time
	Took        time.Duration
}
