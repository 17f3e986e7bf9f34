package auth_test

import (
	"net/http"
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
	} {
		b.Run(s.Type, func(b *testing.B) {
			src, err := auth.New(s)
			if err != nil {
				b.Fatal(err)
			}
			rt := auth.Wrap(src)(next)
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
