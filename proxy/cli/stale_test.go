package cli

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"outrider/proxy/simulator"
)

// A provider answers, and then is down: callers get what it said last, marked, and nobody
// is told that all is well. What is kept is in no log, on no page and in no file.
func TestProviderThatIsDownIsAnsweredForFromMemory(t *testing.T) {
	home(t, "")
	_, provider := provide(t, simulator.Settings{Seed: 1})
	collector, state := receive(t), t.TempDir()
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
state_dir = %q
[telemetry]
log_level = "debug"
endpoint = %q
[upstream.api]
url = %q
stale_if_error = "10m"
retry = { attempts = 2, base = "1ms", cap = "1ms" }
`, state, collector.url, provider))
	ask := func(method, path, caller string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url(path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+caller)
		return do(t, http.DefaultClient, req)
	}
	order := func(document string) {
		t.Helper()
		resp, err := http.Post(provider+"/_control", "application/json", strings.NewReader(document))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}

	first, body := ask("GET", "/api/echo/a?q=canary-query", "canary-one")
	if first.StatusCode != 200 || first.Header.Get("Cache-Status") != "" || !strings.Contains(body, "canary-one") {
		t.Fatalf("%d %v %s", first.StatusCode, first.Header, body)
	}

	head, _ := ask("HEAD", "/api/echo/a", "canary-one")

	order(`{"outage":"503"}`)
	if resp, _ := ask("HEAD", "/api/echo/a", "canary-one"); resp.StatusCode != 200 || resp.ContentLength != head.ContentLength || resp.Header.Get("Age") == "" {
		t.Errorf("a HEAD got %d %v", resp.StatusCode, resp.Header)
	}
	resp, again := ask("GET", "/api/echo/a?q=canary-query", "canary-one")
	if resp.StatusCode != 200 || again != body || resp.Header.Get("Age") == "" || resp.Header.Get("Outrider-Attempts") != "2" || resp.Header.Get("Outrider-Retry") != "attempts" ||
		resp.Header.Get("Cache-Status") != `outrider; fwd=stale; fwd-status=503; detail="status 503"` || resp.Header.Get("X-Should-Retry") != "" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, again)
	}
	if resp, _ := ask("GET", "/api/echo/a?q=canary-query", "canary-two"); resp.StatusCode != 503 {
		t.Errorf("another caller got %d", resp.StatusCode)
	}
	if resp, _ := ask("POST", "/api/echo/a?q=canary-query", "canary-one"); resp.StatusCode != 503 {
		t.Errorf("a POST got %d", resp.StatusCode)
	}

	order(`{"outage":"reset"}`)
	resp, again = ask("GET", "/api/echo/a?q=canary-query", "canary-one")
	if resp.StatusCode != 200 || again != body || resp.Header.Get("Cache-Status") != `outrider; fwd=stale; detail="no answer"` {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, again)
	}

	r.rest()
	told := map[string]string{}
	for _, path := range []string{"/api/status", "/api/calls", "/metrics"} {
		_, told[path] = get(t, http.DefaultClient, "http://"+r.adminAt+path)
	}
	for _, args := range [][]string{{"status"}, {"explain", "GET", "/api/echo/a"}} {
		_, told[args[0]], _ = commandLine("", append(args, "--admin", r.adminAt)...)
	}
	r.halt()
	told["log"], told["spans"] = r.log.String(), collector.text()
	var failures []string
	for _, span := range collector.kind(tracepb.Span_SPAN_KIND_SERVER) {
		if reason := attribute(span.Attributes, "outrider.stale"); reason != "" {
			failures = append(failures, reason+": "+attribute(span.Attributes, "error.type")+" "+attribute(span.Attributes, "http.response.status_code"))
		}
	}
	if want := []string{"status 503: 503 200", "status 503: 503 200", "no answer: connection_reset 200"}; !slices.Equal(failures, want) {
		t.Errorf("spans tell of %q, want %q", failures, want)
	}
	for place, want := range map[string]string{
		"log":         `"status":200,"class":"fault","problem":"","answered_by":"stale","attempts":2`,
		"/api/calls":  `"stale":"status 503"`,
		"/metrics":    `outrider_stale_total{reason="status 503",upstream="api"} 2`,
		"/api/status": `"answers":2`,
		"status":      "2 answers",
		"explain":     "at most 10m old",
	} {
		if !strings.Contains(told[place], want) {
			t.Errorf("%s does not say %s:\n%s", place, want, told[place])
		}
	}
	files := os.DirFS(state)
	_ = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			data, _ := fs.ReadFile(files, path)
			told[filepath.Join("state", path)] = string(data)
		}
		return nil
	})
	for place, text := range told {
		if strings.Contains(text, "canary") {
			t.Errorf("%s has what passed between the caller and the provider:\n%s", place, text)
		}
	}
}
