package auth_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// echoed sends a request to a provider that answers with header and trailers of
// what it got, and gives both answers: as the caller sees them.
func echoed(t *testing.T, s auth.Settings, h http.Header, echo func(*http.Request) http.Header) policytest.Answer {
	t.Helper()
	src, err := auth.New(s)
	if err != nil {
		t.Fatal(err)
	}
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
	req.Header = h
	return policytest.Do(auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
		fields := echo(r)
		return policytest.NewUpstream(t, policytest.Step{Header: fields, Trailer: fields, Body: "body " + fmt.Sprint(fields)}).RoundTrip(r)
	})), req)
}

func TestWhatAResponseEchoesIsScrubbed(t *testing.T) {
	const secret = "s3cr3t/+= is long"
	echo := func(r *http.Request) http.Header {
		return http.Header{
			"X-Echo":     {"one", "got " + r.Header.Get("Authorization") + r.Header.Get("X-Key") + " and " + secret + "!"},
			"Location":   {"https://api.test/y?a=1&" + r.URL.RawQuery + "&b=2"},
			"X-Path":     {url.PathEscape(secret), url.QueryEscape(secret), strings.ToLower(url.QueryEscape(secret)), "s3cr3t/%2b=%20is+lon%67"},
			"X-Innocent": {"s3cr3t", "100% +", standIn},
		}
	}
	authorization := func(v string) http.Header { return http.Header{"Authorization": {v}} }
	for name, c := range map[string]struct {
		set  auth.Settings
		sent http.Header
	}{
		"bearer": {auth.Settings{Type: auth.Bearer, Value: value(secret)}, nil},
		"basic":  {auth.Settings{Type: auth.Basic, Username: value("u"), Value: value(secret)}, nil},
		// As some providers want it: the key for a name, and anything for a password.
		"basic, key for a name": {auth.Settings{Type: auth.Basic, Username: value(secret), Value: value("X")}, nil},
		"basic, user alone":     {auth.Settings{Type: auth.Basic, Username: value(secret)}, nil},
		"header":                {auth.Settings{Type: auth.Header, Name: "X-Key", Prefix: "Token ", Value: value(secret)}, nil},
		"query":                 {auth.Settings{Type: auth.Query, Name: "key", Value: value(secret)}, nil},
		"placeholder":           {auth.Settings{Type: auth.Placeholder, Value: value(secret)}, authorization("Bearer " + standIn)},
		"placeholder in Basic":  {auth.Settings{Type: auth.Placeholder, Value: value(secret)}, authorization(basicOf(standIn + ":x"))},
	} {
		t.Run(name, func(t *testing.T) {
			c.set.Placeholder = standIn
			answer := echoed(t, c.set, c.sent, echo)
			for where, fields := range map[string]http.Header{"header": answer.Header, "trailer": answer.Trailer} {
				shown := fmt.Sprint(fields)
				for _, form := range []string{secret, "lon%67", url.PathEscape(secret), "s3cr3t%2", base64.StdEncoding.EncodeToString([]byte(secret))[:12],
					base64.StdEncoding.EncodeToString([]byte("u:" + secret))[:12]} {
					if strings.Contains(shown, form) {
						t.Errorf("%s shows %q: %s", where, form, shown)
					}
				}
				if v := fields["X-Path"]; len(v) != 4 || strings.Join(v, " ") != strings.Repeat(standIn+" ", 3)+standIn {
					t.Errorf("%s: %q", where, v)
				}
				if v := fields["X-Echo"]; v[0] != "one" || !strings.HasSuffix(v[1], " and "+standIn+"!") {
					t.Errorf("%s: %q", where, v)
				}
				if v := fields.Get("Location"); !strings.HasPrefix(v, "https://api.test/y?a=1&") || !strings.HasSuffix(v, "&b=2") {
					t.Errorf("%s: %q", where, v)
				}
				if v := fields["X-Innocent"]; strings.Join(v, "|") != "s3cr3t|100% +|"+standIn {
					t.Errorf("%s: %q", where, v)
				}
			}
			if !strings.Contains(answer.Body, secret) {
				t.Errorf("the body was changed: %s", answer.Body)
			}
		})
	}
}

// The text of a status goes to the client as the provider chose it, and so must not show it.
func TestReasonThatEchoesIsScrubbed(t *testing.T) {
	src, err := auth.New(auth.Settings{Type: auth.Bearer, Value: value("a-long-secret"), Placeholder: standIn})
	if err != nil {
		t.Fatal(err)
	}
	for sent, want := range map[string]string{
		"401 no a-long-secret here": "401 no " + standIn + " here",
		"403 a-long":                "403 a-long",
		"404 Not Found at all":      "404 Not Found at all",
	} {
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		resp, err := auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{Status: sent, StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})).RoundTrip(req)
		if err != nil || resp.Status != want {
			t.Errorf("%q: %q %v", sent, resp.Status, err)
		}
	}
}

