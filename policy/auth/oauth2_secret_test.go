package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// Everything that is secret is the canary: what was configured, what came, what is
// kept, and what a provider and a transport repeat.
func TestOAuth2ShowsNoValue(t *testing.T) {
	quoted, _ := json.Marshal(canary)
	pair := fmt.Sprintf(`{"access_token":%s,"refresh_token":%s,"token_type":"bearer","expires_in":60}`, quoted, quoted)
	for name, step := range map[string]policytest.Step{
		"a pair":              {Body: pair},
		"a description":       {Status: 400, Body: fmt.Sprintf(`{"error":"invalid_grant","error_description":%s}`, quoted)},
		"a code":              {Status: 400, Body: fmt.Sprintf(`{"error":%s}`, quoted)},
		"a type":              {Body: fmt.Sprintf(`{"access_token":"a","token_type":%s}`, quoted)},
		"a location":          {Status: 307, Header: http.Header{"Location": {"https://login.test/" + canary}}},
		"half an answer":      {Body: pair[:40]},
		"the transport's own": {Err: errors.New(`malformed HTTP response "` + canary + `"`)},
		"a control character": {Body: fmt.Sprintf(`{"access_token":"\u0000%s"}`, canary)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newShelf()
				s := auth.OAuth2Settings{
					Grant: "refresh_token", TokenURL: "https://login.test/token",
					ClientID: value(canary), ClientSecret: value(canary), RefreshToken: value(canary),
					Params: map[string]string{"assertion": canary}, Keeper: k, RefreshShare: 0.5,
				}
				step.Times = -1
				up := policytest.NewUpstream(t, step)
				s.Transport = roundTripper(up.RoundTrip)
				var shown []any
				s.OnRefresh = func(e auth.RefreshEvent) { shown = append(shown, e, e.Err) }
				o := newOAuth2(t, s)
				shown = append(shown, s, &s, o)
				for range 3 {
					token, err := o.Token(t.Context(), auth.Token{})
					_, refused := o.Token(t.Context(), token)
					shown = append(shown, token, err, refused, o.Status(), o)
					k.set(errors.New("disk full"), nil)
					time.Sleep(time.Minute)
				}
				wantHidden(t, shown)
			})
		})
	}
}

// The same of what other grants show: tokens, claims, and keys that are none.
func TestGrantsThatShowSomethingShowNoValue(t *testing.T) {
	refused := policytest.Step{Times: -1, Status: 400, Body: `{"error":"invalid_grant","error_description":"` + canary + `"}`}
	for name, settings := range map[string]func(*policytest.Upstream) auth.OAuth2Settings{
		"jwt_bearer": func(up *policytest.Upstream) auth.OAuth2Settings {
			s := asserting(up, pkcs8(edKey()))
			s.Assertion.Claims = map[string]string{"pin": canary}
			return s
		},
		"a key that is none": func(up *policytest.Upstream) auth.OAuth2Settings { return asserting(up, canary) },
		"a certificate that is none": func(up *policytest.Upstream) auth.OAuth2Settings {
			s := asserting(up, pkcs8(edKey()))
			s.Signing.Certificate = value(canary)
			return s
		},
		"token_exchange": func(up *policytest.Upstream) auth.OAuth2Settings {
			s := exchanging(up)
			s.Exchange.SubjectToken, s.Exchange.ActorToken, s.Exchange.ActorTokenType = value(canary), value(canary), tokenType+"jwt"
			return s
		},
		"github_app": func(up *policytest.Upstream) auth.OAuth2Settings {
			s := installed(up, pkcs8(rsaKey()))
			s.Installation.ID = value(canary)
			return s
		},
		"service_account": func(up *policytest.Upstream) auth.OAuth2Settings { return accounted(t, up, canary) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := policytest.NewUpstream(t, refused)
				s := settings(up)
				s.Transport = roundTripper(up.RoundTrip) // which shows nothing of what it received
				var shown []any
				s.OnRefresh = func(e auth.RefreshEvent) { shown = append(shown, e, e.Err) }
				o := newOAuth2(t, s)
				token, err := o.Token(t.Context(), auth.Token{})
				if err == nil {
					t.Error("there is a token")
				}
				wantHidden(t, append(shown, s, &s, o, token, err, o.Status(), o.Status().Err))
			})
		})
	}
}

// wantHidden looks for the canary however a thing is printed.
func wantHidden(t *testing.T, shown []any) {
	t.Helper()
	for _, thing := range shown {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if out := fmt.Sprintf(verb, thing); leaks(out) {
				t.Errorf("%T with %s: %s", thing, verb, out)
			}
		}
		if out, err := json.Marshal(thing); err == nil && leaks(string(out)) {
			t.Errorf("%T as JSON: %s", thing, out)
		}
		if err, ok := thing.(error); ok {
			for ; err != nil; err = errors.Unwrap(err) {
				if leaks(err.Error()) || leaks(fmt.Sprintf("%+v %#v", err, err)) {
					t.Errorf("%T: %v", err, err)
				}
			}
		}
	}
}
