package outbox

import (
	"io"
	"net/http"
	"time"
)

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
	ReasonUnsendable = "unsendable" // nothing can be sent of it: its upstream is gone, say
)

// A View is what can be told of a letter: nothing of its header and its body.
type View struct {
	ID         string    `json:"id"`
	Upstream   string    `json:"upstream"`
	Connection string    `json:"connection,omitempty"`
	State      string    `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Method     string    `json:"method,omitempty"`
	Host       string    `json:"host,omitempty"`
	Path       string    `json:"path,omitempty"` // without the query, which may be confidential
	Created    time.Time `json:"created"`
	Due        time.Time `json:"due,omitzero"` // while it waits
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

// An Attempt is one that was made for a letter.
type Attempt struct {
	Number  int       `json:"number"`
	Started time.Time `json:"started"`
	Took    float64   `json:"seconds"`
	Status  int       `json:"status,omitempty"` // of the answer; 0: there was none
	Error   string    `json:"error,omitempty"`
	Wire    int       `json:"requests"` // that went on the wire
	TraceID string    `json:"trace_id,omitempty"`
}

// An Answer is the last one that an upstream gave to a letter.
type Answer struct {
	Status    int
	Header    http.Header
	Trailer   http.Header
	Size      int64 // of what is kept of the body
	Body      io.ReadCloser
	Truncated bool // the end of the body is not kept
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

// A Standing is how the outbox stands.
type Standing struct {
	Upstreams []UpstreamStanding `json:"upstreams"`
	Size      int64              `json:"size"`           // of all letters, in bytes
	MaxSize   int64              `json:"max_size"`       // bound of that
	Away      string             `json:"away,omitempty"` // what is wrong with the store
}

// An UpstreamStanding is that of the letters to one upstream.
type UpstreamStanding struct {
	Upstream  string         `json:"upstream"`
	Waiting   int            `json:"waiting"` // those that are being sent among them
	Sending   int            `json:"sending"` // by this process
	Delivered int            `json:"delivered"`
	Dead      int            `json:"dead"`
	Reasons   map[string]int `json:"reasons,omitempty"` // reason → dead letters
	Cancelled int            `json:"cancelled"`
	Bytes     int64          `json:"bytes"`
	Oldest    time.Time      `json:"oldest,omitzero"`       // creation of the oldest that waits
	PerMinute float64        `json:"per_minute"`            // ended by this process, lately
	ETA       float64        `json:"eta_seconds,omitempty"` // until none waits; 0: unknown
	Paused    time.Time      `json:"paused_until,omitzero"` // of the lane that pauses longest
}
