package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"outrider/proxy/simulator"
)

// A provider is well but for one answer in fifty, which takes two seconds. With second
// requests hardly anybody notices, and whatever was sent is told: in the answers, in the
// traces and in the metrics there are as many requests as arrived.
func TestSlowAnswersAreHedgedAndEveryRequestIsTold(t *testing.T) {
	sim, err := simulator.New(simulator.Settings{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	collector := receive(t)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = %q
hedge = true
`, collector.url, server.URL))

	const calls = 300
	told := 0
	call := func(path string) {
		resp, body := get(t, http.DefaultClient, r.url(path))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		attempts := 1
		if text := resp.Header.Get("Outrider-Attempts"); text != "" {
			attempts, _ = strconv.Atoi(text)
		}
		told += attempts
	}
	for range 40 { // enough to know what is usual, and to have saved two second requests
		call("/api/fault/late?p=0")
	}
	for range calls - 40 {
		call("/api/fault/late?delay=2s&p=0.02")
	}
	_, explained, _ := commandLine("", "explain", "GET", "/api/fault/late", "--admin", r.adminAt)
	_, metrics := r.ask("GET", "/metrics")
	r.halt()

	arrived := int(sim.Stats().Requests)
	if told != arrived {
		t.Errorf("the answers tell of %d requests, and %d arrived", told, arrived)
	}
	spans := collector.kind(tracepb.Span_SPAN_KIND_CLIENT)
	if len(spans) != arrived {
		t.Errorf("%d CLIENT spans, and %d requests arrived", len(spans), arrived)
	}
	more := arrived - calls
	if more < 1 || more > calls/20 {
		t.Errorf("%d second requests for %d calls", more, calls)
	}
	lost := 0
	for _, span := range spans {
		if span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("an error where all was well: %v", span)
		}
		if attribute(span.GetAttributes(), "outrider.lost") != "" {
			lost++
		}
	}
	if lost != more {
		t.Errorf("%d requests have lost, beside %d second ones", lost, more)
	}
	if !strings.Contains(metrics, `outrider_hedges_total{result="won",upstream="api"}`) {
		t.Errorf("no second request has won:\n%s", metrics)
	}
	if !strings.Contains(strings.Join(strings.Fields(explained), " "), " hedge a second request after ") {
		t.Errorf("explained: %s", explained)
	}
}
