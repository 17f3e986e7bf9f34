package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// aRequest is a call as clients make them, by base URL.
func aRequest() *http.Request {
	r := httptest.NewRequest("GET", "/api/v1/things?limit=10", nil)
	r.Host = "127.0.0.1:8080"
	r.Header = http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"}, "Connection": {"keep-alive"},
		"Outrider-Timeout": {"5s"}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"User-Agent": {"python-requests/2.32.3"}, "X-Request-Id": {"0123456789abcdef"},
	}
	return r
}

// anAnswer is the header of a provider's answer.
func anAnswer() http.Header {
	return http.Header{
		"Connection": {"keep-alive"}, "Content-Length": {"1024"}, "Content-Type": {"application/json"},
		"Date": {"Fri, 27 Nov 2026 10:00:00 GMT"}, "Keep-Alive": {"timeout=60"}, "Server": {"nginx"},
	}
}

// What a call allocates on its way out, and its answer on its way back.
func TestHeadersCostLittle(t *testing.T) {
	set := compiled(t)
	at := &address{host: "127.0.0.1", port: "8080"}
	r := aRequest()
	var to route
	if err := to.byBaseURL(set, at, r, r.RequestURI); err != nil {
		t.Fatal(err)
	}
	x, header, answer := &exchange{}, make(http.Header), anAnswer()
	for _, c := range []struct {
		name string
		want float64
		do   func()
	}{
		// The path with the base path of the upstream in front.
		{"byBaseURL", 1, func() { _ = new(route).byBaseURL(set, at, r, r.RequestURI) }},
		// The request with its URL, the target in that, and its header, which is two.
		{"outbound", 4, func() { outbound(t.Context(), r, to) }},
		{"passOn", 0, func() { x.passOn(header, answer) }},
		{"hostOf", 0, func() { hostOf("localhost") }},
	} {
		if n := testing.AllocsPerRun(100, c.do); n > c.want && !raceEnabled {
			t.Errorf("%s: %v allocations, want %v", c.name, n, c.want)
		}
	}
}

// BenchmarkHeaders is what is done to the headers of a call and of its answer.
func BenchmarkHeaders(b *testing.B) {
	set := compiled(b)
	at := &address{host: "127.0.0.1", port: "8080"}
	r, x, header, answer := aRequest(), &exchange{}, make(http.Header), anAnswer()
	b.ReportAllocs()
	for b.Loop() {
		var to route
		if err := to.byBaseURL(set, at, r, r.RequestURI); err != nil {
			b.Fatal(err)
		}
		outbound(b.Context(), r, to)
		x.passOn(header, answer)
	}
}
