package outbox

import "time"

// The states of a letter.
const (
	StateWaiting   = "waiting"
	StateSending   = "sending" // it waits, and some sender is at it
	StateDelivered = "delivered"
	StateDead      = "dead"
	StateCancelled = "cancelled"
)

// Why a letter is dead.
const (
	ReasonRefused    = "refused"    // the answer is one that another attempt would not change
	ReasonRedirected = "redirected" // the answer is a redirection, which nobody follows
	ReasonAge        = "age"        // it was older than Limits.MaxAge
	ReasonAttempts   = "attempts"   // it had Limits.Attempts
	ReasonKeyAge     = "key-age"    // its idempotency key may be forgotten by the provider
	ReasonUnknown    = "unknown"    // it may have been done, and may not be sent again
	ReasonDamaged    = "damaged"    // what is kept of it is not what was written
	ReasonUnsendable = "unsendable" // nothing can be sent of it: no request can be made of it that its credential signs, say
)

// A View is what can be told of a letter: nothing of its header and its body.
type View struct {
	ID         string    `json:"id"`
	Upstream   string    `json:"upstream"`
	Connection string    `json:"connection,omitempty"`
	State      string    `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Detail     string    `json:"detail,omitempty"` // the reason, in a sentence
	Method     string    `json:"method,omitempty"`
	Host       string    `json:"host,omitempty"`
	Path       string    `json:"path,omitempty"` // without the query, which may be confidential
	Created    time.Time `json:"created"`
	Due        time.Time `json:"due,omitzero"`      // while it waits
	HeldBy     *HeldBy   `json:"held_by,omitempty"` // while it waits; nil: no dead letter of its order key is before it
	Expires    time.Time `json:"expires,omitzero"`
	Departed   time.Time `json:"departed,omitzero"` // when it first went out
	Ended      time.Time `json:"ended,omitzero"`
	Attempts   int       `json:"attempts"`
	Size       int64     `json:"size"` // of the body, in bytes
	OrderKey   string    `json:"order_key,omitempty"`
	Callback   string    `json:"callback,omitempty"` // its host
	TraceID    string    `json:"trace_id,omitempty"` // of the call that was kept
	Location   string    `json:"location,omitempty"`
	Damaged    bool      `json:"damaged,omitempty"`
	History    []Attempt `json:"history,omitempty"` // by Letter only, not by List
}

// HeldBy is a dead letter that holds those behind it in its order key, until somebody has it
// sent again, or drops it.
type HeldBy struct {
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"` // why it is dead
}

// HasEnded reports whether nothing will happen to the letter by itself.
func (v *View) HasEnded() bool { return v.State != StateWaiting && v.State != StateSending }

// detail is why a letter is dead, and what can be done.
func (v *View) detail() string {
	switch v.Reason {
	case ReasonRefused:
		return "The upstream refused it, and would again. Read the answer, and edit or drop it."
	case ReasonRedirected:
		return "The upstream sent it elsewhere, and nobody follows. Read the answer, and edit it."
	case ReasonAge:
		return "It was not delivered within outbox.max_age."
	case ReasonAttempts:
		return "It was not delivered with outbox.attempts. Read the last answer."
	case ReasonKeyAge:
		return "Its idempotency key was first used at " + v.Departed.UTC().Format(time.RFC3339) +
			", and the provider may have forgotten it since: it may have been done. Look there before you retry it."
	case ReasonUnknown:
		return "It went out at " + v.Departed.UTC().Format(time.RFC3339) +
			", and nobody knows what came of it: it may have been done. Look there before you retry it."
	case ReasonDamaged:
		return "What is kept of it is not what was written: the store was changed, or its disk fails. It can only be dropped."
	case ReasonUnsendable:
		return "Nothing could be sent of it: see its last attempt."
	}
	return ""
}

// A Filter chooses letters. Its zero chooses all.
type Filter struct {
	IDs      []string
	Upstream string
	State    string
	Reason   string
	Before   time.Time // created before
	Newest   bool      // lists the newest first
}
