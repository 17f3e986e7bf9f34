package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// sent is what an attempt looks like below the stage.
func sent(t testing.TB, s auth.Settings, url string, h http.Header) *http.Request {
	t.Helper()
	src, err := auth.New(s)
	if err != nil {
		t.Fatal(err)
	}
	req := policytest.NewRequest(t, "GET", url, "")
	req.Header = h
	var got *http.Request
	_, err = auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestHeaderCredentials(t *testing.T) {
	mine := func() http.Header { // what the caller sent
		return http.Header{"Authorization": {"Bearer mine", "Basic mine"}, "X-Api-Key": {"mine"}, "Accept": {"a", "b"}}
	}
	tests := []struct {
		name          string
		set           auth.Settings
		authorization []string
		key           []string
	}{
		{"bearer replaces all values", auth.Settings{Type: "bearer", Value: value("tok")}, []string{"Bearer tok"}, []string{"mine"}},
		{"basic", auth.Settings{Type: "basic", Username: value("Aladdin"), Value: value("open sesame")},
			[]string{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, []string{"mine"}}, // RFC 7617 §2
		{"basic in UTF-8", auth.Settings{Type: "basic", Username: value("test"), Value: value("123£")},
			[]string{"Basic dGVzdDoxMjPCow=="}, []string{"mine"}}, // RFC 7617 §2.1
		{"basic with colons in the password", auth.Settings{Type: "basic", Username: value("u"), Value: value("a:b")},
			[]string{"Basic dTphOmI="}, []string{"mine"}},
		{"basic without a password", auth.Settings{Type: "basic", Username: value("sk_test")},
			[]string{"Basic c2tfdGVzdDo="}, []string{"mine"}},
		{"basic without a username", auth.Settings{Type: "basic", Value: value("pat")},
			[]string{"Basic OnBhdA=="}, []string{"mine"}},
		{"header, in any case", auth.Settings{Type: "header", Name: "x-API-key", Value: value("k")},
			[]string{"Bearer mine", "Basic mine"}, []string{"k"}},
		{"header with a prefix, as it is", auth.Settings{Type: "header", Name: "Authorization", Prefix: "Token token=", Value: value("k")},
			[]string{"Token token=k"}, []string{"mine"}},
		{"none", auth.Settings{Type: "none"}, nil, []string{"mine"}},
		{"passthrough", auth.Settings{Type: "passthrough"}, []string{"Bearer mine", "Basic mine"}, []string{"mine"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := mine()
			got := sent(t, tt.set, "https://api.test/x?a=1", h)
			if v := got.Header["Authorization"]; strings.Join(v, "|") != strings.Join(tt.authorization, "|") {
				t.Errorf("Authorization: %q, want %q", v, tt.authorization)
			}
			if v := got.Header["X-Api-Key"]; strings.Join(v, "|") != strings.Join(tt.key, "|") {
				t.Errorf("X-Api-Key: %q, want %q", v, tt.key)
			}
			if v := got.Header["Accept"]; len(v) != 2 || len(got.Header) > 3 {
				t.Errorf("the rest: %q", got.Header)
			}
			if got.URL.RawQuery != "a=1" {
				t.Errorf("query: %q", got.URL.RawQuery)
			}
			if len(h["Authorization"]) != 2 || h.Get("X-Api-Key") != "mine" {
				t.Errorf("the caller's header was written to: %q", h)
			}
		})
	}
}

func TestHeaderIntoARequestWithoutAny(t *testing.T) {
	got := sent(t, auth.Settings{Type: "bearer", Value: value("tok")}, "https://api.test/x", nil)
	if got.Header.Get("Authorization") != "Bearer tok" {
		t.Errorf("sent %q", got.Header)
	}
}

func TestQueryCredential(t *testing.T) {
	tests := []struct{ name, query, value, want string }{
		{"no query", "", "k", "key=k"},
		{"appended", "a=1", "k", "a=1&key=k"},
		{"replaced where it stands", "a=1&key=mine&b=2", "k", "a=1&key=k&b=2"},
		{"never doubled", "key=1&a=1&key=2&key", "k", "key=k&a=1"},
		{"found under an encoded name", "a=1&%6bey=mine&k%65y=too", "k", "a=1&key=k"},
		{"another case is another name", "Key=1", "k", "Key=1&key=k"},
		{"a longer name is another name", "keys=1&akey=2", "k", "keys=1&akey=2&key=k"},
		{"the rest is not encoded anew", "b=%7e~&a=x+y%20z&&c&=&d=a/b?c:@;e=1&f=%e2", "k", "b=%7e~&a=x+y%20z&&c&=&d=a/b?c:@;e=1&f=%e2&key=k"},
		{"a broken name stays", "%zz=1&%=2", "k", "%zz=1&%=2&key=k"},
		{"the value is encoded after RFC 3986", "", "a b+c/d=e&f~g-h.i_jé%", "key=a%20b%2Bc%2Fd%3De%26f~g-h.i_j%C3%A9%25"},
		{"a trailing separator stays", "a=1&", "k", "a=1&&key=k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := "https://api.test/x"
			if tt.query != "" {
				url += "?" + tt.query
			}
			h := http.Header{"Authorization": {"mine"}}
			got := sent(t, auth.Settings{Type: "query", Name: "key", Value: value(tt.value)}, url, h)
			if got.URL.RawQuery != tt.want {
				t.Errorf("query %s, want %s", got.URL.RawQuery, tt.want)
			}
			if got.URL.Opaque != "//api.test/x" || got.Header.Get("Authorization") != "mine" {
				t.Errorf("the rest: %q %q", got.URL.Opaque, got.Header)
			}
		})
	}
	got := sent(t, auth.Settings{Type: "query", Name: "api key", Value: value("k")}, "https://api.test/x?api+key=1&api%20key=2", nil)
	if got.URL.RawQuery != "api%20key=k" {
		t.Errorf("a name with a space: %s", got.URL.RawQuery)
	}
}

func FuzzQueryCredential(f *testing.F) {
	f.Add("a=1&key=2", "secret")
	f.Add("%6bey&&=&+", "a b")
	f.Add("", "\x80")
	src := func(v string) auth.Source {
		s, _ := auth.New(auth.Settings{Type: "query", Name: "key", Value: value(v)})
		return s
	}
	f.Fuzz(func(t *testing.T, query, secret string) {
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.URL.RawQuery = query
		_, err := auth.Wrap(src(secret), nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			// Decoded, the parameter is there once; taken out, the rest is as it was.
			var rest []string
			found := 0
			for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
				if strings.HasPrefix(pair, "key=") {
					found++
					continue
				}
				rest = append(rest, pair)
			}
			if v := r.URL.Query()["key"]; found != 1 || len(v) != 1 || v[0] != secret {
				t.Errorf("%q with %q: %q", query, secret, r.URL.RawQuery)
			}
			if !strings.Contains(query, "%") && !strings.Contains(query, "key") && strings.Join(rest, "&") != query {
				t.Errorf("%q became %q", query, rest)
			}
			return nil, io.EOF
		})).RoundTrip(req)
		if _, refused := errors.AsType[*auth.UnavailableError](err); !refused && err != io.EOF {
			t.Errorf("%v", err)
		}
		if req.URL.RawQuery != query {
			t.Error("the caller's URL was written to")
		}
	})
}

