package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"outrider/policy/policytest"
)

// traced are the headers of a caller that is part of a trace, in all of its dialects.
var tracedHeaders = map[string]string{
	"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "vendor=1", "Baggage": "user=7",
	"B3": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", "X-B3-TraceId": "0af7651916cd43dd8448eb211c80319c",
	"X-B3-SpanId": "b7ad6b7169203331", "X-B3-Sampled": "1", "Uber-Trace-Id": "1:2:0:1",
}

// A provider does not learn of the caller's trace, nor of its baggage, unless it is to;
// and the headers that providers have made up for themselves are theirs.
func TestTraceOfTheCallerIsNotTheProvidersBusiness(t *testing.T) {
	clearTelemetryVariables(t)
	var got http.Header
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	r := launch(t, fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = %q
[[upstream.api.rule]]
match = "GET /ours/**"
propagate = true
`, receive(t).url, server.URL))
	call := func(client *http.Client, target string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", target, nil)
		for name, value := range tracedHeaders {
			req.Header.Set(name, value)
		}
		req.Header.Set("X-Amzn-Trace-Id", "Root=1")
		if resp, body := do(t, client, req); resp.StatusCode != 200 {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
		if got.Get("X-Amzn-Trace-Id") != "Root=1" {
			t.Error("the provider's own header was taken off")
		}
	}

	call(http.DefaultClient, r.url("/api/theirs/x"))
	for name := range tracedHeaders {
		if got.Get(name) != "" {
			t.Errorf("%s: %s went out", name, got.Get(name))
		}
	}
	call(http.DefaultClient, r.url("/api/ours/x"))
	for name, value := range tracedHeaders {
		if name != "Traceparent" && got.Get(name) != value {
			t.Errorf("%s: %q went out to an upstream that is told of traces", name, got.Get(name))
		}
	}
	if parent := got.Get("Traceparent"); !strings.HasPrefix(parent, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(parent, "b7ad6b7169203331") {
		t.Errorf("traceparent %q went out: it has to be that of the attempt", parent)
	}
}

// An Outrider whose spans go nowhere told an upstream of a span that nobody would ever see, as
// one that was not sampled. So the upstream, which asks its parent, recorded nothing any more,
// and the trace of a caller that was sampled ended where Outrider stood.
func TestWhoRecordsNothingLeavesTheTraceAlone(t *testing.T) {
	clearTelemetryVariables(t)
	var got http.Header
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	r := launch(t, fmt.Sprintf("[upstream.api]\nurl = %q\npropagate = true\n", server.URL))
	req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/api/x"), nil)
	for name, value := range tracedHeaders {
		req.Header.Set(name, value)
	}
	do(t, http.DefaultClient, req)
	for name, value := range tracedHeaders {
		if got.Get(name) != value {
			t.Errorf("%s: %q went out", name, got.Get(name))
		}
	}
	if get(t, http.DefaultClient, r.url("/api/x")); got.Get("Traceparent") != "" {
		t.Errorf("traceparent %q went out for a caller without a trace", got.Get("Traceparent"))
	}
}

// What goes to a host that no upstream names goes as if we were not there.
func TestTraceOfTheCallerPassesToUnlistedHosts(t *testing.T) {
	clearTelemetryVariables(t)
	var got http.Header
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	r := launch(t, "[forward]\nallow_private = [\"127.0.0.0/8\"]\n")
	through, _ := url.Parse(r.url(""))
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	req.Header.Set("Traceparent", tracedHeaders["Traceparent"])
	if resp, body := do(t, client, req); resp.StatusCode != 200 || got.Get("Traceparent") != tracedHeaders["Traceparent"] {
		t.Errorf("got %d %s; traceparent %q went out", resp.StatusCode, body, got.Get("Traceparent"))
	}
}

// A signature is made once for each attempt, and what tells of the trace is no part of it.
func TestSignedAttemptsTellOfTheirOwnSpans(t *testing.T) {
	collector := receive(t)
	t.Setenv("SIGNING_SECRET", "the-secret")
	var told []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request := policytest.Request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body)}
		if _, err := policytest.CheckSigV4(request, "the-secret"); err != nil || strings.Contains(r.Header.Get("Authorization"), "trace") {
			t.Errorf("signed as %s: %v", r.Header.Get("Authorization"), err)
		}
		if told = append(told, r.Header.Get("Traceparent")); len(told) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = %q
propagate = true
retry = { base = "1ms", cap = "2ms" }
auth = { type = "sigv4", access_key_id = "ID", secret_access_key = "env:SIGNING_SECRET", region = "eu-west-1", service = "dynamodb" }
`, collector.url, server.URL))
	if resp, body := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	r.halt()
	attempts := collector.kind(tracepb.Span_SPAN_KIND_CLIENT)
	if len(attempts) != 2 || len(told) != 2 {
		t.Fatalf("%d attempts, and the upstream got %d", len(attempts), len(told))
	}
	for i, attempt := range attempts {
		if want := "00-" + hex.EncodeToString(attempt.TraceId) + "-" + hex.EncodeToString(attempt.SpanId) + "-01"; told[i] != want {
			t.Errorf("attempt %d told of %s, want %s", i+1, told[i], want)
		}
	}
}
