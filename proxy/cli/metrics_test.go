package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the gauges of the process read is that of the sidecar which they are told by.
func TestMetricsTellOfTheSidecar(t *testing.T) {
	server := upstream(t, echoTarget)
	path := filepath.Join(t.TempDir(), "config.toml")
	good := anyPorts + api(server.Listener.Addr().String())
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	r := launchFile(t, path)
	if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Fatalf("got %d", resp.StatusCode)
	}
	r.metered(
		`outrider_config_last_reload_success 1`,
		`outrider_connections{upstream="api"} 1`,
		`outrider_requests_active{upstream="api"} 0`,
		`outrider_calls_active 0`,
		`outrider_tunnels 0`,
		`outrider_alerts{rule="quota-low"} 0`,
	)

	if err := os.WriteFile(path, []byte(good+"nonsense = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.ask("POST", "/reload")
	r.metered(`outrider_config_last_reload_success 0`)
}

// metered waits until the metrics page has these lines: a client has its answer a moment
// before its call has ended.
func (r *running) metered(lines ...string) {
	r.t.Helper()
	for _, line := range lines {
		eventually(r.t, line, func() (bool, string) {
			_, text := r.ask("GET", "/metrics")
			return strings.Contains("\n"+text, "\n"+line+"\n"), text
		})
	}
}