// TestBlobOfBasicReadsAsThePlaceholder, whichever way it went out.
func TestBlobOfBasicReadsAsThePlaceholder(t *testing.T) {
	for _, s := range []auth.Settings{
		{Type: auth.Basic, Username: value("user"), Value: value("password")},
		{Type: auth.Placeholder, Value: value("password")},
	} {
		s.Placeholder = standIn
		answer := echoed(t, s, http.Header{"Authorization": {basicOf("user:" + standIn)}}, func(r *http.Request) http.Header {
			return http.Header{"X-Echo": r.Header["Authorization"]}
		})
		if v := answer.Header.Get("X-Echo"); v != "Basic "+standIn {
			t.Errorf("%s: %q", s.Type, v)
		}
	}
}

// TestSecretWithAPercentOfItsOwn is found as it is and encoded.
func TestSecretWithAPercentOfItsOwn(t *testing.T) {
	answer := echoed(t, auth.Settings{Type: auth.Bearer, Value: value("%25-secret"), Placeholder: standIn}, nil, func(*http.Request) http.Header {
		return http.Header{"X-Echo": {"a%2F%25-secret", "a%2F%2525-secret"}}
	})
	if v := answer.Header["X-Echo"]; v[0] != "a%2F"+standIn || v[1] != "a%2F"+standIn {
		t.Errorf("%q", v)
	}
}

// TestShortSecretsAreNotLookedFor: they would be found by chance.
func TestShortSecretsAreNotLookedFor(t *testing.T) {
	answer := echoed(t, auth.Settings{Type: auth.Bearer, Value: value("1234567"), Placeholder: standIn}, nil, func(*http.Request) http.Header {
		return http.Header{"X-Request-Id": {"a-1234567-b"}}
	})
	if v := answer.Header.Get("X-Request-Id"); v != "a-1234567-b" {
		t.Errorf("%q", v)
	}
}

// TestResponseThatIsSharedIsNotWrittenTo: only the response's own map is.
func TestResponseThatIsSharedIsNotWrittenTo(t *testing.T) {
	values := []string{"a", "long-secret"}
	answer := echoed(t, auth.Settings{Type: auth.Bearer, Value: value("long-secret")}, nil, func(*http.Request) http.Header {
		return http.Header{"X-Echo": values}
	})
	if values[1] != "long-secret" || answer.Header["X-Echo"][1] != "REDACTED" || answer.Trailer["X-Echo"][1] != "REDACTED" {
		t.Errorf("%q, %q", values, answer.Header)
	}
}

// TestUpgradedConnectionIsHandedOn: a 101 is scrubbed, its connection stays one.
func TestUpgradedConnectionIsHandedOn(t *testing.T) {
	src, _ := auth.New(auth.Settings{Type: auth.Bearer, Value: value("long-secret")})
	upstream := policytest.NewUpstream(t, policytest.Step{Header: http.Header{"X-Echo": {"long-secret"}}, Upgrade: func(policytest.Conn) {}})
	resp, err := auth.Wrap(src, nil)(upstream).RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/x", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, ok := resp.Body.(io.ReadWriteCloser); !ok || resp.Header.Get("X-Echo") != "REDACTED" {
		t.Errorf("%T, %q", resp.Body, resp.Header)
	}
}

// TestGuardIsToldBeforeTheRequest, for informational responses.
func TestGuardIsToldBeforeTheRequest(t *testing.T) {
	var guard *auth.Guard
	src, _ := auth.New(auth.Settings{Type: auth.Bearer, Value: value("long-secret"), Placeholder: standIn})
	auth.Wrap(src, func(_ context.Context, g *auth.Guard) { guard = g })(roundTripper(func(*http.Request) (*http.Response, error) {
		h := http.Header{"Link": {"</x?t=long-secret>"}}
		guard.Scrub(h)
		if h.Get("Link") != "</x?t="+standIn+">" {
			t.Errorf("%q", h)
		}
		return nil, io.EOF
	})).RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/x", ""))
	if leaks(fmt.Sprintf("%v %+v %#v", guard, guard, guard)) || strings.Contains(fmt.Sprintf("%v %+v %#v", guard, guard, guard), "long-secret") {
		t.Errorf("the guard shows what it guards: %+v", guard)
	}
}

