package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

func TestTokenRequest(t *testing.T) {
	const basic = "Basic Yyt0JTNBMTpzJTNEMiUyQiVDMyVBOQ==" // c+t%3A1:s%3D2%2B%C3%A9, RFC 6749 §2.3.1
	for how, want := range map[string]struct{ contentType, authorization, body string }{
		"basic":      {"application/x-www-form-urlencoded", basic, "a=b&audience=https%3A%2F%2Fapi.test&grant_type=client_credentials&scope=r+w"},
		"auto":       {"application/x-www-form-urlencoded", basic, "a=b&audience=https%3A%2F%2Fapi.test&grant_type=client_credentials&scope=r+w"},
		"body":       {"application/x-www-form-urlencoded", "", "a=b&audience=https%3A%2F%2Fapi.test&client_id=c+t%3A1&client_secret=s%3D2%2B%C3%A9&grant_type=client_credentials&scope=r+w"},
		"none":       {"application/x-www-form-urlencoded", "", "a=b&audience=https%3A%2F%2Fapi.test&client_id=c+t%3A1&grant_type=client_credentials&scope=r+w"},
		"json":       {"application/json", "", `{"a":"b","audience":"https://api.test","client_id":"c t:1","client_secret":"s=2+é","grant_type":"client_credentials","scope":"r w"}`},
		"json-basic": {"application/json", basic, `{"a":"b","audience":"https://api.test","grant_type":"client_credentials","scope":"r w"}`},
	} {
		t.Run(how, func(t *testing.T) {
			up := policytest.NewUpstream(t, issued(1))
			o := newOAuth2(t, auth.OAuth2Settings{
				Grant: "client_credentials", TokenURL: "https://login.test/token?v=2", ClientAuth: how,
				ClientID: value("c t:1"), ClientSecret: value("s=2+é"),
				Scopes: []string{"r", "w"}, Audience: "https://api.test", Params: map[string]string{"a": "b"},
				Transport: up,
			})
			wantToken(t, o, 1)
			r := up.Requests()[0]
			if r.Method != "POST" || r.Target != "/token?v=2" || r.Host != "login.test" || r.Header.Get("Accept") != "application/json" ||
				r.Header.Get("Content-Type") != want.contentType || r.Header.Get("Authorization") != want.authorization || r.Body != want.body {
				t.Errorf("sent %+v", r)
			}
		})
	}
}

// RFC 6749 §2.3.1 wants basic to be understood; several providers do not.
func TestClientAuthenticationFallsBackToTheBodyAndRemembers(t *testing.T) {
	for name, refused := range map[string]policytest.Step{
		"invalid_client": {Status: 400, Body: `{"error":"invalid_client"}`}, "401": {Status: 401, Body: "who?"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := policytest.NewUpstream(t, refused, issued(1), issued(2))
				o := newOAuth2(t, settings(up, nil))
				wantToken(t, o, 1)
				time.Sleep(time.Hour)
				wantToken(t, o, 2)
				var inBody []bool
				for _, r := range up.Requests() {
					form, _ := url.ParseQuery(r.Body)
					inBody = append(inBody, form.Get("client_secret") == "the-secret" && r.Header.Get("Authorization") == "")
				}
				if len(inBody) != 3 || inBody[0] || !inBody[1] || !inBody[2] {
					t.Errorf("in the body: %v", inBody)
				}
			})
		})
	}
}

func TestPublicClientSendsItsNameOnly(t *testing.T) {
	up := policytest.NewUpstream(t, issued(1))
	s := settings(up, nil)
	s.ClientSecret = nil
	wantToken(t, newOAuth2(t, s), 1)
	if r := up.Requests()[0]; r.Header.Get("Authorization") != "" || r.Body != "client_id=the-client&grant_type=refresh_token&refresh_token=refresh-0000" {
		t.Errorf("sent %+v", r)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for text, change := range map[string]func(*auth.OAuth2Settings){
		`grant "password": must be`:                        func(s *auth.OAuth2Settings) { s.Grant = "password" },
		"the token URL must be https://HOST/PATH":          func(s *auth.OAuth2Settings) { s.TokenURL = "https://user:" + canary + "@login.test/" },
		"needs a client id":                                func(s *auth.OAuth2Settings) { s.ClientID = nil },
		"needs a way to the token endpoint":                func(s *auth.OAuth2Settings) { s.Transport = nil },
		`client authentication "tls": must be one of`:      func(s *auth.OAuth2Settings) { s.ClientAuth = "tls" },
		"client authentication json needs a client secret": func(s *auth.OAuth2Settings) { s.ClientAuth, s.ClientSecret = "json", nil },
		"the refresh share must be in [0, 1)":              func(s *auth.OAuth2Settings) { s.RefreshShare = 1 },
		"parameter grant_type: is made from":               func(s *auth.OAuth2Settings) { s.Params = map[string]string{"grant_type": canary} },
	} {
		s := settings(http.DefaultTransport, nil)
		change(&s)
		if o, err := auth.NewOAuth2(s); o != nil || err == nil || !strings.Contains(err.Error(), text) || leaks(err.Error()) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The client was accepted then, even though its grant was not.
func TestClientAuthenticationIsRememberedOfADeadGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: `{"error":"invalid_client"}`}, policytest.Step{Times: 2, Status: 400, Body: `{"error":"invalid_grant"}`})
		o := newOAuth2(t, settings(up, nil))
		wantNone(t, o, "invalid_grant", 5*time.Minute)
		time.Sleep(5 * time.Minute)
		wantNone(t, o, "invalid_grant", 10*time.Minute)
	})
}
