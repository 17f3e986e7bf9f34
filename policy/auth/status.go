package auth

import "time"

// The states of an OAuth2.
const (
	StateNone       = "none"       // it was not used yet
	StateLive       = "live"       // there is a token, and nothing is wrong
	StateRefreshing = "refreshing" // a token request is under way
	StateFailing    = "failing"    // the last token request failed, and another will follow
	StateDead       = "dead"       // the grant was refused: somebody has to give a new one
)

// OAuth2Status is how a credential is. It holds no value. Instants are zero where
// there is none.
type OAuth2Status struct {
	State       string
	Usable      bool      // there is a token that is sent
	Origin      string    // where alone the token is sent; "": wherever requests go
	Obtained    time.Time // when the token was
	Expires     time.Time // when it does
	Lapses      time.Time // when the refresh token does, as far as the provider said
	NextRefresh time.Time // ahead of that
	NextTry     time.Time // before which the token endpoint is not asked, after a failure
	Spaced      time.Time // until when a 401 is passed on, since 401s have had the token replaced
	Err         error     // how the last token request failed
	NotKept     error     // why what a restart needs is in memory only; nil: it is kept
}

// A RefreshEvent tells how a token request ended, and each try to save what the
// Keeper did not take. It holds no value.
type RefreshEvent struct {
	Reason   string        // "first", "expired", "ahead", "queue", "refused"; "save": nothing was requested
	Requests int           // how many were sent
	Took     time.Duration // all of them
	Err      error         // why there is no new token; nil: there is
	Dead     bool          // and there will be none: see StateDead
	Rotated  bool          // the refresh token was replaced
	Expires  time.Time     // of the token that is now used
	NextTry  time.Time     // before which the token endpoint is not asked, after a failure
	NotKept  error         // see OAuth2Status
}

// Status tells how the credential is now.
func (o *OAuth2) Status() OAuth2Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	h, now := &o.held, wallClock()
	s := OAuth2Status{
		State: StateNone, Origin: o.origin(&h.grant), Usable: h.living(now) && !h.refused,
		Obtained: h.Obtained, Expires: h.Expires, Lapses: h.Lapses, NextRefresh: h.refreshAt,
		NextTry: o.hold.until, Err: o.hold.err, NotKept: h.unsaved,
	}
	if s.Usable && h.young(now) {
		s.Spaced = h.spaced().until
	}
	switch {
	case o.flight != nil && o.flight.reason != reasonSave:
		s.State = StateRefreshing
	case o.hold.kind == terminal:
		s.State = StateDead
	case o.hold.kind != "":
		s.State = StateFailing
	case h.Access != (Secret{}):
		s.State = StateLive
	}
	return s
}

func (o *OAuth2) tell(e RefreshEvent) {
	if o.set.OnRefresh != nil {
		o.set.OnRefresh(e)
	}
}