// FuzzScrub: no value shows the secret, raw or decoded, and one without it stays.
func FuzzScrub(f *testing.F) {
	f.Add("a s3cr3t+/=y b")
	f.Add("%73%33cr3t+/%3dy%25 s3cr3t%2B%2F=y")
	f.Add("%%%s3cr3t+/=%3D")
	const secret = "s3cr3t+/=y"
	src, _ := auth.New(auth.Settings{Type: auth.Bearer, Value: value(secret), Placeholder: standIn})
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{"X": {text}}
		resp := &http.Response{StatusCode: 200, Header: h, Body: http.NoBody}
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		if _, err := auth.Wrap(src, nil)(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })).RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		clean := h.Get("X")
		decoded, err := url.PathUnescape(clean)
		if strings.Contains(clean, secret) || err == nil && strings.Contains(decoded, secret) {
			t.Errorf("%q became %q", text, clean)
		}
		if before, err := url.PathUnescape(text); err == nil && !strings.Contains(before, secret) && !strings.Contains(text, secret) && clean != text {
			t.Errorf("%q became %q for nothing", text, clean)
		}
	})
}

// TestAHeaderFullOfSecretsIsScrubbedInOnePass: a megabyte of them, which an upstream
// may well send, was copied and searched anew for each, and held a processor for
// half a minute.
func TestAHeaderFullOfSecretsIsScrubbedInOnePass(t *testing.T) {
	const secret = "sk_live_0123456789"
	for _, form := range []string{secret, "sk%5Flive_0123456789", "sk%5Flive_0123456789 " + secret} {
		const n = 20_000
		start := time.Now()
		answer := echoed(t, auth.Settings{Type: auth.Bearer, Value: value(secret), Placeholder: standIn}, nil, func(*http.Request) http.Header {
			return http.Header{"X-Echo": {strings.Repeat(form+" ", n)}}
		})
		want := strings.Repeat(strings.ReplaceAll(strings.ReplaceAll(form, "%5F", "_"), secret, standIn)+" ", n)
		if answer.Header.Get("X-Echo") != want || answer.Trailer.Get("X-Echo") != want {
			t.Errorf("%q is not replaced everywhere, or not only that", form)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q: it took %s", form, took)
		}
	}
}

// TestNameBesideAPasswordIsNotTakenOut: an account's identifier stands in the URLs of
// its provider, and those have to lead somewhere.
func TestNameBesideAPasswordIsNotTakenOut(t *testing.T) {
	answer := echoed(t, auth.Settings{Type: auth.Basic, Username: value("AC0123456789"), Value: value("long-secret"), Placeholder: standIn}, nil, func(*http.Request) http.Header {
		return http.Header{"Location": {"/Accounts/AC0123456789/Calls?t=long-secret"}}
	})
	if v := answer.Header.Get("Location"); v != "/Accounts/AC0123456789/Calls?t="+standIn {
		t.Errorf("%q", v)
	}
}

// Nothing can come behind the body of an answer of HTTP/1 that says how long it is. Behind
// others there may be trailers, announced or not.
func TestBodyIsWatchedWhereTrailersMayComeBehindIt(t *testing.T) {
	const secret = "s3cr3t that is long"
	for name, c := range map[string]struct {
		resp    http.Response
		watched bool
	}{
		"HTTP/1, with a length":                   {http.Response{ProtoMajor: 1, ContentLength: 4}, false},
		"HTTP/1, chunked":                         {http.Response{ProtoMajor: 1, ContentLength: -1}, true},
		"HTTP/1, with a length and announcements": {http.Response{ProtoMajor: 1, ContentLength: 4, Trailer: http.Header{"X-Echo": nil}}, true},
		"HTTP/2, with a length":                   {http.Response{ProtoMajor: 2, ContentLength: 4}, true},
	} {
		src, err := auth.New(auth.Settings{Type: auth.Bearer, Value: value(secret)})
		if err != nil {
			t.Fatal(err)
		}
		c.resp.Body = io.NopCloser(strings.NewReader("body"))
		resp, err := auth.Wrap(src, nil)(roundTripper(func(*http.Request) (*http.Response, error) { return &c.resp, nil })).
			RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		c.resp.Trailer = http.Header{"X-Echo": {secret}} // as a transport does when they have come
		_, _ = io.ReadAll(resp.Body)
		if shown := resp.Trailer.Get("X-Echo") == secret; shown == c.watched {
			t.Errorf("%s: the trailers show the secret: %v", name, shown)
		}
		resp.Body.Close()
	}
}
