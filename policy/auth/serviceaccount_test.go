package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// keyFile is the JSON of a service account's key, with some members changed; nil takes
// one away.
func keyFile(t testing.TB, change map[string]any) string {
	t.Helper()
	file := map[string]any{
		"type": "service_account", "project_id": "acme", "client_email": "robot@acme.iam.gserviceaccount.com", "client_id": "1",
		"private_key": pkcs8(rsaKey()), "private_key_id": "key-1", "token_uri": "https://login.test/token",
	}
	maps.Copy(file, change)
	maps.DeleteFunc(file, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(file)))
}

// accounted are the settings of a service account.
func accounted(t testing.TB, endpoint *policytest.Upstream, text string) auth.OAuth2Settings {
	t.Helper()
	s := asserting(endpoint, "")
	s.Signing.PrivateKey, s.Scopes = nil, []string{"storage"}
	s.Assertion = auth.Assertion{Account: func() (auth.ServiceAccount, error) { return auth.ReadServiceAccount(text) }}
	return s
}

func TestServiceAccountSignsAsItsKeySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), issued(2))
		wantToken(t, newOAuth2(t, accounted(t, up, keyFile(t, nil))), 1)
		s := accounted(t, up, keyFile(t, map[string]any{"private_key_id": nil}))
		s.Assertion.Subject = value("someone@acme.com")
		wantToken(t, newOAuth2(t, s), 2)
		now := float64(time.Now().Unix())
		claims := map[string]any{
			"iss": "robot@acme.iam.gserviceaccount.com", "aud": "https://login.test/token", "scope": "storage", "jti": "id-1", "iat": now - 60, "exp": now + 120,
		}
		a := parseAssertion(t, forms(up)[0].Get("assertion"))
		a.verify(t, rsaKey().Public())
		if !reflect.DeepEqual(a.claims, claims) || a.header["kid"] != "key-1" {
			t.Errorf("claims %v, want %v; header %v", a.claims, claims, a.header)
		}
		claims["sub"] = "someone@acme.com"
		if a = parseAssertion(t, forms(up)[1].Get("assertion")); !reflect.DeepEqual(a.claims, claims) || a.header["kid"] != nil {
			t.Errorf("claims %v, want %v; header %v", a.claims, claims, a.header)
		}
	})
}

// Cloud Run and IAP take an ID token, which ends when it says so itself.
func TestIDTokenForAnAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idToken := unsigned(time.Now().Add(time.Hour))
		up := policytest.NewUpstream(t, policytest.Step{Body: `{"id_token":"` + idToken + `"}`}, policytest.Step{Body: `{"access_token":"access-0001"}`})
		s := accounted(t, up, keyFile(t, nil))
		s.Scopes, s.Assertion.TargetAudience = nil, "https://run.test"
		o := newOAuth2(t, s)
		token, err := o.Token(t.Context(), auth.Token{})
		if err != nil || token.Value.Reveal() != "Bearer "+idToken {
			t.Fatalf("got %q, %v", token.Value.Reveal(), err)
		}
		if st := o.Status(); st.Expires.Sub(st.Obtained) != time.Hour {
			t.Errorf("status %+v", st)
		}
		if a := parseAssertion(t, forms(up)[0].Get("assertion")); a.claims["target_audience"] != "https://run.test" || a.claims["scope"] != nil {
			t.Errorf("claims %v", a.claims)
		}
		time.Sleep(time.Hour)
		wantNone(t, o, "no access token", 0)
	})
}

// unsigned is a JWT that ends at an instant.
func unsigned(end time.Time) string {
	claims := must(json.Marshal(map[string]int64{"exp": end.Unix()}))
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
}

func TestKeyFileThatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), issued(2))
		var account auth.ServiceAccount
		err := errors.New("names another token_uri")
		s := accounted(t, up, "")
		s.Assertion.Account = func() (auth.ServiceAccount, error) { return account, err }
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		wantNone(t, o, "oauth2: reading the key of the service account: names another token_uri", 500*time.Millisecond)
		account, err = auth.ReadServiceAccount(keyFile(t, nil))
		time.Sleep(500 * time.Millisecond)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		account, err = auth.ReadServiceAccount(keyFile(t, map[string]any{"private_key": pkcs8(otherRSA()), "private_key_id": "key-2"}))
		wantToken(t, o, 2)
		a := parseAssertion(t, forms(up)[1].Get("assertion"))
		if a.verify(t, otherRSA().Public()); a.header["kid"] != "key-2" {
			t.Errorf("header %v", a.header)
		}
	})
}

func TestKeyFileThatIsNone(t *testing.T) {
	for want, text := range map[string]string{
		"is not the JSON of a service account's key": canary,
		`is of another type than "service_account"`:  keyFile(t, map[string]any{"type": canary}),
		"has no client_email":                        keyFile(t, map[string]any{"client_email": nil}),
		"has no private_key":                         keyFile(t, map[string]any{"private_key": nil}),
		"has a private_key that is not a PEM":        keyFile(t, map[string]any{"private_key": canary}),
		"has a token_uri that is not https":          keyFile(t, map[string]any{"token_uri": "http://" + canary}),
		"has a token_uri that is not https://":       keyFile(t, map[string]any{"token_uri": "https://u:p@" + canary}),
	} {
		if account, err := auth.ReadServiceAccount(text); err == nil || !strings.HasPrefix(err.Error(), want) || leaks(err.Error()) || account != (auth.ServiceAccount{}) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	account, err := auth.ReadServiceAccount(keyFile(t, map[string]any{"token_uri": nil, "type": nil}))
	if err != nil || account.TokenURL != "https://oauth2.googleapis.com/token" {
		t.Errorf("without token_uri: %q, %v", account.TokenURL, err)
	}
}

func FuzzServiceAccount(f *testing.F) {
	f.Add([]byte(keyFile(f, nil)))
	f.Add([]byte(`{"type":"authorized_user"}`))
	f.Add([]byte(`{"client_email":"a","private_key":"-----BEGIN PRIVATE KEY-----\n"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		account, err := auth.ReadServiceAccount(string(text))
		if err == nil && (account.Email == "" || !strings.HasPrefix(account.TokenURL, "https://")) {
			t.Errorf("taken: %q at %q", account.Email, account.TokenURL)
		}
	})
}
