package outbox

import (
	"context"
	"net/http"
	"time"
)

// Settings are what an Outbox works with.
type Settings struct {
	// Store gives the store, opened at first use. It is called again while it fails.
	Store func(ctx context.Context) (Store, error)
	// Send sends a letter through the policies of its upstream. It obeys ctx.
	Send func(ctx context.Context, s *Sending) Outcome
	// Serves reports whether this process sends to an upstream; the letters of others are
	// for other processes. Nil: all.
	Serves func(upstream string) bool
	// KeyAge is how long the upstream of a letter honours an idempotency key; 0: nobody
	// knows. Nil is 0 for all.
	KeyAge func(*Letter) time.Duration
	// Address makes a letter of a line that is imported: it finds the upstream, and drops or
	// refuses credentials. Nil: nothing can be imported.
	Address func(*Line) (*Letter, error)
	// CallbackTransport sends callbacks.
	CallbackTransport http.RoundTripper
	// SigningKey gives the secret that signs callbacks; nil or "": they are not signed.
	SigningKey func() (string, error)
	// Observe is told what happens. It must not block. It may be nil.
	Observe func(Event)
	// Jitter is randomness in [0, max).
	Jitter func(max time.Duration) time.Duration
}

// Store will be the interface of the store (see package store).
type Store any
