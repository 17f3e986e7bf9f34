package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// A Code is what a provider's page gave for a login, and what was made for it
// before (RFC 6749 §4.1.3, RFC 7636 §4.5).
type Code struct {
	Code        Secret
	RedirectURL string // as it was in the authorization request
	Verifier    Secret // whose challenge was
}

// Redeem exchanges a code for the first tokens of a connection. It is for an OAuth2 of
// its own, which is not in use as a Source, and keeps nothing: see Introduce. The error
// is a *TokenError, that of a setting which cannot be read, or the cause of ctx.
func (o *OAuth2) Redeem(ctx context.Context, c Code) (Pair, error) {
	a, err := o.login(
		param{"grant_type", NewSecret("authorization_code")}, param{"code", c.Code},
		param{"redirect_uri", NewSecret(c.RedirectURL)}, param{"code_verifier", c.Verifier},
	)
	if err != nil {
		return Pair{}, err
	}
	r := o.inquire(ctx, a)
	switch {
	case r.err != nil && ctx.Err() != nil:
		return Pair{}, context.Cause(ctx)
	case r.err != nil:
		return Pair{}, r.loginError()
	}
	return o.pair(a, r), nil
}

// login begins a token request that asks for what a user agreed to.
func (o *OAuth2) login(params ...param) (*attempt, error) {
	a := &attempt{began: wallClock(), login: params}
	if err := o.introduce(a); err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	return a, nil
}

// pair is what a login brought.
func (o *OAuth2) pair(a *attempt, r *result) Pair {
	p := Pair{Access: NewSecret(r.access), Refresh: NewSecret(r.refresh), Obtained: a.began}
	if lifetime := cmp.Or(r.lifetime, o.set.Lifetime); lifetime > 0 {
		p.Expires = a.began.Add(lifetime)
	}
	p.Lapses = r.lapse(a.began)
	return p
}

// Advice for those who log in.
const (
	adviceCode    = "the code was used before, is too old, or belongs to another client or redirect URL: log in again"
	adviceRefused = "access was refused"
	adviceExpired = "nobody entered the code in time: log in again"
)

// loginError is the error of a login's token request: what it says of a grant that is
// dead would mislead.
func (r *result) loginError() error {
	e, answered := errors.AsType[*TokenError](r.err)
	if !answered {
		return r.err
	}
	switch r.code {
	case "invalid_grant":
		e.Advice = adviceCode
	case "access_denied", "authorization_declined": // the latter is Microsoft's
		e.Advice = adviceRefused
	case "expired_token":
		e.Advice = adviceExpired
	default:
		if r.kind == terminal {
			e.Advice = adviceMisset[0]
		}
	}
	return e
}
