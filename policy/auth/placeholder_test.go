package auth_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const (
	standIn = "outrider-placeholder-crm"
	realKey = "sk_live/0+a=b"
)

var placeholder = auth.Settings{Type: auth.Placeholder, Placeholder: standIn, Value: value(realKey)}

func basicOf(plain string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(plain)) }

func TestPlaceholderInHeaders(t *testing.T) {
	tests := []struct{ name, field, value, want string }{
		{"a bearer token", "Authorization", "Bearer " + standIn, "Bearer " + realKey},
		{"another scheme", "Authorization", "token " + standIn, "token " + realKey},
		{"the whole value", "X-Api-Key", standIn, realKey},
		{"a part of a value", "Cookie", "a=1; key=" + standIn + "; b=2", "a=1; key=" + realKey + "; b=2"},
		{"twice", "X-Two", standIn + "," + standIn, realKey + "," + realKey},
		{"before what is of no name", "X-A", standIn + ".x" + standIn + "A", realKey + ".x" + realKey + "A"},
		{"a longer name is another's", "X-A", standIn + "2 " + standIn + "-x " + standIn + "_ " + standIn, standIn + "2 " + standIn + "-x " + standIn + "_ " + realKey},
		{"a shorter one too", "X-A", "outrider-placeholder-cr", "outrider-placeholder-cr"},
		{"another case is another text", "X-A", strings.ToUpper(standIn), strings.ToUpper(standIn)},
		{"headers are not percent-decoded", "X-A", "outrider%2Dplaceholder-crm", "outrider%2Dplaceholder-crm"},
		{"the user of Basic", "Authorization", basicOf(standIn + ":"), basicOf(realKey + ":")},
		{"the password of Basic", "Authorization", basicOf("AC0:" + standIn), basicOf("AC0:" + realKey)},
		{"both", "Authorization", basicOf(standIn + ":" + standIn), basicOf(realKey + ":" + realKey)},
		{"no colon", "Authorization", basicOf(standIn), basicOf(realKey)},
		{"Basic in any case, without padding", "Authorization", "bASIC  " + strings.TrimRight(basicOf("a:" + standIn)[6:], "="), "bASIC" + basicOf("a:" + realKey)[5:]},
		{"Basic of another name", "Authorization", basicOf("a:" + standIn + "2"), basicOf("a:" + standIn + "2")},
		{"Basic of something else, as it is", "Authorization", "Basic  dTphOmI", "Basic  dTphOmI"},
		{"no base64", "Authorization", "Basic ***", "Basic ***"},
		{"Basic elsewhere is not opened", "X-Authorization", basicOf("a:" + standIn), basicOf("a:" + standIn)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{tt.field: {tt.value}, "Accept": {"a", "b"}}
			got := sent(t, placeholder, "https://api.test/x?a=1", h)
			if v := got.Header[tt.field]; len(v) != 1 || v[0] != tt.want {
				t.Errorf("%s: %q, want %q", tt.field, v, tt.want)
			}
			if len(got.Header) != 2 || len(got.Header["Accept"]) != 2 || got.URL.RawQuery != "a=1" {
				t.Errorf("the rest: %q, %q", got.Header, got.URL.RawQuery)
			}
			if h.Get(tt.field) != tt.value {
				t.Errorf("the caller's header was written to: %q", h)
			}
		})
	}
}

func TestPlaceholderInOneOfSeveralValues(t *testing.T) {
	h := http.Header{"X-A": {"a", standIn, "b", standIn}}
	got := sent(t, placeholder, "https://api.test/x", h)
	if v := strings.Join(got.Header["X-A"], " "); v != "a "+realKey+" b "+realKey || h["X-A"][1] != standIn {
		t.Errorf("sent %q, the caller's is %q", v, h)
	}
}

func TestPlaceholderInTheQuery(t *testing.T) {
	const encoded = "sk_live%2F0%2Ba%3Db"
	tests := []struct{ name, query, want string }{
		{"raw", "a=1&key=" + standIn + "&b=%7e", "a=1&key=" + encoded + "&b=%7e"},
		{"percent-encoded", "key=outrider%2dplaceholder%2Dcr%6d", "key=" + encoded},
		{"a part of a value", "q=key:" + standIn + "%3B" + standIn, "q=key:" + encoded + "%3B" + encoded},
		{"a value with an =", "q=a=" + standIn, "q=a=" + encoded},
		{"a name", standIn + "=1", standIn + "=1"},
		{"a parameter without a value", "a=1&" + standIn, "a=1&" + standIn},
		{"another's", "key=" + standIn + "2&k=" + standIn + "%32", "key=" + standIn + "2&k=" + standIn + "%32"},
		{"broken encoding stays", "a=%zz&key=" + standIn + "%z&%", "a=%zz&key=" + encoded + "%z&%"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
			req.URL.RawQuery = tt.query
			src, _ := auth.New(placeholder)
			auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.RawQuery != tt.want {
					t.Errorf("query %q, want %q", r.URL.RawQuery, tt.want)
				}
				if (r == req) != (tt.query == tt.want) {
					t.Error("a copy for nothing, or none")
				}
				return nil, io.EOF
			})).RoundTrip(req)
			if req.URL.RawQuery != tt.query {
				t.Error("the caller's URL was written to")
			}
		})
	}
}

