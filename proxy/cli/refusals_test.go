package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What comes of a refusal in a provider's own words, with the preset that knows them, for
// a call that is sent again where that is right: what its caller gets, and how many
// requests reached the provider.
func TestRefusalsThatAPresetKnows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		preset, refusal string
		method          string
		status, sent    int
	}{
		{"openai", "openai-quota", "GET", 429, 1},
		{"salesforce", "salesforce-day", "GET", 403, 1},
		{"hubspot", "hubspot-day", "GET", 429, 1},
		{"hubspot", "hubspot-second", "GET", 200, 2},
		{"google", "google-day", "GET", 403, 1},
		{"google", "google-rate", "GET", 200, 2},
		{"google", "google-permission", "GET", 403, 1},
		{"github", "github-primary", "GET", 200, 2},
		{"github", "github-primary", "POST", 403, 1},
		{"github", "github-secondary", "GET", 403, 1}, // a minute is longer than the call may take
		{"github", "github-permission", "GET", 403, 1},
		{"shopify", "shopify-points", "GET", 200, 2},
		{"slack", "slack-rate", "GET", 200, 2},
		{"stripe", "stripe-lock", "POST", 200, 2},
		{"atlassian", "atlassian-issue", "GET", 200, 2},
	} {
		t.Run(test.refusal+" "+test.method, func(t *testing.T) {
			t.Parallel()
			sim, base := identity(t)
			r := launch(t, fmt.Sprintf("[upstream.api]\npreset = %q\nurl = %q\nauth = { type = \"none\" }\ntimeout = \"50s\"\n", test.preset, base))
			req, err := http.NewRequestWithContext(t.Context(), test.method, r.url("/api/refused/"+test.refusal+"?times=1"), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := do(t, http.DefaultClient, req)
			if sent := sim.Stats().Requests; resp.StatusCode != test.status || int(sent) != test.sent {
				t.Errorf("answered %d after %d requests, want %d after %d", resp.StatusCode, sent, test.status, test.sent)
			}
			if test.sent > 1 {
				if body != `{"ok":true,"call":2}`+"\n" {
					t.Errorf("got %q", body)
				}
				return
			}
			_, own := get(t, http.DefaultClient, base+"/refused/"+test.refusal)
			if body != own {
				t.Errorf("got %q, the provider says %q", body, own)
			}
		})
	}
}

// A quota that no waiting brings back is told of wherever somebody may look, once, until
// a call goes through, and never in the words of the answer.
func TestExhaustedQuotaIsAnAlert(t *testing.T) {
	_, base := identity(t)
	var mu sync.Mutex
	var told []string
	hook := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, string(body))
	})
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[alerts]\nnotify = [%q]\n[telemetry]\nlog_level = \"debug\"\n", filepath.Join(dir, "state"), hook.URL) +
		fmt.Sprintf("[upstream.openai]\npreset = \"openai\"\nurl = %q\nauth = { type = \"none\" }\n", base)
	path := layFile(t, filepath.Join(dir, "config.toml"), document)
	r := launchUnstopped(t, path, document)

	for range 3 {
		resp, body := get(t, http.DefaultClient, r.url("/openai/refused/openai-quota?times=3"))
		if resp.StatusCode != 429 || !strings.Contains(body, "check your plan") || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("answered %d %v %s", resp.StatusCode, resp.Header, body)
		}
	}
	const title = "Quota of openai exhausted: insufficient_quota"
	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"status", "--admin", r.adminAt}, Stdout: &out, Stderr: &errs}); code != 0 ||
		strings.Count(out.String(), "ALERT for ") != 1 || !strings.Contains(out.String(), ": "+title+": the provider refuses the calls of 127.0.0.1:") {
		t.Errorf("status says\n%s%s", out.String(), errs.String())
	}
	writeFile(t, path, document+"[upstream.other]\nurl = \"https://other.example\"\n")
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	if lines := r.logged("alert"); len(lines) != 1 || lines[0]["title"] != title || lines[0]["rule"] != "quota-exhausted" {
		t.Errorf("logged %v", lines)
	}
	if n := len(r.logged("alert is over")); n != 0 {
		t.Error("a reload ended the alert")
	}

	if resp, _ := get(t, http.DefaultClient, r.url("/openai/refused/openai-quota?times=3")); resp.StatusCode != 200 {
		t.Errorf("answered %d after the quota is there again", resp.StatusCode)
	}
	if n := len(r.logged("alert is over")); n != 1 {
		t.Errorf("told %d times that it is over", n)
	}
	r.halt() // which sends what waits
	all := strings.Join(told, "")
	if strings.Count(all, `"rule":"quota-exhausted"`) != 2 || strings.Count(all, `"ended":`) != 1 {
		t.Errorf("told %q", told)
	}
	if all += out.String() + r.log.String(); strings.Contains(all, "check your plan") || strings.Contains(all, "billing") {
		t.Errorf("the words of the answer are shown:\n%s", all)
	}
	if calls := r.logged("call"); len(calls) != 4 || calls[0]["class"] != "quota-exhausted" {
		t.Errorf("logged calls %v", calls)
	}
}
