package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// logins are the settings of a connection that begins with a login.
func logins(endpoint http.RoundTripper, k auth.Keeper) auth.OAuth2Settings {
	s := settings(endpoint, k)
	s.Grant, s.RefreshToken, s.LoginCommand = "authorization_code", nil, "outrider login crm"
	return s
}

var code = auth.Code{Code: auth.NewSecret("the-code"), RedirectURL: "http://127.0.0.1:8912/callback", Verifier: auth.NewSecret("the-verifier")}

// members are those of a request, whichever way they are written.
func members(t *testing.T, r policytest.Request) map[string]string {
	t.Helper()
	all := map[string]string{}
	if r.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal([]byte(r.Body), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	form, err := url.ParseQuery(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name := range form {
		all[name] = form.Get(name)
	}
	return all
}

func TestCodeIsExchangedAsTheClientIsConfigured(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("the-client:the-secret"))
	for how, want := range map[string]struct{ authorization, id, secret string }{
		"auto": {authorization: basic}, "basic": {authorization: basic}, "json-basic": {authorization: basic},
		"body": {id: "the-client", secret: "the-secret"}, "json": {id: "the-client", secret: "the-secret"},
		"none": {id: "the-client"},
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up, kept := policytest.NewUpstream(t, issued(1)), newShelf()
				s := logins(up, kept)
				s.ClientAuth, s.Scopes, s.Params = how, []string{"read"}, map[string]string{"resource": "x"}
				if how == "none" {
					s.ClientSecret = nil
				}
				p, err := newOAuth2(t, s).Redeem(t.Context(), code)
				pair := login("access-0001", "refresh-0001")
				pair.Obtained = time.Now()
				if err != nil || !reflect.DeepEqual(p, pair) {
					t.Fatalf("got %v, %v", p, err)
				}
				r := up.Requests()[0]
				got := members(t, r)
				wanted := map[string]string{"grant_type": "authorization_code", "code": "the-code", "code_verifier": "the-verifier",
					"redirect_uri": "http://127.0.0.1:8912/callback", "resource": "x", "client_id": want.id, "client_secret": want.secret}
				for name, value := range wanted {
					if got[name] != value {
						t.Errorf("%s is %q, want %q", name, got[name], value)
					}
				}
				if got["scope"] != "" || r.Header.Get("Authorization") != want.authorization { // the scope was the page's question
					t.Errorf("got scope %q and authorization %q, want %q", got["scope"], r.Header.Get("Authorization"), want.authorization)
				}
				if kept.tries != 0 {
					t.Error("it was kept")
				}
			})
		})
	}
}

// What else is on the wire: GitHub's form, no lifetime, no refresh token.
func TestLoginReadsWhatProvidersSend(t *testing.T) {
	for body, want := range map[string]time.Duration{
		"access_token=access-0001&token_type=bearer":       2 * time.Hour,
		`{"access_token":"access-0001"}`:                   2 * time.Hour,
		`{"access_token":"access-0001","expires_in":"60"}`: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := logins(policytest.NewUpstream(t, policytest.Step{Body: body}), newShelf())
			s.Lifetime = 2 * time.Hour
			p, err := newOAuth2(t, s).Redeem(t.Context(), code)
			if err != nil || p.Access.Reveal() != "access-0001" || p.Renewable() || time.Until(p.Expires) != want {
				t.Errorf("%s: got %v that expires in %v, %v", body, p, time.Until(p.Expires), err)
			}
		})
	}
}

func TestClientThatIsRefusedInTheHeaderIsTriedInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: `{"error":"invalid_client"}`}, issued(1))
		if _, err := newOAuth2(t, logins(up, newShelf())).Redeem(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		if got := members(t, up.Requests()[1]); got["client_secret"] != "the-secret" || got["code"] != "the-code" {
			t.Errorf("sent %v", got)
		}
	})
}

