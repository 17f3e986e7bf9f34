package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const deviceURL = "https://login.test/device"

// deviceAnswer is a code that lives for a minute, and is asked for every second.
var deviceAnswer = policytest.Step{Body: `{"device_code":"canary-device","user_code":"WDJB-MJHT","verification_uri":"https://login.test/","verification_uri_complete":"https://login.test/?c=WDJB-MJHT","expires_in":60,"interval":1}`}

func polled(code string) policytest.Step {
	return policytest.Step{Status: 400, Body: `{"error":"` + code + `"}`}
}

func startDevice(t *testing.T, o *auth.OAuth2) auth.DeviceCode {
	t.Helper()
	d, err := o.Device(t.Context(), deviceURL, map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The pace that an endpoint asks for is none that trouble makes faster.
func TestTroubleOfADeviceEndpointMakesNoQuestionEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowly := policytest.Step{Body: `{"device_code":"d","user_code":"c","verification_uri":"https://login.test/","interval":90}`}
		o := newOAuth2(t, logins(policytest.NewUpstream(t, slowly, policytest.Step{Status: 503}, issued(1)), newShelf()))
		d, begun := startDevice(t, o), time.Now()
		if _, err := o.Await(t.Context(), d); err != nil || time.Since(begun) != 180*time.Second {
			t.Errorf("took %v, %v", time.Since(begun), err)
		}
	})
}

// Each question comes when it is due: RFC 8628 §3.5.
func TestDeviceAsksAsOftenAsItMay(t *testing.T) {
	for name, c := range map[string]struct {
		steps []policytest.Step
		took  time.Duration
		want  string // in the error; "": it gets tokens
	}{
		"at once":             {[]policytest.Step{issued(1)}, time.Second, ""},
		"pending":             {[]policytest.Step{polled("authorization_pending"), polled("authorization_pending"), issued(1)}, 3 * time.Second, ""},
		"slow down":           {[]policytest.Step{polled("slow_down"), polled("authorization_pending"), issued(1)}, 13 * time.Second, ""},
		"GitHub's status 200": {[]policytest.Step{{Body: `{"error":"authorization_pending"}`}, issued(1)}, 2 * time.Second, ""},
		"Google's status 428": {[]policytest.Step{{Status: 428, Body: `{"error":"authorization_pending"}`}, issued(1)}, 2 * time.Second, ""},
		"an endpoint that is not well": {[]policytest.Step{{Status: 503}, {Status: 429, Header: http.Header{"Retry-After": {"7"}}}, issued(1)},
			10 * time.Second, ""},
		"a connection that is reset": {[]policytest.Step{{Times: 2, Err: io.EOF}, issued(1)}, 3 * time.Second, ""},
		"refused":                    {[]policytest.Step{polled("access_denied")}, time.Second, "access_denied: access was refused"},
		"declined":                   {[]policytest.Step{polled("authorization_declined")}, time.Second, "authorization_declined: access was refused"},
		"expired there":              {[]policytest.Step{polled("expired_token")}, time.Second, "expired_token: nobody entered the code in time: log in again"},
		"expired here":               {[]policytest.Step{{Times: -1, Status: 400, Body: `{"error":"authorization_pending"}`}}, time.Minute, "nobody entered the code in time: log in again"},
		"another client":             {[]policytest.Step{polled("invalid_grant")}, time.Second, "invalid_grant: the code was used before"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := policytest.NewUpstream(t, append([]policytest.Step{deviceAnswer}, c.steps...)...)
				o := newOAuth2(t, logins(up, newShelf()))
				d := startDevice(t, o)
				begun := time.Now()
				p, err := o.Await(t.Context(), d)
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.want == "" && (err != nil || p.Access.Reveal() != "access-0001" || p.Refresh.Reveal() != "refresh-0001") {
					t.Errorf("got %v, %v", p, err)
				}
				if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got error %v, want %q", err, c.want)
				}
				asked := members(t, up.Requests()[1])
				if asked["grant_type"] != "urn:ietf:params:oauth:grant-type:device_code" || asked["device_code"] != "canary-device" {
					t.Errorf("asked %v", asked)
				}
			})
		})
	}
}

func TestDeviceCodeIsAskedForAsTheClientIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: `{"error":"invalid_client"}`}, deviceAnswer, issued(1))
		s := logins(up, newShelf())
		s.Scopes, s.Audience = []string{"read", "write"}, "api"
		o := newOAuth2(t, s)
		d := startDevice(t, o)
		if d.UserCode != "WDJB-MJHT" || d.URL != "https://login.test/" || d.CompleteURL != "https://login.test/?c=WDJB-MJHT" || time.Until(d.Expires) != time.Minute {
			t.Errorf("got %+v", d)
		}
		if _, err := o.Await(t.Context(), d); err != nil {
			t.Error(err)
		}
		first, second, third := up.Requests()[0], up.Requests()[1], up.Requests()[2]
		if got := members(t, first); got["client_id"] != "the-client" || got["scope"] != "read write" || got["audience"] != "api" || got["tenant"] != "a" || first.Header.Get("Authorization") == "" {
			t.Errorf("asked first %v", got)
		}
		if got := members(t, second); got["client_secret"] != "the-secret" || second.Header.Get("Authorization") != "" {
			t.Errorf("asked then %v", got)
		}
		if got := members(t, third); got["client_secret"] != "the-secret" { // what was accepted once goes on
			t.Errorf("asked for the token with %v", got)
		}
	})
}

func TestDeviceAnswerThatIsOfNoUse(t *testing.T) {
	for body, want := range map[string]string{
		`{"device_code":"a","user_code":"b"}`:                                                   "lacks device_code, user_code or verification_uri",
		`{"device_code":"a","user_code":"b\u001b[2J","verification_uri":"https://login.test/"}`: "cannot be shown",
		`{"device_code":"a","user_code":"b","verification_uri":"javascript:alert(1)"}`:          "cannot be shown",
		`{"device_code":"a","user_code":"b","verification_uri":"https://l.test/\u202e"}`:        "cannot be shown",
		`<html>`:                          "not JSON",
		`{"error":"unauthorized_client"}`: "login.test: unauthorized_client: the token endpoint does not accept the configuration",
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOAuth2(t, logins(policytest.NewUpstream(t, policytest.Step{Body: body}), newShelf()))
			if d, err := o.Device(t.Context(), deviceURL, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %+v, %v, want %q", body, d, err, want)
			}
		})
	}
}

// Google names the page otherwise, and may leave the times out.
func TestDeviceAnswerOfGoogle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Body: `{"device_code":"a","user_code":"b","verification_url":"https://login.test/device"}`}, issued(1))
		o := newOAuth2(t, logins(up, newShelf()))
		d := startDevice(t, o)
		begun := time.Now()
		if _, err := o.Await(t.Context(), d); err != nil || d.URL != "https://login.test/device" || time.Since(begun) != 5*time.Second {
			t.Errorf("got %+v, %v, after %v", d, err, time.Since(begun))
		}
	})
}

func TestDeviceIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, deviceAnswer, polled("authorization_pending"), policytest.Step{Hang: true})
		o := newOAuth2(t, logins(up, newShelf()))
		d := startDevice(t, o)
		left := errors.New("left")
		ctx, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(2500*time.Millisecond, func() { leave(left) })
		begun := time.Now()
		if _, err := o.Await(ctx, d); !errors.Is(err, left) || time.Since(begun) != 2500*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		if out := fmt.Sprintf("%v %+v %#v", d, d, d); strings.Contains(out, "canary") {
			t.Errorf("it shows %s", out)
		}
	})
}
