package policy

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// A Call is what is known of one call while it travels: who serves it, and what
// happened to it so far. The listener creates it, the stages add to it, and
// telemetry reads it. Its counters may be read at any time.
type Call struct {
	Upstream string // name of the upstream
	Rule     string // match text of the rule that applies; "" is the upstream itself
	// Connection names the credential that the caller chose; "": none.
	Connection string
	// Propagate says that the upstream may know of the trace that the call is part of.
	Propagate bool
	// Depart is asked before each attempt is put on the wire, when all waiting is over. Its
	// error ends the attempt, and the call, as a NotDepartedError. nil: nobody is asked.
	Depart func(ctx context.Context) error
	// Informer passes informational responses (1xx) on to the client. May be nil.
	Informer Informer

	priority Priority      // see Controls
	caller   func() string // see Controls; may be nil
	timeout  time.Duration // see Controls; 0: as configured
	held     time.Duration // see HeldBack

	ended  string  // see NotRetried
	minted *minted // see Minted; nil: it got no key

	sent     atomic.Int32
	waited   atomic.Int64
	upload   atomic.Pointer[upload] // nil: no body is streamed
	bodyFail atomic.Bool
	gaveUp   atomic.Bool
	came     atomic.Bool                 // see GotBody
	stale    atomic.Pointer[StaleAnswer] // see Stale
	raced    atomic.Bool                 // its first attempt may have had a second request: see hedge
	notes    notes

	departures departures
	context    callContext // the first that it was attached to
}

// An upload is the body of a request while it is streamed. One goroutine reads it.
type upload struct {
	began    time.Time
	last     atomic.Int64 // when its last byte was read, in nanoseconds after that
	awaiting atomic.Bool  // the client is being waited for, for more of it
}

// minted is an idempotency key that a call got from us.
type minted struct{ header, key string }

type callKey struct{}

// WithCall attaches c to a context. Nil hides the call that ctx has.
func WithCall(ctx context.Context, c *Call) context.Context {
	if c == nil || c.context.call != nil {
		return &callContext{ctx, c}
	}
	c.context = callContext{ctx, c}
	return &c.context
}

// A callContext is a context with a call. The first that a call has is a part of it, so
// that both are one allocation.
type callContext struct {
	context.Context
	call *Call
}

// Value gives the call, and else what its context has.
func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c.call
	}
	return c.Context.Value(key)
}

// CallFrom returns the call of a context, or nil.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Priority is how urgent the caller says that the call is: "high", "normal" or "low".
func (c *Call) Priority() string {
	switch {
	case c.priority > PriorityNormal:
		return "high"
	case c.priority < PriorityNormal:
		return "low"
	}
	return "normal"
}

// gotBody notes whether the body of the last answer came together with its head.
func (c *Call) gotBody(came bool) {
	if c != nil && c.came.Load() != came {
		c.came.Store(came)
	}
}

// GotBody reports that the body of the answer has begun to come: its first Read will not
// wait. Of a call that was sent twice at a time that is not known.
func (c *Call) GotBody() bool { return c.came.Load() && !c.raced.Load() }

// Attempts is the number of requests for this call that reached the wire.
func (c *Call) Attempts() int { return int(c.sent.Load()) }

// Waited is the time spent waiting for a turn or backing off. It is zero for
// no Call.
func (c *Call) Waited() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.waited.Load())
}

func (c *Call) addWait(d time.Duration) {
	if c != nil && d > 0 {
		c.waited.Add(int64(d))
	}
}

// HeldBack notes that the call had to wait before it came to its plan, which is a part of its
// time: the plan has what is left.
func (c *Call) HeldBack(d time.Duration) {
	c.held += d
	c.addWait(d)
}

// Awaiting notes that the client is being waited for, for more of the body that
// it streams. Until Uploading, the clocks that wait for the answer stand still:
// the upstream cannot answer what it was not asked yet.
func (c *Call) Awaiting() {
	c.Uploading()
	c.upload.Load().awaiting.Store(true)
}

// Uploading notes that a byte of a streamed request body came in just now. The
// clocks that wait for the answer start anew: a large upload is not a slow answer.
func (c *Call) Uploading() {
	u := c.upload.Load()
	if u == nil {
		c.upload.Store(&upload{began: time.Now()})
		return
	}
	u.last.Store(int64(time.Since(u.began)))
	u.awaiting.Store(false)
}

// BodyEnded notes how a read of the request body ended. failed says that the
// client broke it off, so that what follows is nobody else's fault.
func (c *Call) BodyEnded(failed bool) {
	if failed {
		c.bodyFail.Store(true)
	}
}

// sinceUpload is how long ago the last byte of a streamed body came in: not at
// all while the client is waited for.
func (c *Call) sinceUpload() (time.Duration, bool) {
	quiet, streamed := c.uploadQuiet()
	if streamed && c.upload.Load().awaiting.Load() {
		return 0, true
	}
	return quiet, streamed
}

// uploadQuiet is how long ago the last byte of a streamed body came in, or the
// wait for the next began.
func (c *Call) uploadQuiet() (time.Duration, bool) {
	if c == nil {
		return 0, false
	}
	u := c.upload.Load()
	if u == nil {
		return 0, false
	}
	return time.Since(u.began) - time.Duration(u.last.Load()), true
}

// BodyFailed reports that the client broke off the body of its request.
func (c *Call) BodyFailed() bool { return c != nil && c.bodyFail.Load() }

// GaveUp reports that our own retries ended without success, so that a caller
// which retries too knows that it would only multiply them.
func (c *Call) GaveUp() bool { return c.gaveUp.Load() }

func (c *Call) giveUp() {
	if c != nil {
		c.gaveUp.Store(true)
	}
}

