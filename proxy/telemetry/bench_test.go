package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
	"outrider/proxy/telemetry/spans"
)

// ignore is a span processor that leaves only the cost of recording.
type ignore struct{}

func (ignore) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (ignore) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (ignore) Shutdown(context.Context) error                  { return nil }
func (ignore) ForceFlush(context.Context) error                { return nil }

// callsOfBatch is how many calls fill a batch of spans, of which each has two.
const callsOfBatch = spans.DefaultBatch / 2

// BenchmarkCall is the cost of one call with one attempt: StartCall, Transport,
// End. The base line is the same call without us. Who sends spans is waited for: without a
// pause, as calls have that wait for the network, it would get no turn, and most were dropped.
func BenchmarkCall(b *testing.B) {
	arrived := make(chan struct{}, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case arrived <- struct{}{}:
		default: // the last batch of a run
		}
	}))
	defer collector.Close()
	for _, c := range []struct {
		name string
		s    telemetry.Settings
		bare bool
	}{
		{"base line", telemetry.Settings{}, true},
		{"no exporter", telemetry.Settings{}, false},
		{"sampled 0%", telemetry.Settings{Endpoint: collector.URL}, false},
		{"sampled 0%, failures kept", telemetry.Settings{Endpoint: collector.URL, KeepErrors: true}, false},
		{"recorded, not exported", telemetry.Settings{Sample: 1, SpanProcessors: []sdktrace.SpanProcessor{ignore{}}}, false},
		{"sampled 100%", telemetry.Settings{Endpoint: collector.URL, Sample: 1}, false},
		{"sampled 100%, access log", telemetry.Settings{Endpoint: collector.URL, Sample: 1, AccessLog: true}, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			clearEnvironment(b)
			c.s.LogOutput = io.Discard
			t, err := telemetry.New(b.Context(), c.s)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { t.Shutdown(b.Context()) })
			one := usualCall(t, false)
			if c.bare {
				one = usualCall(nil, false)
			}
			b.ReportAllocs()
			before, calls := processorTime(b), 0
			for b.Loop() {
				one()
				if calls++; calls%callsOfBatch == 0 && c.s.Sample == 1 && c.s.Endpoint != "" {
					<-arrived
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// usualCall is a call that is answered by its first attempt. t may be nil.
func usualCall(t *telemetry.Telemetry, flush bool) func() {
	in := httptest.NewRequest("GET", "/crm/contacts?limit=10", nil)
	provider := http.RoundTripper(roundTripper(func(r *http.Request) (*http.Response, error) {
		wrote(r)
		return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", Body: io.NopCloser(strings.NewReader("ok"))}, nil
	}))
	if t != nil {
		provider = t.Transport(provider)
	}
	chain := policy.Passage(provider)
	out := outbound(context.Background(), "GET", "https://crm.test/contacts?limit=10")
	return func() {
		call := &struct { // one allocation, as of a call that comes in
			policy.Call
			telemetry.Outcome
		}{Call: policy.Call{Upstream: "crm"}}
		ctx := in.Context()
		var span *telemetry.Span
		if t != nil {
			ctx, span = t.StartCall(in, "base-url")
		}
		resp, _ := chain.RoundTrip(out.WithContext(policy.WithCall(ctx, &call.Call)))
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if t != nil {
			call.Outcome = telemetry.Outcome{Call: &call.Call, Method: "GET", Host: "crm.test", Path: "/contacts", Status: 200, Class: policy.ClassOK}
			span.End(&call.Outcome)
			if flush {
				t.Flush()
			}
		}
	}
}

// What a call is told by, with both of its spans and its line, is two allocations: the call
// with its attempt and its context, and the trace's id.
func TestCallIsToldByTwoAllocations(t *testing.T) {
	if raceEnabled { // pools leave things out then, at random
		return
	}
	r := exporting(t, telemetry.Settings{Endpoint: "http://127.0.0.1:1", AccessLog: true, Recent: 1}, map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "3600000"})
	const calls = 200 // fewer than a batch
	bare := testing.AllocsPerRun(calls, usualCall(nil, false))
	if n := testing.AllocsPerRun(calls, usualCall(r.Telemetry, true)) - bare; n != 2 {
		t.Errorf("%v allocations, want 2", n)
	}
}

// processorTime is what the process has used: on a machine that others use, too, it says more
// than the clock.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
