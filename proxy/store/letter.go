package store

import (
	"crypto/sha256"
	"errors"
	"time"
)

// The states of a letter.
const (
	Arriving  = "arriving"  // its body is still coming, or its batch is; nobody sees it
	Waiting   = "waiting"   // it is to be sent; while somebody sends it, it is Held
	Delivered = "delivered" // it has its answer
	Dead      = "dead"      // it gave up, and stays to be looked at, for Reason
	Cancelled = "cancelled" // somebody withdrew it
)

// Why a letter was not kept, or not changed.
var (
	ErrFull     = errors.New("the outbox is full")                   // it would be longer than Bounds.MaxSize
	ErrTooLarge = errors.New("the body is larger than a letter may") // than Bounds.MaxBody
	ErrUnknown  = errors.New("there is no such letter")              // or it is forgotten, or not complete yet
	ErrHeld     = errors.New("the letter is being sent")
	ErrEnded    = errors.New("the letter has ended")
	ErrLost     = errors.New("the letter is no longer held by this sender") // another one may have it: send nothing more
	ErrDamaged  = errors.New("the letter was changed in the store")         // something sealed does not open

	// ErrIncomplete is a batch of which letters were dropped, because a day had passed.
	ErrIncomplete = errors.New("the batch stood still for a day, and is not complete any more")

	// ErrUncertain is a letter that may have been kept: the database went away in the middle
	// of it, and did not come back.
	ErrUncertain = errors.New("it may have been kept, or not")

	// ErrUnrecorded is a letter that has ended, while there was no room for its answer.
	ErrUnrecorded = errors.New("the letter has ended, and the disk had no room for its answer")
)

// A ConflictError is a Strict letter whose Dedup another letter has, with another
// Fingerprint or another body.
type ConflictError struct {
	ID string // of the letter that was first
}

func (e *ConflictError) Error() string {
	return "the same key was used for another request, which is letter " + e.ID
}

// Bounds are what a letter is refused for. Zero: no bound.
type Bounds struct {
	MaxSize int64 // of all letters, in bytes as they are kept, with what is kept of their answers
	MaxBody int64 // of the body, in bytes
}

// A NewLetter is one that is to be kept. Its names are kept in the clear, but for Order
// and Dedup: of those a keyed hash is kept.
type NewLetter struct {
	ID       string // of our own making, such as a UUIDv7: letters are listed in the order of their ids
	Upstream string
	Lane     string // letters of one lane wait together: see Holder.Lanes

	// Order is the key of letters that are sent one after the other, in the order in which
	// they were kept. "": none.
	Order string

	// Dedup is the key of letters of which only the first is kept, for as long as DedupFor.
	// "": none. Where Strict, another letter of this key has to be the same: Fingerprint is
	// what it is beside its body, such as its method and target. The key stands for a letter
	// from when it is to be sent on, and for one of a batch from its Release on.
	Dedup       string
	DedupFor    time.Duration
	Strict      bool
	Fingerprint []byte

	// Head gives what is sealed as the head of the letter, when its body is known. It may be
	// called again, and holds others up while it runs.
	Head func(Body) ([]byte, error)

	Delay  time.Duration // until it is due; 0: now
	MaxAge time.Duration // until it expires; 0: it does not

	// Departed is how long ago the first request for it went on the wire, if Sent.
	Sent     bool
	Departed time.Duration

	// Batch is the name of the letters that appear together, by Release. "": this one is
	// to be sent at once. A letter whose batch is not released within a day is dropped.
	Batch string
}

// A Body is what is known of one that was read to its end.
type Body struct {
	Size   int64 // in bytes
	SHA256 [sha256.Size]byte
}

// A Receipt is for a letter that is kept, and durable.
type Receipt struct {
	ID        string
	Duplicate bool      // it is an earlier letter, of the same Dedup; nothing was kept now
	Size      int64     // in bytes, as it is kept; 0: the earlier letter is forgotten
	Created   time.Time // when it was kept
}

// A Stored is a letter as it is in the store. The times are by the clock of the
// database, to the millisecond; zero: not, or never.
type Stored struct {
	ID, Upstream, Lane string
	State, Reason      string
	Created, Due       time.Time
	Expires, Ended     time.Time
	Departed           time.Time     // since when a request may have had an effect
	Expired            bool          // it is older than it may be, by the clock of the database
	Gone               time.Duration // since Departed, by that clock
	Attempts           int           // that were recorded since it was kept, or requeued
	Size, BodySize     int64         // in bytes: all that is kept of it, sealed; its body
	Held, Ordered      bool
	Head               []byte
	Damaged            bool // the head does not open; it is nil
}

// A Filter is what letters have in common. Each field narrows it; the zero Filter is all.
type Filter struct {
	IDs      []string // at most 500
	States   []string
	Upstream string
	Reason   string
	Before   time.Time // kept before, by the clock of the database; zero: whenever
}

// A Count is what there is of one upstream in one state, for one reason.
type Count struct {
	Upstream, State, Reason string
	Letters                 int
	Bytes                   int64     // as they are kept, with what is kept of their answers
	Oldest                  time.Time // when the first of this upstream and state was kept
}
