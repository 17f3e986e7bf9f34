package auth_test

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const tokenType = "urn:ietf:params:oauth:token-type:"

// exchanging are the settings of the grant token_exchange.
func exchanging(endpoint *policytest.Upstream) auth.OAuth2Settings {
	s := settings(endpoint, newShelf())
	s.Grant, s.ClientID, s.ClientSecret, s.RefreshToken = "token_exchange", nil, nil, nil
	s.Exchange = auth.TokenExchange{SubjectToken: value("subject-0001"), SubjectTokenType: tokenType + "jwt"}
	return s
}

func TestTokenIsGivenForAToken(t *testing.T) {
	up := policytest.NewUpstream(t, issued(1), issued(2))
	wantToken(t, newOAuth2(t, exchanging(up)), 1)
	s := exchanging(up)
	s.Exchange.ActorToken, s.Exchange.ActorTokenType = value("actor-0001"), tokenType+"access_token"
	s.Exchange.RequestedTokenType, s.Exchange.Resource = tokenType+"access_token", "https://api.test"
	s.Audience, s.Scopes, s.ClientID = "//iam.test/pool", []string{"read"}, value("the-client")
	wantToken(t, newOAuth2(t, s), 2)
	for i, want := range []url.Values{
		{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"subject-0001"}, "subject_token_type": {tokenType + "jwt"}},
		{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"subject-0001"}, "subject_token_type": {tokenType + "jwt"},
			"actor_token": {"actor-0001"}, "actor_token_type": {tokenType + "access_token"}, "requested_token_type": {tokenType + "access_token"},
			"resource": {"https://api.test"}, "audience": {"//iam.test/pool"}, "scope": {"read"}, "client_id": {"the-client"},
		},
	} {
		if got := forms(up)[i]; !reflect.DeepEqual(got, want) || up.Requests()[i].Header.Get("Authorization") != "" {
			t.Errorf("sent %v, want %v", got, want)
		}
	}
}

// The token of a pod's service account is a file that is replaced every hour: it is
// read for each request, and one that was refused is tried again once there is another.
func TestSubjectTokenThatRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`}, issued(2))
		subject := "subject-0001"
		s := exchanging(up)
		s.Exchange.SubjectToken = func() (string, error) { return subject, nil }
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantNone(t, o, "invalid_grant: the token endpoint does not accept the exchange: look at subject_token", 30*time.Second)
		subject = "subject-0002"
		time.Sleep(time.Second)
		wantToken(t, o, 2)
		var sent []string
		for _, form := range forms(up) {
			sent = append(sent, form.Get("subject_token"))
		}
		if got := strings.Join(sent, " "); got != "subject-0001 subject-0001 subject-0002" {
			t.Errorf("sent %s", got)
		}
	})
}

func TestExchangedTokenThatIsNoBearerToken(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":"abc","token_type":"N_A","issued_token_type":"` + tokenType + `saml2"}`:            "no access token (token_type N_A): ask for another requested_token_type",
		`{"access_token":"abc","token_type":"Bearer","issued_token_type":"` + tokenType + `refresh_token"}`: "the answer has a refresh token: ask for another requested_token_type",
		`{"access_token":"abc","token_type":"mac"}`:                                                         "another type than bearer",
	} {
		synctest.Test(t, func(t *testing.T) {
			wantNone(t, newOAuth2(t, exchanging(policytest.NewUpstream(t, policytest.Step{Body: body}))), want, 30*time.Second)
		})
	}
	for _, kind := range []string{"access_token", "jwt", "id_token"} {
		up := policytest.NewUpstream(t, policytest.Step{Body: `{"access_token":"access-0001","token_type":"Bearer","issued_token_type":"` + tokenType + kind + `"}`})
		wantToken(t, newOAuth2(t, exchanging(up)), 1)
	}
}

func TestSettingsOfAnExchangeThatAreWrong(t *testing.T) {
	for text, change := range map[string]func(*auth.OAuth2Settings){
		"needs a subject token and its type":        func(s *auth.OAuth2Settings) { s.Exchange.SubjectToken = nil },
		"an actor token and its type come together": func(s *auth.OAuth2Settings) { s.Exchange.ActorToken = value("x") },
		"parameter resource: is made from its own":  func(s *auth.OAuth2Settings) { s.Params = map[string]string{"resource": canary} },
		"needs a client id":                         func(s *auth.OAuth2Settings) { s.ClientAuth = "private_key_jwt" },
	} {
		s := exchanging(policytest.NewUpstream(t))
		change(&s)
		if o, err := auth.NewOAuth2(s); o != nil || err == nil || !strings.Contains(err.Error(), text) || leaks(err.Error()) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
