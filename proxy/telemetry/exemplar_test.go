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
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})

		text := r.openMetrics()
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

// openMetrics are the metrics with their exemplars.
func (r *rig) openMetrics() string {
	w := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	r.MetricsHandler().ServeHTTP(w, req)
	return w.Body.String()
}

// Who looks now and then is led to a call of the time since the last look: the first of them
// is the exemplar until another takes its place.
func TestExemplarsAreOfTheTimeSinceTheLastLook(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	for range 3 {
		_, span, call := r.begin("GET", "crm")
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
		if text := r.openMetrics(); !strings.Contains(text, span.TraceID()) {
			t.Fatalf("the latest call, %s, is no exemplar:\n%s", span.TraceID(), text)
		}
	}
}

// Of the measurements between two looks each is as likely to be the exemplar as any other.
func TestExemplarsAreChosenByChance(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	const looks, calls = 500, 4
	var chosen [calls]int
	for range looks {
		var ids [calls]string
		for i := range ids {
			_, span, call := r.begin("GET", "crm")
			span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
			ids[i] = span.TraceID()
		}
		text := r.openMetrics()
		for i, id := range ids {
			if strings.Contains(text, id) {
				chosen[i]++
			}
		}
	}
	for i, n := range chosen { // seven sigmas on either side
		if n < 57 || n > 193 {
			t.Errorf("call %d of %d was chosen %d times of %d", i, calls, n, looks)
		}
	}
}