// NotRetried says why no other attempt followed one that did not succeed, in a few words
// of ours: "budget"; "": there was nothing to retry. It is known when the call's
// RoundTrip has returned, as is Minted.
func (c *Call) NotRetried() string { return c.ended }

// Minted gives the idempotency key that the call got from us, and the header that it went
// out in; "": it got none.
func (c *Call) Minted() (header, key string) {
	if c.minted == nil {
		return "", ""
	}
	return c.minted.header, c.minted.key
}

// An Attempt is one pass of a call through the transport.
type Attempt struct {
	Start  time.Time // when the attempt began, before dialing
	number atomic.Int32
	reused atomic.Bool

	mu     sync.Mutex
	remote net.Addr // nil: it is not known
}

type attemptKey struct{}

// AttemptFrom returns the attempt of a context, or nil above the attempt stage.
func AttemptFrom(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Number counts the requests of this call on the wire: 1 for the first. It is 0
// while, or if, this attempt has put nothing on the wire.
func (a *Attempt) Number() int { return int(a.number.Load()) }

// Sent reports that the request has reached the wire.
func (a *Attempt) Sent() bool { return a.number.Load() > 0 }

// Reused reports that the attempt used a connection that had served before.
func (a *Attempt) Reused() bool { return a.reused.Load() }

// Remote is the network address that the attempt was sent to, "" when unknown.
func (a *Attempt) Remote() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.remote == nil {
		return ""
	}
	return a.remote.String()
}

// connected notes the connection that the attempt uses.
func (a *Attempt) connected(info httptrace.GotConnInfo) {
	a.reused.Store(info.Reused)
	if info.Conn == nil {
		return
	}
	remote := info.Conn.RemoteAddr()
	a.mu.Lock()
	a.remote = remote
	a.mu.Unlock()
}

// Refusal is an answer that a stage of ours gave in place of the upstream: the
// request was not sent. retryAfter says when a later try can succeed; zero when
// that cannot be known. It is never retried inside the chain.
type Refusal interface {
	error
	Refusal() (reason string, retryAfter time.Duration)
}

// unsent is implemented by errors of attempts that provably put no byte of the
// request on the wire.
type unsent interface {
	error
	Unsent() bool
}

// EventKind names what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventWait    EventKind = "wait"    // a call waited for its turn: Reason, Delay
	EventRetry   EventKind = "retry"   // another attempt follows: Attempt, Reason, Delay
	EventBackoff EventKind = "backoff" // the wait before it is over, or was broken off: as EventRetry, but Delay is how long it was
	EventGiveUp  EventKind = "give-up" // no further attempt although the last one did not succeed: Attempt, Reason
	EventHedge   EventKind = "hedge"   // a second request was due: Reason is what became of it ("won", "lost", "refused"), Delay how long the first had been waited for
	EventRepeat  EventKind = "repeat"  // the call is a retry of its caller's, and paid for like one of ours: Reason how that is known
	EventGate    EventKind = "gate"    // the provider closed a quota until Until
	EventQuiet   EventKind = "quiet"   // an answer whose status says that all is well means that it is not: Reason is what, "failed: ok: false"
	EventStale   EventKind = "stale"   // a call that failed was answered with an earlier answer: Reason is the failure, Delay the age of the answer
	// EventEmpty: the lists that an endpoint answers with have become empty: Key is the
	// endpoint, Empty what is known. EventFilled: there is something in them again, or they
	// are not counted any more.
	EventEmpty  EventKind = "results-empty"
	EventFilled EventKind = "results-filled"
	// EventExhausted: the provider refused a call for a quota that no waiting brings back:
	// Key is the quota, Reason the word that said so. EventReplenished: it took one again,
	// or the connection whose quota it was is another now, or gone.
	EventExhausted   EventKind = "exhausted"
	EventReplenished EventKind = "replenished"
	EventRefresh     EventKind = "refresh" // a token was asked for: Key is the credential, From why, Reason how it ended, Delay how long it took, Err; Until the token's end
	// EventTokenWait: a call waited for a token: Key is the credential, Reason why it was
	// asked for, Delay; Work is the refresh.
	EventTokenWait EventKind = "token-wait"
	// EventFound: trouble that EventRefresh told of is over, since another process has kept
	// other tokens, such as those of a login: Key is the credential.
	EventFound EventKind = "found"
	// EventConnection: a connection was handed over to the store, or removed: Key is its
	// name, Reason "created", "replaced" or "removed". Of what another process did it is
	// told where a connection in use is gone, or one in trouble works again.
	EventConnection EventKind = "connection"
	EventCircuit    EventKind = "circuit" // a circuit went From one state To another, open until Until: Reason is why, as CircuitStatus has its Cause
	// EventOrder: an operator opened or closed the circuit Key, or with no Key all of the
	// upstream, those to come too: To is what they are now, Until how long they stay open;
	// zero is until an operator closes them.
	EventOrder EventKind = "order"
	// EventNotice: an answer says about the future of its endpoint, which is the Key, what
	// none has said of late: Until is its sunset, and Notice the whole.
	EventNotice EventKind = "notice"
)

// An Event is a fact worth telling: telemetry turns it into span events,
// metrics and log lines. Unused fields are zero.
type Event struct {
	Kind     EventKind
	Upstream string
	Key      string // the quota or circuit: host, and credential where there are several
	Reason   string
	Attempt  int
	Delay    time.Duration
	Until    time.Time
	From, To string
	Empty    *EmptyEndpoint  // of EventEmpty
	Err      error           // why it did not end well; it holds no value that is secret
	Work     context.Context // of what the call waited for, as Env.Work gave it; nil: of nothing
	Notice   *NoticeSighting
}
