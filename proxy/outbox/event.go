package outbox

import "time"

// A Kind is what an Event tells.
type Kind string

// The kinds.
const (
	Accepted     Kind = "accepted"
	Duplicate    Kind = "duplicate"
	Delivery     Kind = "delivered"
	Deferred     Kind = "later"    // an attempt did not succeed, and another will follow
	Held         Kind = "not-sent" // we refused it ourselves
	DeadLetter   Kind = "dead"
	Cancellation Kind = "cancelled"
	Replay       Kind = "retry"      // dead letters wait again
	StoreAway    Kind = "store-away" // told once, until StoreBack
	StoreBack    Kind = "store-back"
	Refusing     Kind = "refusing" // letters cannot be kept: told once, until Keeping
	Keeping      Kind = "keeping"  // they can, or none was refused for an hour
	ClockJump    Kind = "clock-jump"
	Overtaken    Kind = "lost" // another process has the letter whose end we wanted to write
)

// An Event is something that happened. What does not apply is zero.
type Event struct {
	Kind       Kind
	ID         string
	Upstream   string // "outbox": a callback
	Connection string
	Reason     string // of a dead letter
	Status     int    // of the answer
	Attempt    int
	After      time.Duration // until the next attempt
	Age        time.Duration // since it was kept
	Jump       time.Duration // of the clock
	Count      int           // letters
	TraceID    string
	Err        error
}
