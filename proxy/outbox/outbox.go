package outbox

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// Settings are what an Outbox works with.
type Settings struct {
	// Store gives the store, and is called for each use: it opens it at the first one, and
	// again while that fails.
	Store func(ctx context.Context) (Store, error)
	// Send sends a letter through the policies of its upstream. It obeys ctx.
	Send func(ctx context.Context, s *Sending) Outcome
	// Serves reports whether this process sends to an upstream; the letters of others are
	// for other processes. Nil: all.
	Serves func(upstream string) bool
	// KeyAge is how long the upstream of a letter honours an idempotency key; 0: nobody
	// knows. Nil is 0 for all.
	KeyAge func(*Letter) time.Duration
	// Idempotent reports whether a request of this method may be sent twice, for letters whose
	// method is changed. Nil: none may.
	Idempotent func(method string) bool
	// Address makes a letter of a line that is imported: it finds the upstream, and drops or
	// refuses credentials. Nil: nothing can be imported.
	Address func(*Line) (*Letter, error)
	// CallbackTransport sends callbacks.
	CallbackTransport http.RoundTripper
	// SigningKey gives the secret that signs callbacks. Nil, or "": they are not signed.
	SigningKey func() (string, error)
	// Observe is told what happens. It must not block, nor use the Outbox. It may be nil.
	Observe func(Event)
	// Jitter is randomness in [0, max).
	Jitter func(max time.Duration) time.Duration
}

// An Outbox keeps letters and sends them. It may be used concurrently.
type Outbox struct {
	settings Settings
	limits   atomic.Pointer[Limits]

	sending  context.Context // governs what is sent; ends with Break
	breakOff context.CancelFunc

	bell      *bell     // rings for the sender when letters came
	watchers  watchers  // those who wait for the end of a letter
	unwritten unwritten // results that the store did not take yet
	away      outage    // of the store
	refusing  refusing  // of letters, by a store that can be asked
	progress  progress  // what was sent lately
}

// New makes an Outbox, which accepts letters, and sends them while it runs.
func New(s Settings, l Limits) *Outbox {
	if s.Serves == nil {
		s.Serves = func(string) bool { return true }
	}
	if s.KeyAge == nil {
		s.KeyAge = func(*Letter) time.Duration { return 0 }
	}
	if s.Idempotent == nil {
		s.Idempotent = func(string) bool { return false }
	}
	if s.Observe == nil {
		s.Observe = func(Event) {}
	}
	o := &Outbox{settings: s, bell: newBell()}
	o.sending, o.breakOff = context.WithCancel(context.Background())
	o.Configure(l)
	return o
}

// Configure sets other limits. They hold for what comes, and for the letters that wait: but
// when a letter is too old was said when it was kept.
func (o *Outbox) Configure(l Limits) {
	o.limits.Store(&l)
	o.bell.ringAll()
}

// Break breaks off what is being sent, so that Run, whose context has ended, returns soon.
func (o *Outbox) Break() { o.breakOff() }
