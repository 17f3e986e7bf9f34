package auth

import (
	"context"
	"errors"
	"time"
)

// Token gives a living token. Callers who need one that is not there wait for one
// refresh, each as long as its ctx lasts; the refresh goes on without them. An
// error is an *UnavailableError, or the cause of ctx.
func (o *OAuth2) Token(ctx context.Context, stale Token) (Token, error) {
	for {
		token, f, err := o.ask(ctx, stale)
		if f == nil {
			return token, err
		}
		if err := o.await(ctx, f); err != nil {
			return Token{}, err
		}
		if f.reason == reasonSave { // of which nobody has a token
			continue
		}
		if token, err := o.outcome(f); err != errRefusedMeanwhile {
			return token, err
		}
	}
}

// ask gives the token that may be sent, or the flight that will bring one.
func (o *OAuth2) ask(ctx context.Context, stale Token) (Token, *flight, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := wallClock()
	h := &o.held
	if stale != (Token{}) && stale == h.token && !h.refused {
		if h.young(now) {
			return h.token, nil, nil
		}
		h.refuse(now)
	}
	switch usable := h.living(now) && !h.refused; {
	case usable:
		if o.flight == nil && !o.closed {
			o.tend(ctx, now)
		}
		return h.token, nil, nil
	case o.flight != nil:
		return Token{}, o.flight, nil
	case o.closed:
		return Token{}, nil, &UnavailableError{Err: errors.New("oauth2: shutting down")}
	case o.hold.active(now) && !o.mayLook(now):
		return Token{}, nil, o.hold.refusal(now)
	}
	return Token{}, o.start(ctx, h.lack()), nil
}

// tend starts what a living token needs meanwhile: its successor, or to be saved.
func (o *OAuth2) tend(ctx context.Context, now time.Time) {
	h := &o.held
	switch {
	case !h.refreshAt.IsZero() && !now.Before(h.refreshAt) && (!o.hold.active(now) || o.mayLook(now)):
		o.start(ctx, reasonAhead)
	case h.unsaved != nil && !h.later.lasts(now):
		o.start(ctx, reasonSave)
	}
}

// Until tells that a call which waits will need a token at t. If the one in use ends
// before then, its successor is fetched at once, beside the calls that go on with it,
// so that it is there at t. It does not wait.
//
// A token that was fetched for such a call is not replaced for another: where tokens
// live for less than calls wait, each call that joined the line would bring one more.
func (o *OAuth2) Until(ctx context.Context, t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, h := wallClock(), &o.held
	switch end := h.end(); {
	case end.IsZero() || t.Before(end) || h.early:
	case !h.living(now) || h.refused || o.flight != nil || o.closed: // a call that needs one sees to it
	case o.hold.active(now) && !o.mayLook(now):
	default:
		o.start(ctx, reasonQueue)
	}
}

// outcome is what a flight brought those who waited for it. A token that it got is
// given out even if it has expired since: there is no better one.
func (o *OAuth2) outcome(f *flight) (Token, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := wallClock()
	if h := &o.held; !h.refused && (f.err == nil && h.Access != (Secret{}) || h.living(now)) {
		return h.token, nil
	}
	switch {
	case o.hold.kind != "":
		return Token{}, o.hold.refusal(now)
	case f.err == nil:
		return Token{}, errRefusedMeanwhile
	}
	return Token{}, &UnavailableError{Err: f.err}
}

// errRefusedMeanwhile is for who waited for a token that another call has used since,
// in vain: there will be another one.
var errRefusedMeanwhile = errors.New("oauth2: the new token was refused already")

// mayLook reports whether it is time to look, while a hold lasts, if it has to: the
// operator may have given something new, or another process got a token.
func (o *OAuth2) mayLook(now time.Time) bool {
	return (o.hold.kind != transient || o.kept.keeper != nil) && !o.hold.looked.lasts(now)
}

// lookEvery is how often the configuration, which may be a file, and the Keeper are
// looked at.
const lookEvery = time.Second

// refusal is the error of a call while a hold lasts.
func (h *hold) refusal(now time.Time) error {
	return &UnavailableError{Err: h.err, RetryAfter: max(h.until.Sub(now), 0)}
}