// TestValueIsReadForEachAttempt: a file that changes is a new credential.
func TestValueIsReadForEachAttempt(t *testing.T) {
	now := "old"
	src, err := auth.New(auth.Settings{Type: "bearer", Value: func() (string, error) { return now, nil }})
	if err != nil {
		t.Fatal(err)
	}
	upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{})
	rt := auth.Wrap(src, nil)(upstream)
	for _, now = range []string{"old", "new"} {
		policytest.Do(rt, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
	}
	got := upstream.Requests()
	if len(got) != 2 || got[0].Header.Get("Authorization") != "Bearer old" || got[1].Header.Get("Authorization") != "Bearer new" {
		t.Errorf("sent %+v", got)
	}
}

// TestConstantValueIsReadUntilItIsThere: and once it is, no more.
func TestConstantValueIsReadUntilItIsThere(t *testing.T) {
	asked := 0
	src, err := auth.New(auth.Settings{Type: "bearer", Constant: true, Value: func() (string, error) {
		if asked++; asked == 1 {
			return "", errors.New("not set")
		}
		return "0123456789", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	upstream := policytest.NewUpstream(t, policytest.Step{Times: 2})
	for i, refused := range []bool{true, false, false} {
		answer := policytest.Do(auth.Wrap(src, nil)(upstream), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if (answer.Err != nil) != refused {
			t.Errorf("call %d: %+v", i, answer)
		}
	}
	if got := upstream.Requests(); asked != 2 || len(got) != 2 || got[1].Header.Get("Authorization") != "Bearer 0123456789" {
		t.Errorf("asked %d times, sent %+v", asked, got)
	}
}

type badSource struct {
	token auth.Token
	err   error
}

func (b badSource) Token(context.Context, auth.Token) (auth.Token, error) { return b.token, b.err }

func TestNothingIsSentWithoutACredential(t *testing.T) {
	errFile := errors.New("file is gone")
	source := func(s auth.Settings) auth.Source {
		src, err := auth.New(s)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	tests := []struct {
		name string
		src  auth.Source
		says string
	}{
		{"bearer, unreadable", source(auth.Settings{Type: "bearer", Value: func() (string, error) { return "", errFile }}), "bearer: reading the value: file is gone"},
		{"bearer, empty", source(auth.Settings{Type: "bearer", Value: value("")}), "bearer: the value is empty"},
		{"bearer, line end", source(auth.Settings{Type: "bearer", Value: value("a\n")}), "bearer: the value contains a control character"},
		{"bearer, header injection", source(auth.Settings{Type: "bearer", Value: value("a\r\nHost: b")}), "control character"},
		{"header, NUL", source(auth.Settings{Type: "header", Name: "X", Value: value("\x00")}), "header: the value contains a control"},
		{"header, empty behind a prefix", source(auth.Settings{Type: "header", Name: "X", Prefix: "Token ", Value: value("")}), "header: the value is empty"},
		{"query, tab", source(auth.Settings{Type: "query", Name: "k", Value: value("a\tb")}), "query: the value contains a control"},
		{"query, C1", source(auth.Settings{Type: "query", Name: "k", Value: value("a\u0085b")}), "query: the value contains a control"},
		{"query, DEL", source(auth.Settings{Type: "query", Name: "k", Value: value("\x7f")}), "query: the value contains a control"},
		{"basic, empty password", source(auth.Settings{Type: "basic", Username: value("u"), Value: value("")}), "basic: the password is empty"},
		{"basic, empty username", source(auth.Settings{Type: "basic", Username: value(""), Value: value("p")}), "basic: the username is empty"},
		{"basic, control character", source(auth.Settings{Type: "basic", Username: value("u\x01")}), "basic: the username contains a control"},
		{"basic, not UTF-8", source(auth.Settings{Type: "basic", Value: value("\xe9")}), "basic: username and password must be UTF-8"},
		{"any source, an error", badSource{err: errFile}, "file is gone"},
		{"any source, empty", badSource{token: auth.Token{Kind: "oauth2", Header: "Authorization"}}, "oauth2: the token is empty"},
		{"any source, line end", badSource{token: auth.Token{Kind: "oauth2", Header: "Authorization", Value: auth.NewSecret("a\nb")}}, "oauth2: the token contains a control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := policytest.NewRequest(t, "POST", "https://api.test/x", "abc")
			body := &closeCounter{Reader: strings.NewReader("abc")}
			req.Body = body
			resp, err := auth.Wrap(tt.src, nil)(policytest.NewUpstream(t)).RoundTrip(req) // no step: a request is an error
			unavailable, ok := errors.AsType[*auth.UnavailableError](err)
			if resp != nil || !ok || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, %v; want %q", resp, err, tt.says)
			}
			if reason, after := unavailable.Refusal(); reason != "credential-unavailable" || after != 0 {
				t.Errorf("refusal %q, %v", reason, after)
			}
			if body.closed != 1 {
				t.Errorf("request body closed %d times", body.closed)
			}
		})
	}
	if err := (&auth.UnavailableError{Err: errFile}); !errors.Is(err, errFile) {
		t.Error("the reason is not found")
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

// TestColonThatComesLater: New sees only the username of that moment.
func TestColonThatComesLater(t *testing.T) {
	name, err := "u", error(nil)
	src, newErr := auth.New(auth.Settings{Type: "basic", Username: func() (string, error) { return name, err }})
	if newErr != nil {
		t.Fatal(newErr)
	}
	name = "a:b"
	_, tokenErr := src.Token(t.Context(), auth.Token{})
	if tokenErr == nil || !strings.Contains(tokenErr.Error(), "colon") {
		t.Errorf("got %v", tokenErr)
	}
}

// TestCallerThatLeavesIsNoLackOfACredential: the cause is its own.
func TestCallerThatLeavesIsNoLackOfACredential(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, nil)
	cancel()
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "").WithContext(ctx)
	_, err := auth.Wrap(badSource{err: ctx.Err()}, nil)(policytest.NewUpstream(t)).RoundTrip(req)
	if err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotOursToChangeIsHandedOnAsItIs(t *testing.T) {
	for _, kind := range []string{"none", "passthrough", "placeholder"} {
		src, err := auth.New(auth.Settings{Type: kind, Placeholder: standIn, Value: value("x")})
		if err != nil {
			t.Fatal(err)
		}
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		rt := auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			if r != req {
				t.Errorf("%s: a copy for nothing", kind)
			}
			return nil, io.EOF
		}))
		if _, err := rt.RoundTrip(req); err != io.EOF {
			t.Errorf("%s: the error below became %v", kind, err)
		}
	}
}

// TestCopyIsShallow: trailers and the body are the caller's own.
func TestCopyIsShallow(t *testing.T) {
	src, _ := auth.New(auth.Settings{Type: "bearer", Value: value("tok")})
	req := policytest.NewRequest(t, "POST", "https://api.test/x", "abc")
	req.Trailer = http.Header{"Checksum": nil}
	rt := auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
		req.Trailer["Checksum"] = []string{"late"}
		if r == req || r.Trailer.Get("Checksum") != "late" || r.Body != req.Body || r.GetBody == nil {
			t.Errorf("sent %+v", r)
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}))
	resp, err := rt.RoundTrip(req)
	if err != nil || resp.Request != req {
		t.Errorf("the response leads to the request with the secret: %v, %v", resp, err)
	}
}

