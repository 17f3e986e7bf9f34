package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"outrider/proxy/alert"
	"outrider/proxy/simulator"
)

// noticed are the alerts that came to a notification URL.
type noticed struct {
	mu  sync.Mutex
	all []alert.Alert
}

func (n *noticed) serve(w http.ResponseWriter, r *http.Request) {
	var message struct{ Alerts []alert.Alert }
	data, _ := io.ReadAll(r.Body)
	if json.Unmarshal(data, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, message.Alerts...)
}

// names are the rules and subjects of what was told, sorted.
func (n *noticed) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := make([]string, 0, len(n.all))
	for _, a := range n.all {
		names = append(names, alertName(a))
	}
	slices.Sort(names)
	return names
}

func alertName(a alert.Alert) string {
	if a.Ended != nil {
		return "over: " + a.Rule + " " + a.Subject
	}
	return a.Rule + " " + a.Subject
}

// An outage, a grant that is taken back, and errors inside of answers with status 200: each
// is one alert, with a trace that the receiver has, a figure in the metrics and a word on
// the page; and of an upstream that is well nothing is told.
func TestEveryFailureIsSeenOnceAndNothingElse(t *testing.T) {
	if !apart(t) {
		return
	}
	home(t, "")
	outage, down := provide(t, simulator.Settings{Seed: 1})
	grants, crm := provide(t, simulator.Settings{Seed: 2})
	_, well := provide(t, simulator.Settings{Seed: 3})
	t.Setenv("CRM_SECRET", "secret-of-demo")
	refresh := grants.Grant("demo", "").RefreshToken
	t.Setenv("CRM_REFRESH", refresh)
	collector, told := receive(t), &noticed{}
	hook := upstream(t, told.serve)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
state_dir = %q
[telemetry]
endpoint = %q
[alerts]
notify = [%q]
[upstream.down]
url = %q
retry = { attempts = 1 }
[upstream.chat]
preset = "slack"
url = "%[5]s/quiet/slack"
hosts = []
auth = { type = "none" }
[upstream.well]
url = %[5]q
`, t.TempDir(), collector.url, hook.URL+"/hook", down, well)+rotating(crm, ""))
	calls := func(n int, path string, header ...string) {
		for i := range n {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url(fmt.Sprintf(path, i)), http.NoBody)
			for j := 0; j < len(header); j += 2 {
				req.Header.Set(header[j], header[j+1])
			}
			do(t, http.DefaultClient, req)
		}
	}
	b := openPage(t, r.adminAt)
	calls(30, "/well/echo/%d")
	calls(5, "/down/echo/%d")
	calls(2, "/crm/protected/%d")
	calls(5, "/chat/api/users.list?key=%d&times=0")

	// What goes wrong, and where it has to be seen.
	want := []struct {
		name, metric, page string
		inject             func()
	}{
		{"circuit-open down/circuit:" + strings.TrimPrefix(down, "http://"), `outrider_circuits{state="open",upstream="down"} 1`, "down", func() {
			if err := outage.Control(simulator.Control{Outage: "503"}); err != nil {
				t.Fatal(err)
			}
			calls(25, "/down/echo/%d")
		}},
		{"credential-dead crm", `outrider_refreshes_total{result="dead",upstream="crm"} 1`, "Reconnect crm", func() {
			resp, err := http.PostForm(crm+"/oauth/revoke", url.Values{"token": {refresh}, "client_id": {"demo"}, "client_secret": {"secret-of-demo"}})
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
			calls(3, "/crm/protected/%d")
		}},
		{"quiet-failures chat/quiet", `outrider_quiet_failures_total{reason="failed: ok: false",upstream="chat"} 10`, "chat answers 200", func() {
			calls(10, "/chat/api/users.list?error=channel_not_found&n=%d")
		}},
	}
	var names []string
	for _, failure := range want {
		began := time.Now()
		failure.inject()
		names = append(names, failure.name)
		var found alert.Alert
		eventually(t, failure.name, func() (bool, string) {
			r.telemetry.Flush() // the alert has the trace of its first call when that is told of
			at := slices.IndexFunc(r.alarms.Active(), func(a alert.Alert) bool { return alertName(a) == failure.name })
			if at >= 0 {
				found = r.alarms.Active()[at]
			}
			return at >= 0, fmt.Sprint(r.alarms.Active())
		})
		eventually(t, failure.metric, func() (bool, string) {
			_, body := r.ask(http.MethodGet, "/metrics")
			return strings.Contains(body, failure.metric+"\n"), body
		})
		b.until(fmt.Sprintf(`document.querySelector("#alerts").innerText.includes(%q)`, failure.page))
		eventually(t, "the trace of "+failure.name, func() (bool, string) {
			return slices.ContainsFunc(collector.kind(tracepb.Span_SPAN_KIND_SERVER), func(span *tracepb.Span) bool {
				return fmt.Sprintf("%x", span.TraceId) == found.Trace
			}), found.Trace
		})
		slices.Sort(names)
		eventually(t, "notification of "+failure.name, func() (bool, string) { return slices.Equal(told.names(), names), fmt.Sprint(told.names()) })
		t.Logf("%s: seen everywhere after %v", failure.name, time.Since(began).Round(time.Millisecond))
	}
	b.picture("alerts")
	calls(30, "/well/echo/%d")
	r.alarms.Look(r.states(), time.Now()) // which finds what no event tells of
	r.halt()
	if got := told.names(); !slices.Equal(got, names) {
		t.Errorf("told of %q, want %q", got, names)
	}
}
