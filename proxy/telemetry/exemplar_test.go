package telemetry_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A bucket of a histogram names a trace that is in it, so that one click leads from what is
// slow to a call that was. Only OpenMetrics can say so, and only of a trace that is kept.
func TestBucketsLeadToTraces(t *testing.T) {
	for sample, want := range map[float64]bool{1: true, 0: false} {
		r := newRig(t, telemetry.Settings{Sample: sample})
		ctx, span, call := r.begin("GET", "crm")
		if err := send(t, policy.Passage(r.Transport(answers(200))), outbound(ctx, "GET", "https://crm.test/")); err != nil {
			t.Fatal(err)
		}
		r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: 300 * time.Millisecond})
		r.Observe(ctx, policy.Event{Kind: policy.EventRetry, Upstream: "crm", Reason: "status 503"})
		span.End(telemetry.Outcome{Call: call, Method: "GET", Status: 200})

		w := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		r.MetricsHandler().ServeHTTP(w, req)
		text := w.Body.String()
		for _, name := range []string{
			"http_server_request_duration_seconds_bucket", "http_client_request_duration_seconds_bucket",
			"outrider_wait_duration_seconds_bucket", "outrider_retries_total",
		} {
			exemplar := regexp.MustCompile(`(?m)^` + name + `\{.*\} [0-9.]+ # \{.*trace_id="` + span.TraceID() + `".*\}`)
			if got := exemplar.MatchString(text); got != want {
				t.Errorf("sampled %v: %s has the trace for an exemplar: %t, want %t\n%s", sample, name, got, want, text)
			}
		}
		if !strings.HasSuffix(text, "# EOF\n") {
			t.Error("this is no OpenMetrics")
		}
	}
}
