package outbox

import "net/http"

// A Letter is one kept call: what is sent, and what is to be known for sending it. Its
// body is apart. It has no credentials, which are resolved when it is sent.
type Letter struct {
	ID         string // UUIDv7 (RFC 9562 section 5.7); "" before it is kept
	Upstream   string
	Connection string // "": the upstream's own credential
	Method     string
	Scheme     string      // as the caller asked for it; "": the upstream's
	Host       string      // as the caller asked for it
	Target     string      // path and query, byte for byte
	Header     http.Header // without credentials
	Trailer    http.Header // complete when the body was read

	// Key is the idempotency key, to be sent in KeyHeader with each attempt; it is not
	// in Header. A KeyHeader without Key has Keep make one. "": the upstream honours none,
	// or none is needed.
	Key, KeyHeader string
	// Idempotent says that the letter may be sent again without a key: by its method,
	// or because the caller vouches for it.
	Idempotent bool

	OrderKey string // letters of one key and upstream go one after the other
	DedupKey string // a second letter with it and the same lane, within the window, is the first one
	Callback string // URL that is told of the end
	Location string // where the client was told that the letter is

	Caller      string
	Priority    string // high, normal, low; "": Limits.Priority
	Traceparent string // of the call that was kept

	BodySize   int64  // set by Keep
	BodySHA256 []byte // set by Keep
}

// Resendable reports whether a letter whose outcome is unknown may be sent again.
func (l *Letter) Resendable() bool { return l.Idempotent || l.keyed() }

// keyed reports whether the upstream tells a second request apart by a key.
func (l *Letter) keyed() bool { return l.Key != "" && l.KeyHeader != "" }

// Dedup is the name of what is the same as l by its DedupKey, in all of the outbox; "": nothing
// is.
func (l *Letter) Dedup() string { return l.inLane(l.DedupKey) }

// lane is the queue that the letter stands in: what holds up one letter of a credential,
// such as a circuit or a quota, holds up the others.
func (l *Letter) lane() string {
	if l.Connection == "" {
		return l.Upstream
	}
	return l.Upstream + "/" + l.Connection
}