// TestPlaceholderInABodyStays, and in trailers: only the head is looked at.
func TestPlaceholderInABodyStays(t *testing.T) {
	src, _ := auth.New(placeholder)
	req := policytest.NewRequest(t, "POST", "https://api.test/x", standIn)
	upstream := policytest.NewUpstream(t, policytest.Step{})
	policytest.Do(auth.Wrap(src, nil)(upstream), req)
	if got := upstream.Requests()[0].Body; got != standIn {
		t.Errorf("body %q", got)
	}
}

func TestPlaceholderIsRefusedWhereItsValueCannotStand(t *testing.T) {
	for name, c := range map[string]struct{ value, authorization string }{
		"a colon in a user name": {"a:b-is-secret", basicOf(standIn + ":x")},
		"an empty value":         {"", "Bearer " + standIn},
		"a line end":             {"is-secret\n", "Bearer " + standIn},
	} {
		src, err := auth.New(auth.Settings{Type: auth.Placeholder, Placeholder: standIn, Value: value(c.value)})
		if err != nil {
			t.Fatal(err)
		}
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.Header.Set("Authorization", c.authorization)
		_, err = auth.Wrap(src, nil)(policytest.NewUpstream(t)).RoundTrip(req)
		if _, ok := errors.AsType[*auth.UnavailableError](err); !ok || strings.Contains(err.Error(), "is-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As a password it may have one.
	s := auth.Settings{Type: auth.Placeholder, Placeholder: standIn, Value: value("a:b")}
	got := sent(t, s, "https://api.test/x", http.Header{"Authorization": {basicOf("u:" + standIn)}})
	if v := got.Header.Get("Authorization"); v != basicOf("u:a:b") {
		t.Errorf("sent %q", v)
	}
}

// FuzzPlaceholder: after a decoder that we did not write, the request has the
// value where it had the placeholder, and where it had none it is the same.
func FuzzPlaceholder(f *testing.F) {
	f.Add("a=1&key="+standIn, "Basic "+base64.StdEncoding.EncodeToString([]byte(standIn+":")))
	f.Add("k=outrider%2dplaceholder-cr%6D%32&%zz=+", "Bearer "+standIn+"2")
	f.Add("=&&=%", "Basic =")
	src, err := auth.New(placeholder)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, authorization string) {
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.URL.RawQuery = query
		req.Header["Authorization"] = []string{authorization}
		_, _ = auth.Wrap(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			before, after := pairs(query), pairs(r.URL.RawQuery)
			if len(before) != len(after) {
				t.Fatalf("%q became %q", query, r.URL.RawQuery)
			}
			for i := range before {
				if want := filledIn(before[i].value); before[i].value != "" && after[i].value != want {
					t.Errorf("%q became %q, want %q", before[i].value, after[i].value, want)
				}
				if after[i].key != before[i].key {
					t.Errorf("the name %q became %q", before[i].key, after[i].key)
				}
			}
			user, password, ok := (&http.Request{Header: http.Header{"Authorization": {authorization}}}).BasicAuth()
			gotUser, gotPassword, still := r.BasicAuth()
			if ok && (!still || gotUser != filledIn(user) || gotPassword != filledIn(password)) {
				t.Errorf("%q became %q", authorization, r.Header["Authorization"])
			}
			if !strings.Contains(query+authorization, "-") && !strings.Contains(query, "%") && !ok &&
				!strings.HasPrefix(strings.ToLower(authorization), "basic ") && r != req {
				t.Errorf("%q %q: a copy for nothing", query, authorization)
			}
			return nil, io.EOF
		})).RoundTrip(req)
		if req.URL.RawQuery != query || req.Header["Authorization"][0] != authorization {
			t.Error("the caller's request was written to")
		}
	})
}

type pair struct{ key, value string }

// pairs are the parameters of a query; a value that cannot be decoded is "".
func pairs(query string) (all []pair) {
	for p := range strings.SplitSeq(query, "&") {
		key, v, _ := strings.Cut(p, "=")
		v, err := url.PathUnescape(v)
		if err != nil {
			v = ""
		}
		all = append(all, pair{key, v})
	}
	return all
}

// filledIn is the text with the value in it, by another way than the code's.
func filledIn(s string) string {
	parts := strings.Split(s, standIn)
	out := parts[0]
	for _, part := range parts[1:] {
		if part != "" && strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_-", rune(part[0])) {
			out += standIn + part
		} else {
			out += realKey + part
		}
	}
	return out
}
