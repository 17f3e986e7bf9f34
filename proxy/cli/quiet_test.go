package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"outrider/proxy/simulator"
)

// A provider answers 200, and says in the body that nothing was done: the client gets that
// as it is, and it is seen on the span, in the log, in the metrics, on the page and as one
// alert.
func TestFailuresInGoodAnswersAreSeen(t *testing.T) {
	home(t, "")
	_, provider := provide(t, simulator.Settings{Seed: 1})
	collector := receive(t)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
state_dir = %q
[telemetry]
endpoint = %q
[upstream.slack]
preset = "slack"
url = "%[3]s/quiet/slack"
hosts = []
auth = { type = "none" }
retry = { attempts = 2, base = "1ms", cap = "1ms" }
[upstream.shop]
url = "%[3]s/quiet"
hosts = []
results = ["data"]
[[upstream.shop.answer]]
match  = "POST /quiet/graphql*"
status = 200
field  = "errors"
means  = "failed"
`, t.TempDir(), collector.url, provider))
	ask := func(method, path string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url(path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, http.DefaultClient, req)
	}

	for range 6 {
		if resp, body := ask("POST", "/slack/api/chat.postMessage"); resp.StatusCode != 200 || body != `{"ok":false,"error":"channel_not_found"}`+"\n" {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if resp, body := ask("GET", "/slack/api/users.list?error=internal_error&times=1&key=a"); resp.Header.Get("Outrider-Attempts") != "2" || !strings.Contains(body, `"ok":true`) {
		t.Errorf("a fault was not asked again: %v %s", resp.Header, body)
	}
	if resp, body := ask("POST", "/slack/api/chat.postMessage?error=fatal_error"); resp.StatusCode != 200 || resp.Header.Get("Outrider-Attempts") != "" || !strings.Contains(body, "fatal_error") {
		t.Errorf("a fault of a POST: %v %s", resp.Header, body)
	}
	if resp, body := ask("POST", "/shop/graphql"); resp.StatusCode != 200 || !strings.Contains(body, `"data":null`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for i := range 80 {
		ask("GET", fmt.Sprintf("/shop/empty/orders/%d?key=%[1]d&times=%d", 1+i, i/60))
	}

	for path, parts := range map[string][]string{
		"/api/calls?filter=quiet":  {`"quiet":"failed: ok: false"`, `"quiet":"failed: errors"`},
		"/api/calls?filter=failed": {`"class":"fault"`, `"quiet":"fault: fatal_error"`},
		"/metrics": {`outrider_quiet_failures_total{reason="failed: ok: false",upstream="slack"} 6`,
			`outrider_quiet_failures_total{reason="fault: internal_error",upstream="slack"} 1`, `outrider_retries_total{reason="fault: internal_error",upstream="slack"} 1`},
		"/api/status": {`"rule":"quiet-failures"`, `"subject":"slack/quiet"`, `"rule":"results-empty"`, `GET 127.0.0.1:`, `the latest 20 answers are empty lists`},
	} {
		_, body := get(t, http.DefaultClient, "http://"+r.adminAt+path)
		for _, part := range parts {
			if !strings.Contains(body, part) {
				t.Errorf("%s lacks %s:\n%s", path, part, body)
			}
		}
		if path == "/api/status" && strings.Count(body, `"rule":"`) != 2 {
			t.Errorf("not two alerts:\n%s", body)
		}
	}
	r.halt()
	if !strings.Contains(r.log.String(), `"quiet":"failed: ok: false"`) {
		t.Error("the log does not have it")
	}
	seen, faults := 0, 0
	for _, span := range collector.kind(tracepb.Span_SPAN_KIND_SERVER) {
		if attribute(span.Attributes, "outrider.quiet") != "" {
			seen++
		}
		if attribute(span.Attributes, "error.type") == "fault" && span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			faults++
		}
	}
	if seen != 8 || faults != 1 {
		t.Errorf("%d spans say so, want 8; %d are errors, want 1", seen, faults)
	}
}
