package store

import (
	"context"
	"io"
	"time"
)

// A Holder is a sender: what it claimed nobody else sends, until it gives it back or dies.
type Holder struct{}

// Hold makes this process a sender, until Close.
func (o *Outbox) Hold(ctx context.Context) (*Holder, error) { return nil, ErrFull }

// Close gives back what is still held. It waits for the goroutine of the lease.
func (h *Holder) Close(ctx context.Context) error { return ErrFull }

// A Lane is one with letters that wait and nobody holds.
type Lane struct {
	Name, Upstream string
	Due            time.Duration // until the first of them is due, from now; 0 or less: it is
}

// Lanes gives them in the order of their names. It costs by lanes, and not by letters. It
// frees letters whose holder has died before.
func (h *Holder) Lanes(ctx context.Context) ([]Lane, error) { return nil, ErrFull }

// Claim takes letters of a lane that are due, first come first. One that is Expired or
// Damaged is among them, to be ended by whoever claims it. Of an order key only the first
// one that has not ended is claimed; a dead one holds the others, unless skipDead.
func (h *Holder) Claim(ctx context.Context, lane string, limit int, skipDead bool) ([]Stored, error) {
	return nil, ErrFull
}

// ClaimExpired takes letters that are older than they may be, due or not, of any lane.
func (h *Holder) ClaimExpired(ctx context.Context, limit int) ([]Stored, error) { return nil, ErrFull }

// Depart notes that a request for the letter goes on the wire, durably when it returns.
// The first time stays, until Later forgets it. ErrLost: send nothing.
func (h *Holder) Depart(ctx context.Context, id string) error { return ErrFull }

// A Later says when a letter is tried again.
type Later struct {
	Delay        time.Duration
	Attempt      []byte // the record of the attempt, sealed; nil: there was none
	ForgetDepart bool   // it is known that nothing was done
}

// Later gives a letter back, to be tried again. ErrLost.
func (h *Holder) Later(ctx context.Context, id string, l Later) error { return ErrFull }

// An End says how a letter ends.
type End struct {
	State, Reason string
	Attempt       []byte    // the record of the last attempt; nil: there was none
	ResponseHead  []byte    // nil: there is no answer
	Response      io.Reader // nil: without body
	Follow        *Follow   // is kept in the same transaction
}

// A Follow is a letter that comes of another one's end, such as a callback. It is small,
// and kept although the outbox is full.
type Follow struct {
	Letter NewLetter
	Body   []byte
}

// End ends a letter. ErrLost; the error of reading Response, and then the letter is still held.
func (h *Holder) End(ctx context.Context, id string, e End) error { return ErrFull }
