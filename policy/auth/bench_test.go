package auth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

func BenchmarkInject(b *testing.B) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	next := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	for _, s := range []auth.Settings{
		{Type: auth.Passthrough},
		{Type: auth.None},
		{Type: auth.Bearer, Value: value("ghp_0123456789")},
		{Type: auth.Basic, Username: value("user"), Value: value("0123456789")},
		{Type: auth.Header, Name: "X-Api-Key", Value: value("0123456789")},
		{Type: auth.Query, Name: "key", Value: value("0123456789")},
		{Type: auth.Placeholder, Placeholder: standIn, Value: value("0123456789")},
	} {
		b.Run(s.Type, func(b *testing.B) {
			src, err := auth.New(s)
			if err != nil {
				b.Fatal(err)
			}
			rt := auth.Wrap(src, nil)(next)
			req := policytest.NewRequest(b, "GET", "https://api.test/x?a=1&b=2", "")
			for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "User-Agent"} {
				req.Header.Set(name, "x")
			}
			b.ReportAllocs()
			for b.Loop() {
				rt.RoundTrip(req)
			}
		})
	}
}

// A header that gets a credential is another map, which is two allocations; the request that
// has it, and all that its response needs, is the third.
func TestCredentialIsInjectedWithThreeAllocations(t *testing.T) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	src, err := auth.New(auth.Settings{Type: auth.Bearer, Value: value("ghp_0123456789")})
	if err != nil {
		t.Fatal(err)
	}
	rt := auth.Wrap(src, nil)(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }))
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
	for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "User-Agent"} {
		req.Header.Set(name, "x")
	}
	if got := testing.AllocsPerRun(100, func() { rt.RoundTrip(req) }); got != 3 {
		t.Errorf("%v allocations, want 3", got)
	}
}

// BenchmarkInjectLiveToken is what a call costs whose token ends, from its fetching to
// the last look.
func BenchmarkInjectLiveToken(b *testing.B) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	next := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	o := newOAuth2(b, settings(policytest.NewUpstream(b, issued(1)), nil))
	rt := auth.Wrap(o, nil)(auth.WrapLast(o, nil)(next))
	req := policytest.NewRequest(b, "GET", "https://api.test/x?a=1&b=2", "")
	for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "User-Agent"} {
		req.Header.Set(name, "x")
	}
	b.ReportAllocs()
	for b.Loop() {
		rt.RoundTrip(req)
	}
}

// BenchmarkScrub is what a response costs that does not show the secret: the
// bytes and allocations are those of the request (BenchmarkInject/bearer).
func BenchmarkScrub(b *testing.B) {
	header := http.Header{}
	for _, name := range strings.Fields("Date Content-Type Cache-Control Etag Vary X-Request-Id Strict-Transport-Security Server Set-Cookie X-Frame-Options") {
		header[name] = []string{"text of a usual length; q=0.9"}
	}
	header["Location"] = []string{"https://api.test/x?cursor=a%2Fb%3D%3D&per_page=100"}
	body := &struct{ io.ReadCloser }{http.NoBody}
	resp := &http.Response{StatusCode: 200, Header: header}
	next := roundTripper(func(*http.Request) (*http.Response, error) { resp.Body = body; return resp, nil })
	for _, s := range []auth.Settings{
		{Type: auth.None},
		{Type: auth.Bearer, Value: value("ghp_0123456789")},
		{Type: auth.Basic, Username: value("user"), Value: value("0123456789")},
	} {
		b.Run(s.Type, func(b *testing.B) {
			src, err := auth.New(s)
			if err != nil {
				b.Fatal(err)
			}
			rt := auth.Wrap(src, nil)(next)
			req := policytest.NewRequest(b, "GET", "https://api.test/x?a=1&b=2", "")
			for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "User-Agent"} {
				req.Header.Set(name, "x")
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, _ := rt.RoundTrip(req)
				resp.Body.Read(nil)
			}
		})
	}
}

// BenchmarkLiveToken is what a call costs whose token is living.
func BenchmarkLiveToken(b *testing.B) {
	o := newOAuth2(b, settings(policytest.NewUpstream(b, issued(1)), nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Token(b.Context(), auth.Token{}); err != nil {
			b.Fatal(err)
		}
	}
}