func TestCodeThatIsNotAcceptedIsSaidToBe(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_grant","error_description":"the-code"}`: "login.test: invalid_grant: the code was used before, is too old, or belongs to another client or redirect URL: log in again",
		`{"error":"unauthorized_client"}`:                          "login.test: unauthorized_client: the token endpoint does not accept the configuration",
		`{"error":"redirect_uri_mismatch"}`:                        "login.test: redirect_uri_mismatch: the token endpoint does not accept the configuration",
		`{"error":"access_denied"}`:                                "login.test: access_denied: access was refused",
		`<html>the-code`:                                           "login.test: status 400: the token endpoint does not accept the configuration",
	} {
		synctest.Test(t, func(t *testing.T) {
			up := policytest.NewUpstream(t, policytest.Step{Status: 400, Body: body})
			_, err := newOAuth2(t, logins(up, newShelf())).Redeem(t.Context(), code)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the-code") {
				t.Errorf("%s: got %v, want %q", body, err, want)
			}
		})
	}
}

func TestWhoHasToLogInIsToldHow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		up := policytest.NewUpstream(t, policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`})
		o := newOAuth2(t, logins(up, kept))
		wantNone(t, o, "nobody has logged in yet: outrider login crm", 5*time.Minute)
		if err := auth.Introduce(t.Context(), kept, login("access-0001", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantNone(t, o, "the token has ended, and the login brought no refresh token: log in again: outrider login crm", 5*time.Minute)
		if err := auth.Introduce(t.Context(), kept, auth.Pair{Refresh: auth.NewSecret("login-1")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantNone(t, o, "invalid_grant: the grant is dead: log in again: outrider login crm", 10*time.Minute)
	})
}

// A process that has a login in memory does not bring it back after a logout, and takes
// the next login for the newer one, however often the first was refreshed.
func TestLogoutIsNotUndoneByAProcessThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		up := policytest.NewUpstream(t, issued(2), issued(3), issued(4))
		o := newOAuth2(t, logins(up, kept))
		if err := auth.Introduce(t.Context(), kept, login("access-0001", "login-1")); err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 4; n++ {
			wantToken(t, o, n)
			time.Sleep(time.Hour)
		}
		if p, err := auth.Forget(t.Context(), kept); err != nil || p.Access.Reveal() != "access-0004" || p.Refresh.Reveal() != "refresh-0004" {
			t.Fatalf("forgetting: %v, %v", p, err)
		}
		wantNone(t, o, "nobody has logged in yet: outrider login crm", 5*time.Minute)
		if kept.text() != "" || up.Tries() != 3 {
			t.Errorf("kept %q after %d requests", kept.text(), up.Tries())
		}
		if p, err := auth.Forget(t.Context(), kept); p != nil || err != nil {
			t.Errorf("forgetting nothing: %v, %v", p, err)
		}
		if err := auth.Introduce(t.Context(), kept, login("access-0005", "login-5")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantToken(t, o, 5)
	})
}

// The next login comes before the process has noticed the logout.
func TestLoginAfterALogoutIsTheNewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		o := newOAuth2(t, logins(policytest.NewUpstream(t, issued(2), issued(3)), kept))
		if err := auth.Introduce(t.Context(), kept, login("access-0001", "login-1")); err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3; n++ {
			wantToken(t, o, n)
			time.Sleep(time.Hour)
		}
		if _, err := auth.Forget(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		if err := auth.Introduce(t.Context(), kept, login("access-0004", "login-4")); err != nil {
			t.Fatal(err)
		}
		wantToken(t, o, 4)
	})
}

// What a newer version has written, or nobody, is forgotten as well.
func TestForgettingNeedsNoUnderstanding(t *testing.T) {
	kept := newShelf()
	kept.data = []byte("canary")
	if p, err := auth.Forget(t.Context(), kept); err != nil || p == nil || *p != (auth.Pair{}) || kept.text() != "" {
		t.Errorf("got %v, %v; kept %q", p, err, kept.text())
	}
}

func TestProviderIsToldOfTheTokenThatEndsAll(t *testing.T) {
	for want, p := range map[string]auth.Pair{
		"refresh_token refresh-0001": login("access-0001", "refresh-0001"),
		"access_token access-0001":   login("access-0001", ""),
	} {
		synctest.Test(t, func(t *testing.T) {
			up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: `{"error":"invalid_client"}`}, policytest.Step{})
			if err := newOAuth2(t, logins(up, newShelf())).Revoke(t.Context(), "https://login.test/revoke", p); err != nil {
				t.Error(err)
			}
			r := up.Requests()[1]
			if got := members(t, r); got["token_type_hint"]+" "+got["token"] != want || got["client_secret"] != "the-secret" || r.Target != "/revoke" {
				t.Errorf("%s got %v", r.Target, got)
			}
		})
	}
}

func TestRevocationThatFails(t *testing.T) {
	for want, step := range map[string]policytest.Step{
		"oauth2: asking login.test: unsupported_token_type: ": {Status: 400, Body: `{"error":"unsupported_token_type","error_description":"access-0001"}`},
		"oauth2: asking login.test: status 503":               {Status: 503},
		"oauth2: asking login.test: connection closed":        {Err: io.EOF},
		"oauth2: asking login.test: it redirects":             {Status: 302, Header: http.Header{"Location": {"/access-0001"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOAuth2(t, logins(policytest.NewUpstream(t, step), newShelf()))
			if err := o.Revoke(t.Context(), "https://login.test/revoke", login("access-0001", "")); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0001") {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// What was kept could not be understood, or was not readable as a login: there is nothing
// to revoke, which is not what a provider says to an empty token.
func TestNothingIsRevoked(t *testing.T) {
	up := policytest.NewUpstream(t)
	if err := newOAuth2(t, logins(up, newShelf())).Revoke(t.Context(), "https://login.test/revoke", auth.Pair{}); !errors.Is(err, auth.ErrNothing) || up.Tries() != 0 {
		t.Errorf("error %v after %d requests, want ErrNothing", err, up.Tries())
	}
}

// A client whose key is none was told that the URL cannot be asked.
func TestRevocationByAClientThatCannotSign(t *testing.T) {
	s := logins(policytest.NewUpstream(t), newShelf())
	s.ClientSecret, s.ClientAuth = nil, "private_key_jwt"
	s.Signing = auth.Signing{PrivateKey: value(canary)}
	err := newOAuth2(t, s).Revoke(t.Context(), "https://login.test/revoke", login("a", "b"))
	if err == nil || !strings.HasPrefix(err.Error(), "oauth2: the private key is not a PEM private key") || leaks(err.Error()) {
		t.Errorf("error %v", err)
	}
}

func TestLoginShowsNoValue(t *testing.T) {
	quoted, _ := json.Marshal(canary)
	for name, step := range map[string]policytest.Step{
		"a pair":      {Body: fmt.Sprintf(`{"access_token":%s,"refresh_token":%s}`, quoted, quoted)},
		"an error":    {Status: 400, Body: fmt.Sprintf(`{"error":%s,"error_description":%s}`, quoted, quoted)},
		"a transport": {Err: fmt.Errorf("reading %s", canary)},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := logins(policytest.NewUpstream(t, step), newShelf())
			s.ClientID, s.ClientSecret = value(canary), value(canary)
			secret := auth.Code{Code: auth.NewSecret(canary), Verifier: auth.NewSecret(canary)}
			p, err := newOAuth2(t, s).Redeem(t.Context(), secret)
			for _, thing := range []any{p, err, secret} {
				if out := fmt.Sprintf("%v %+v %#v", thing, thing, thing); leaks(out) {
					t.Errorf("%s: %s", name, out)
				}
			}
		})
	}
}

// A client that signs shows who it is by its key at a login, too; one whose key is none
// is told so.
func TestCodeIsExchangedByAClientThatSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1))
		key := canary
		s := logins(up, newShelf())
		s.ClientSecret, s.ClientAuth = nil, "private_key_jwt"
		s.Signing = auth.Signing{PrivateKey: func() (string, error) { return key, nil }, NewID: counted()}
		o := newOAuth2(t, s)
		if _, err := o.Redeem(t.Context(), code); err == nil || err.Error() != `oauth2: the private key is not a PEM private key, which begins with "-----BEGIN PRIVATE KEY-----"` {
			t.Errorf("with a key that is none: %v", err)
		}
		key = pkcs8(edKey())
		if pair, err := o.Redeem(t.Context(), code); err != nil || pair.Refresh.Reveal() != "refresh-0001" {
			t.Errorf("got %v", err)
		}
		form := members(t, up.Requests()[0])
		a := parseAssertion(t, form["client_assertion"])
		a.verify(t, edKey().Public())
		if a.claims["sub"] != "the-client" || form["client_id"] != "the-client" || form["code"] != "the-code" || form["grant_type"] != "authorization_code" {
			t.Errorf("sent %v, signed %v", form, a.claims)
		}
	})
}
