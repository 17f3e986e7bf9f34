package auth_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// installed are the settings of an app that acts as its installation 42.
func installed(api *policytest.Upstream, key string) auth.OAuth2Settings {
	s := settings(api, newShelf())
	s.Grant, s.TokenURL, s.ClientSecret, s.RefreshToken = auth.GitHubApp, "https://api.github.test", nil, nil
	s.ClientID, s.Signing = value("1234"), auth.Signing{PrivateKey: value(key)}
	s.Installation = auth.Installation{ID: value("42")}
	return s
}

// installation is GitHub's answer with the n-th token, for an hour.
func installation(n int) policytest.Step {
	return policytest.Step{Status: 201, Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}, "Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"token":"access-%04d","expires_at":%q,"permissions":{"contents":"read"}}`, n, expiry(n))}
}

// expiry is an hour after the n-th token of a script: the third comes when the second
// has ended.
func expiry(n int) string {
	at := time.Now().Add(time.Hour)
	if n > 2 {
		at = at.Add(time.Hour)
	}
	return at.UTC().Format(time.RFC3339)
}

func TestAppAsksAsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, installation(1), installation(2))
		o := newOAuth2(t, installed(up, pkcs8(rsaKey())))
		wantToken(t, o, 1)
		if st := o.Status(); st.Expires.Sub(st.Obtained) != time.Hour {
			t.Errorf("status %+v", st)
		}
		s := installed(up, pkcs8(rsaKey()))
		s.TokenURL = "https://ghe.test/api/v3/"
		s.Installation.Repositories, s.Installation.Permissions = []string{"site"}, map[string]string{"contents": "read"}
		wantToken(t, newOAuth2(t, s), 2)

		all, next := up.Requests()[0], up.Requests()[1]
		if all.Method != "POST" || all.Host != "api.github.test" || all.Target != "/app/installations/42/access_tokens" || all.Body != "" ||
			all.Header.Get("Accept") != "application/vnd.github+json" || all.Header.Get("Content-Type") != "" {
			t.Errorf("sent %+v", all)
		}
		if next.Host != "ghe.test" || next.Target != "/api/v3/app/installations/42/access_tokens" ||
			next.Body != `{"repositories":["site"],"permissions":{"contents":"read"}}` || next.Header.Get("Content-Type") != "application/json" {
			t.Errorf("sent %+v", next)
		}
		a := parseAssertion(t, strings.TrimPrefix(all.Header.Get("Authorization"), "Bearer "))
		a.verify(t, rsaKey().Public())
		now := float64(time.Now().Unix())
		if want := (map[string]any{"iss": "1234", "iat": now - 60, "exp": now + 540}); !reflect.DeepEqual(a.claims, want) || a.header["alg"] != "RS256" {
			t.Errorf("claims %v, want %v", a.claims, want)
		}
	})
}

func TestAppThatIsNotAccepted(t *testing.T) {
	for status, want := range map[int]string{
		401: "status 401: GitHub does not accept the app's assertion: look at app_id, private_key, and the clock",
		403: "status 403: the installation may not have a token: it was suspended",
		404: "status 404: this app has no such installation: look at installation_id, app_id, api_url",
		422: "status 422: the installation does not have what is asked for: look at repositories and permissions",
		418: "status 418: GitHub does not accept the configuration",
	} {
		synctest.Test(t, func(t *testing.T) {
			up := policytest.NewUpstream(t, policytest.Step{Status: status, Body: `{"message":"` + canary + `","status":"404"}`})
			o := newOAuth2(t, installed(up, pkcs8(rsaKey())))
			wantNone(t, o, "asking api.github.test: "+want, 30*time.Second)
			if err := o.Status().Err; leaks(err.Error()) {
				t.Error(err)
			}
		})
	}
}

// GitHub says 403 also to who asks too often: then nothing is wrong with the app.
func TestThrottledAppIsNotMisset(t *testing.T) {
	for header, wait := range map[string]time.Duration{"Retry-After": 30 * time.Second, "X-Ratelimit-Remaining": 500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			value := "0"
			if header == "Retry-After" {
				value = "30"
			}
			up := policytest.NewUpstream(t, policytest.Step{Status: 403, Header: http.Header{header: {value}}, Body: `{}`}, installation(1))
			s := installed(up, pkcs8(rsaKey()))
			s.Jitter = policytest.Jitter(0.5)
			o := newOAuth2(t, s)
			wantNone(t, o, "asking api.github.test: status 403", wait)
			if err := o.Status().Err; strings.Contains(err.Error(), "suspended") {
				t.Error(err)
			}
			time.Sleep(wait)
			wantToken(t, o, 1)
		})
	}
}

// The id is part of a path: it must not lead elsewhere.
func TestInstallationIsANumber(t *testing.T) {
	for _, id := range []string{"", "42/../../x", "acme?x"} {
		synctest.Test(t, func(t *testing.T) {
			s := installed(policytest.NewUpstream(t), pkcs8(rsaKey()))
			s.Installation.ID = value(id)
			wantNone(t, newOAuth2(t, s), "the installation id must be a number", 30*time.Second)
		})
	}
	s := installed(policytest.NewUpstream(t), pkcs8(rsaKey()))
	s.Installation.ID = nil
	if _, err := auth.NewOAuth2(s); err == nil || !strings.Contains(err.Error(), "needs an installation id") {
		t.Error(err)
	}
}