func TestNewRefuses(t *testing.T) {
	v := value("x")
	for name, s := range map[string]auth.Settings{
		"an unknown kind":           {Type: "oauth3", Value: v},
		"no kind":                   {Value: v},
		"bearer without a token":    {Type: "bearer"},
		"basic without anything":    {Type: "basic"},
		"basic with a colon":        {Type: "basic", Username: value("a:b"), Value: v},
		"header without a name":     {Type: "header", Value: v},
		"header without a value":    {Type: "header", Name: "X"},
		"header with a space in it": {Type: "header", Name: "X Y", Value: v},
		"header not in ASCII":       {Type: "header", Name: "Schlüssel", Value: v},
		"header with a line end":    {Type: "header", Name: "X\n", Value: v},
		"header that is the host":   {Type: "header", Name: "host", Value: v},
		"header that frames":        {Type: "header", Name: "content-length", Value: v},
		"header of the connection":  {Type: "header", Name: "connection", Value: v},
		"prefix with a line end":    {Type: "header", Name: "X", Prefix: "a\r\n", Value: v},
		"query without a name":      {Type: "query", Value: v},
		"query without a value":     {Type: "query", Name: "key"},
		"placeholder without one":   {Type: "placeholder", Value: v},
		"placeholder for nothing":   {Type: "placeholder", Placeholder: standIn},
	} {
		if src, err := auth.New(s); err == nil {
			t.Errorf("%s: %v", name, src)
		}
	}
}
