package policy_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/policytest"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A mirror is a provider that repeats the credential of a request wherever it can:
// in an informational response, in the header, in Location, and in the trailers.
func mirror(t *testing.T) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		echo := func() http.Header {
			all := fmt.Sprint(r.Header) + r.URL.RawQuery
			return http.Header{
				"X-Echo": {"first", all}, "Location": {"/next?" + r.URL.RawQuery + "&auth=" + url.QueryEscape(r.Header.Get("Authorization"))},
			}
		}
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
			if err := trace.Got1xxResponse(http.StatusEarlyHints, textproto.MIMEHeader(echo())); err != nil {
				return nil, err
			}
		}
		body := r.Header.Get("Authorization")
		return policytest.NewUpstream(t, policytest.Step{Header: echo(), Trailer: echo(), Body: "body " + body}).RoundTrip(r)
	})
}

// informed is a client that is told of informational responses.
type informed func(code int, header textproto.MIMEHeader) error

func (f informed) Inform(code int, header textproto.MIMEHeader) error { return f(code, header) }

// TestCredentialDoesNotComeBack sends every kind of credential to a provider that
// repeats it.
func TestCredentialDoesNotComeBack(t *testing.T) {
	const key, standIn = "secret-of-KEY", "outrider-placeholder-api"
	encoded := base64.StdEncoding.EncodeToString
	forms := []string{key, encoded([]byte("user:" + key)), encoded([]byte("secret-of-USER:")), encoded([]byte(key + ":")), "secret-of-USER"}
	for _, auth := range []string{
		`{ type = "bearer", token = "env:KEY" }`,
		`{ type = "basic", username = "user", password = "env:KEY" }`,
		`{ type = "basic", username = "env:USER", password = "" }`,
		`{ type = "header", name = "X-Key", prefix = "Key ", value = "env:KEY" }`,
		`{ type = "query", name = "key", value = "env:KEY" }`,
		`{ type = "placeholder", value = "env:KEY" }`,
	} {
		for _, authorization := range []string{"Bearer " + standIn, "Basic " + encoded([]byte("user:"+standIn)), "Basic " + encoded([]byte(standIn+":"))} {
			r := newRig(t, mirror(t))
			r.env.Secret = literal(r.env.Secret)
			set := r.compile(plain+"auth = "+auth, nil)
			u, _ := set.ByName("api")
			var early textproto.MIMEHeader
			req := policytest.NewRequest(t, "GET", "https://api.test/x?key="+standIn, "")
			req.Header.Set("Authorization", authorization)
			req = req.WithContext(policy.WithCall(req.Context(), &policy.Call{
				Informer: informed(func(_ int, header textproto.MIMEHeader) error { early = header; return nil }),
			}))
			answer := policytest.Do(u.Plan("GET", "/x"), req)
			if answer.Err != nil {
				t.Fatal(answer.Err)
			}
			for where, header := range map[string]http.Header{"header": answer.Header, "trailer": answer.Trailer, "103": http.Header(early)} {
				shown := fmt.Sprint(header)
				if len(header) != 2 || header["X-Echo"][0] != "first" || !strings.Contains(shown, standIn) {
					t.Errorf("%s with %s: %s says %s", auth, authorization, where, shown)
				}
				for _, form := range forms {
					if strings.Contains(shown, form) {
						t.Errorf("%s with %s: %s shows %q: %s", auth, authorization, where, form, shown)
					}
				}
			}
		}
	}
}

// literal lets a reference be its own value.
func literal[R ~string](secret func(R) (string, error)) func(R) (string, error) {
	return func(ref R) (string, error) {
		if ref == "user" {
			return "user", nil
		}
		return secret(ref)
	}
}

// TestPlaceholderIsFilledInByTheNameOfItsUpstream, and spends from one quota.
func TestPlaceholderIsFilledInByTheNameOfItsUpstream(t *testing.T) {
	upstream := policytest.NewUpstream(t, policytest.Step{Times: -1})
	set := newRig(t, upstream).compile(plain+`
auth  = { type = "placeholder", value = "env:KEY" }
limit = { rate = "100/s", burst = 10 }`, nil)
	u, _ := set.ByName("api")
	send := func(authorization string) {
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.Header.Set("Authorization", authorization)
		policytest.Do(u.Plan("GET", "/x"), req)
	}
	send("token outrider-placeholder-api")
	send("token outrider-placeholder-api2")
	requests := upstream.Requests()
	if got := requests[0].Header.Get("Authorization"); got != "token secret-of-KEY" {
		t.Errorf("sent %q", got)
	}
	if got := requests[1].Header.Get("Authorization"); got != "token outrider-placeholder-api2" {
		t.Errorf("sent %q", got)
	}
	if quotas := set.Status()[0].Quotas; len(quotas) != 1 || u.Plans()[0].Credential != "default" {
		t.Errorf("quotas %+v of credential %q", quotas, u.Plans()[0].Credential)
	}
}
