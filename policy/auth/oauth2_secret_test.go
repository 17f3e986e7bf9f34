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
			})
		})
	}
}
