package auth

import "context"

// Revoke tells the provider that nobody needs the tokens of p any more (RFC 7009 §2.1). It
// names the refresh token, with which the access token ends at most providers, where
// there is one. o is one that is not in use as a Source. The error is ErrNothing, or as
// that of Redeem.
func (o *OAuth2) Revoke(ctx context.Context, endpoint string, p Pair) error {
	if p.empty() {
		return ErrNothing
	}
	a, err := o.login()
	if err != nil {
		return err
	}
	token, kind := p.Refresh, "refresh_token"
	if !p.Renewable() {
		token, kind = p.Access, "access_token"
	}
	_, err = o.elsewhere(ctx, endpoint, a.who, []param{{"token", token}, {"token_type_hint", NewSecret(kind)}})
	return err
}
