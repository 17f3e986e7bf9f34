package telemetry_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// What we measure is held against what the SDK makes of the same calls, which measures where
// the exemplars are to be others than ours: these are all those of sampled spans, too.
func TestHistogramsAreAsTheSDKHasThem(t *testing.T) {
	var first string
	for _, filter := range []string{"", "trace_based", "always_on"} {
		synctest.Test(t, func(t *testing.T) { // each at the same time
			text := newRig(t, telemetry.Settings{Sample: 1}, "OTEL_METRICS_EXEMPLAR_FILTER", filter).measurements(t)
			if first == "" {
				first = text
			}
			ours := strings.Split(first, "\n")
			for i, line := range strings.Split(text, "\n") {
				if i >= len(ours) || line != ours[i] {
					t.Fatalf("by the SDK\n%s\nand by ourselves\n%s", line, ours[min(i, len(ours)-1)])
				}
			}
			if n := strings.Count(text, "# {"); n != 22 {
				t.Errorf("%d exemplars, want one of each of 7 buckets of 3 histograms, and one:\n%s", n, text)
			}
		})
	}
}

// measurements measures calls of which each is in a bucket of its own, and gives what is shown
// of that.
func (r *rig) measurements(t *testing.T) string {
	for _, ms := range []time.Duration{5, 20, 200, 800, 2000, 8000, 20_000} {
		d := ms * time.Millisecond
		ctx, span, call := r.begin("GET", "crm")
		slow := roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(d)
			return answers(200)(req)
		})
		if err := send(t, policy.Passage(r.Transport(slow)), outbound(ctx, "GET", "https://crm.test/")); err != nil {
			t.Fatal(err)
		}
		r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: d})
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
	}
	ctx, _, _ := r.begin("GET", "crm")
	r.LetterEnded(ctx, "crm", "delivered", time.Minute)
	ids := regexp.MustCompile(`\w+_id="[0-9a-f]+",\w+_id="[0-9a-f]+"`) // by chance, and in either order
	var lines []string
	for line := range strings.Lines(r.openMetrics()) {
		if strings.Contains(line, "_duration_seconds") && !strings.Contains(line, "go_gc") {
			lines = append(lines, ids.ReplaceAllString(line, "ids"))
		}
	}
	return strings.Join(lines, "")
}

// A collector that wants to be told only what has come since the last time is.
func TestTemporalityOfTheEnvironmentWins(t *testing.T) {
	for preference, want := range map[string]bool{"": false, "delta": true} {
		c := newCollector(t)
		r := exporting(t, telemetry.Settings{}, map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_METRICS_EXPORTER": "otlp",
			"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference,
		})
		r.oneCall(t)
		if err := r.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"http.server.request.duration", "http.client.request.duration", "outrider.wait.duration"} {
			if !strings.Contains(strings.Join(c.metrics, " "), name) {
				t.Errorf("%q: %s is not among %v", preference, name, c.metrics)
			}
			if got := strings.Contains(strings.Join(c.deltas, " "), name); got != want {
				t.Errorf("%q: %s tells what has come since: %t, want %t", preference, name, got, want)
			}
		}
	}
}
