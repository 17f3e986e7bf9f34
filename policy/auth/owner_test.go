package auth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// What is known of one account must not be taken for another's, and is not lost when its
// token is refreshed.
func TestOwnerStaysAsLongAsTheAccountDoes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *auth.OAuth2Settings)
		stays  bool
	}{
		"a refresh token": {func(*auth.OAuth2Settings) {}, true},
		"a login": {func(s *auth.OAuth2Settings) {
			s.Grant, s.RefreshToken = "authorization_code", nil
		}, true},
		"a machine": {func(s *auth.OAuth2Settings) {
			s.Grant, s.RefreshToken = "client_credentials", nil
		}, true},
		"a machine of another name": {func(s *auth.OAuth2Settings) {
			s.Grant, s.RefreshToken, s.ClientID = "client_credentials", nil, alternating("one", "two")
		}, false},
		"another refresh token": {func(s *auth.OAuth2Settings) {
			s.RefreshToken = alternating("refresh-of-one", "refresh-of-two")
		}, false},
		"a token that is exchanged": {func(s *auth.OAuth2Settings) {
			s.Grant, s.RefreshToken = "token_exchange", nil
			s.Exchange = auth.TokenExchange{SubjectToken: value("subject"), SubjectTokenType: tokenType + "jwt"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := newShelf()
				s := settings(policytest.NewUpstream(t, issued(1), issued(2)), kept)
				c.change(&s)
				if s.Grant == "authorization_code" {
					s.Transport = policytest.NewUpstream(t, issued(2))
					if err := auth.Introduce(t.Context(), kept, login("access-0001", "login-1")); err != nil {
						t.Fatal(err)
					}
				}
				o := newOAuth2(t, s)
				before := wantToken(t, o, 1)
				time.Sleep(time.Hour)
				after := wantToken(t, o, 2)
				if stays := before.Owner == after.Owner; stays != c.stays || after.Owner == (auth.Secret{}) {
					t.Errorf("the owner is the same: %v, want %v", stays, c.stays)
				}
			})
		})
	}
}

// alternating reads one value the first time, and another one from then on.
func alternating(first, next string) func() (string, error) {
	return func() (string, error) {
		now := first
		first = next
		return now, nil
	}
}
