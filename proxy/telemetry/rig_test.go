package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A rig is a Telemetry whose spans and log can be read.
type rig struct {
	*telemetry.Telemetry
	spans *finished
	log   *buffer
}

// finished are the spans of calls and requests that have ended by now.
type finished struct {
	*tracetest.InMemoryExporter
	of *rig
}

func (f *finished) GetSpans() tracetest.SpanStubs {
	f.of.Flush()
	return f.InMemoryExporter.GetSpans()
}

func (f *finished) Reset() {
	f.of.Flush()
	f.InMemoryExporter.Reset()
}

// newRig makes one; environment are names and values, by turns.
func newRig(t testing.TB, s telemetry.Settings, environment ...string) *rig {
	t.Helper()
	clearEnvironment(t)
	for pair := range slices.Chunk(environment, 2) {
		t.Setenv(pair[0], pair[1])
	}
	r := &rig{}
	r.spans, r.log = &finished{tracetest.NewInMemoryExporter(), r}, &buffer{of: r}
	if s.SpanProcessors == nil {
		s.SpanProcessors = []sdktrace.SpanProcessor{sdktrace.NewSimpleSpanProcessor(r.spans)}
	}
	s.LogOutput = r.log
	var err error
	if r.Telemetry, err = telemetry.New(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Shutdown(context.Background()) })
	return r
}

// clearEnvironment keeps the OTEL_* variables of the machine out of a test.
func clearEnvironment(t testing.TB) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

// kind returns the finished spans of a kind, in the order of their ends.
func (r *rig) kind(kind trace.SpanKind) []tracetest.SpanStub {
	var list []tracetest.SpanStub
	for _, span := range r.spans.GetSpans() {
		if span.SpanKind == kind {
			list = append(list, span)
		}
	}
	return list
}

// named returns the finished spans of a name, in the order of their ends.
func (r *rig) named(name string) []tracetest.SpanStub {
	var list []tracetest.SpanStub
	for _, span := range r.spans.GetSpans() {
		if span.Name == name {
			list = append(list, span)
		}
	}
	return list
}

func (r *rig) metrics(t testing.TB) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// buffer is a bytes.Buffer for several writers.
type buffer struct {
	of *rig // nil: of none
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String has the lines of all calls that have ended by now.
func (b *buffer) String() string {
	if b.of != nil {
		b.of.Flush()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// roundTripper is a provider of its own making.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// wrote tells the attempt that its request reached the wire.
func wrote(r *http.Request) {
	if hooks := httptrace.ContextClientTrace(r.Context()); hooks != nil && hooks.WroteHeaders != nil {
		hooks.WroteHeaders()
	}
}

// answers is a provider that gives these statuses, one after the other.
func answers(statuses ...int) roundTripper {
	next := 0
	return func(r *http.Request) (*http.Response, error) {
		wrote(r)
		status := statuses[next]
		next++
		return response(r, status, "body"), nil
	}
}

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// outbound is a request as the chain gets it.
func outbound(ctx context.Context, method, url string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// begin starts a call for an upstream.
func (r *rig) begin(method, upstream string) (context.Context, *telemetry.Span, *policy.Call) {
	ctx, span := r.StartCall(httptest.NewRequest(method, "/x", nil), "base-url")
	call := &policy.Call{Upstream: upstream}
	return policy.WithCall(ctx, call), span, call
}

// send sends one request and reads its answer to the end.
func send(t testing.TB, next http.RoundTripper, r *http.Request) error {
	t.Helper()
	resp, err := next.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return err
}

// attributes of a span, as text.
func attributes(s tracetest.SpanStub) map[string]string {
	m := make(map[string]string)
	for _, kv := range s.Attributes {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

func expect(t testing.TB, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %q, want %q", key, got[key], value)
		}
	}
}
