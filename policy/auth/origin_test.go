package auth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// at sends a request to a host with the credential of a source.
func at(t *testing.T, src auth.Source, up *policytest.Upstream, origin string) error {
	t.Helper()
	next := auth.Wrap(src, nil)
	if last := auth.WrapLast(src, nil); last != nil {
		next = func(below http.RoundTripper) http.RoundTripper { return auth.Wrap(src, nil)(last(below)) }
	}
	return policytest.Do(next(up), policytest.NewRequest(t, "GET", origin+"/outrider-placeholder-crm", "")).Err
}

// A credential that belongs to one place goes to no other, of whatever kind it is: not to
// another host, port or scheme.
func TestCredentialStaysAtItsOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const home = "https://acme.test"
		value := func() (string, error) { return "canary-1", nil }
		sources := map[string]auth.Source{}
		for _, kind := range []string{auth.Bearer, auth.Basic, auth.Header, auth.Query, auth.Placeholder} {
			s := auth.Settings{Type: kind, Value: value, Origin: home, Placeholder: "outrider-placeholder-crm"}
			if kind == auth.Header || kind == auth.Query {
				s.Name = "key"
			}
			src, err := auth.New(s)
			if err != nil {
				t.Fatal(err)
			}
			sources[kind] = src
		}
		signs, err := auth.NewSigV4(auth.SigV4Settings{AccessKeyID: value, SecretAccessKey: value, Scope: auth.Scope{Region: "r", Service: "s"}, Origin: home})
		if err != nil {
			t.Fatal(err)
		}
		sources["sigv4"] = signs
		kept := newShelf()
		introduce(t, kept, auth.Pair{Access: auth.NewSecret("canary-1"), Origin: home})
		fetched := newOAuth2(t, keptOnly(policytest.NewUpstream(t), kept))
		if _, err := fetched.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		sources["oauth2"] = fetched
		shelf := newShelf()
		if err := auth.IntroduceStatic(t.Context(), shelf, auth.Static{Value: auth.NewSecret("canary-1"), Origin: home}); err != nil {
			t.Fatal(err)
		}
		key, err := auth.NewKept(auth.Settings{Type: auth.Bearer}, shelf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		sources["kept"] = key

		for kind, src := range sources {
			up := policytest.NewUpstream(t, policytest.Step{Times: -1})
			for _, other := range []string{"https://evil.test", "http://acme.test", "https://acme.test:8443", "https://acme.test.evil.test"} {
				var none *auth.UnavailableError
				if err := at(t, src, up, other); !errors.As(err, &none) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s at %s: %v", kind, other, err)
				}
			}
			if n := len(up.Requests()); n != 0 {
				t.Errorf("%s: %d requests went out", kind, n)
			}
			if err := at(t, src, up, home); err != nil || len(up.Requests()) != 1 {
				t.Errorf("%s at its origin: %v", kind, err)
			}
			if has, ok := src.(interface{ Origin() string }); !ok || has.Origin() != home {
				t.Errorf("%s does not tell its origin", kind)
			}
		}
	})
}

// A refresh token that is rescued from an answer without a token of use keeps the place
// where it belongs, and takes no access token there that belongs to another.
func TestRescuedRefreshTokenStaysAtItsOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unusable := policytest.Step{Header: http.Header{"Content-Type": {"application/json"}},
			Body: `{"access_token":"access-9999","token_type":"mac","refresh_token":"rescued-1"}`}
		up, kept := policytest.NewUpstream(t, unusable), newShelf()
		first := login("access-0001", "handed-1")
		first.Origin = "https://old.test"
		introduce(t, kept, first)
		o := newOAuth2(t, keptOnly(up, kept))
		wantToken(t, o, 1)
		time.Sleep(55 * time.Minute) // it lives, and is refreshed ahead of time
		introduce(t, kept, auth.Pair{Refresh: auth.NewSecret("handed-2"), Origin: "https://new.test"})
		wantToken(t, o, 1)
		synctest.Wait()
		wantSent(t, up, "handed-2")
		if text := kept.text(); !strings.Contains(text, "rescued-1") || !strings.Contains(text, "https://new.test") || strings.Contains(text, "access-0001") {
			t.Errorf("kept %s", text)
		}
	})
}
