package hedge

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Settings are what a Stage asks of those around it. It may ask from two goroutines at
// a time.
type Settings struct {
	// Begins reports whether this is the first time that it is asked of a call. Other
	// attempts pass as they are. Nil: each request is a call.
	Begins func(ctx context.Context) bool

	// Failed reports an end of a request that is no answer to the call, if the other
	// request has a better one. Nil: every error is.
	Failed func(req *http.Request, resp *http.Response, err error) bool

	// Pay pays for a second request, or refuses it. GiveBack returns the price of one
	// that was not sent. Nil: it costs nothing.
	Pay      func() bool
	GiveBack func()

	// Apart gives each of the two requests a context in which what becomes of it is
	// noted apart from the other. chosen is called if its end is that of the call.
	// Nil: nothing is noted.
	Apart func(ctx context.Context) (own context.Context, chosen func())

	// OnEnd is told of a second request that was due. Nil: nobody listens.
	OnEnd func(ctx context.Context, e Event)
}

// An Event tells how a second request ended.
type Event struct {
	Outcome string        // one of the outcomes below
	After   time.Duration // for how long the first one had been waited for
}

// The outcomes.
const (
	Won     = "won"     // its answer is that of the call
	Lost    = "lost"    // the first request's is
	Refused = "refused" // it was not sent: not allowed, too many of them, or refused by a stage below
)

// A Stage hedges the calls of one kind. It may be used concurrently.
type Stage struct {
	set   Settings
	state *state
}

// New returns a Stage that goes by the answers that prev, if it is not nil, knows, and
// shares them with it.
func New(s Settings, prev *Stage) *Stage {
	if s.Failed == nil {
		s.Failed = func(_ *http.Request, _ *http.Response, err error) bool { return err != nil }
	}
	if prev != nil {
		return &Stage{s, prev.state}
	}
	return &Stage{s, new(state)}
}

// State is what the Stage would do now.
func (s *Stage) State() State { return s.state.snapshot() }

// Wrap returns a decorator that asks permit, if that is not nil, before a second request
// of req is sent.
func (s *Stage) Wrap(permit func(req *http.Request) bool) func(next http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return &transport{s, permit, next} }
}

type transport struct {
	stage  *Stage
	permit func(req *http.Request) bool
	next   http.RoundTripper
}

// RoundTrip passes a request on, and sends a second one if it is slow.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !Hedgeable(req) || t.stage.set.Begins != nil && !t.stage.set.Begins(req.Context()) {
		return t.next.RoundTrip(req)
	}
	return newRace(t, req).run()
}

// Hedgeable reports whether a request is of the kind that may be sent twice at a time: a
// GET or a HEAD without a body, but no conversation (an upgrade), nothing that goes on and
// of which there may have to be one (a stream of events), and nothing that came as TLS
// early data, which is sent once (RFC 8470 section 5.2).
func Hedgeable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		(req.Body == nil || req.Body == http.NoBody) &&
		len(req.Header["Upgrade"]) == 0 && len(req.Header["Early-Data"]) == 0 &&
		!slices.ContainsFunc(req.Header["Accept"], ofEvents)
}

// ofEvents reports whether a value of Accept asks for a stream of events.
func ofEvents(accept string) bool {
	return strings.Contains(strings.ToLower(accept), "text/event-stream")
}

// mayHedge asks everybody for a second request, and has it paid.
func (t *transport) mayHedge(req *http.Request) bool {
	s := t.stage
	switch {
	case t.permit != nil && !t.permit(req), !s.state.take():
		return false
	case s.set.Pay != nil && !s.set.Pay():
		s.state.giveBack()
		return false
	}
	return true
}

// giveBack returns the price of a second request.
func (s *Stage) giveBack() {
	s.state.giveBack()
	if s.set.GiveBack != nil {
		s.set.GiveBack()
	}
}
