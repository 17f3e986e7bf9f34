package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// A dead grant is told wherever somebody may look, once, and to whom it is to be told.
func TestDeadGrantIsAnAlert(t *testing.T) {
	_, base := identity(t)
	var mu sync.Mutex
	var told []string
	hook := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, string(body))
	})
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", "revoked-canary")
	t.Setenv("HOOK", hook.URL+"/hook-canary")
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[telemetry]\nservice_name = \"crm-sync\"\n[alerts]\nnotify = [\"env:HOOK\"]\n", filepath.Join(dir, "state")) + rotating(base, "")
	r := launchUnstopped(t, layFile(t, filepath.Join(dir, "config.toml"), document), document)
	for range 3 {
		get(t, http.DefaultClient, r.url("/crm/protected/x"))
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"status", "--admin", r.adminAt}, Stdout: &out, Stderr: &errs}); code != 0 ||
		!strings.Contains(out.String(), "ALERT for ") || !strings.Contains(out.String(), ": Reconnect crm: oauth2: asking ") {
		t.Errorf("status says\n%s%s", out.String(), errs.String())
	}
	r.halt() // which sends what waits
	if lines := r.logged("alert"); len(lines) != 1 || lines[0]["title"] != "Reconnect crm" || lines[0]["level"] != "ERROR" {
		t.Errorf("logged %v", lines)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], `{"source":"crm-sync on `+host+`","alerts":[`) || !strings.Contains(told[0], `"rule":"credential-dead","severity":"critical","subject":"crm","title":"Reconnect crm"`) ||
		!strings.Contains(told[0], `"action":"Put a new one where the configuration reads it: a file is read again within seconds, the environment at the next start.","trace":"`) || !strings.Contains(told[0], `"calls":3`) {
		t.Errorf("told %q", told)
	}
	if all := out.String() + r.log.String() + strings.Join(told, ""); strings.Contains(all, "canary") {
		t.Errorf("a secret is shown:\n%s", all)
	}
}

// subjectsOf are those of the alerts that last.
func (r *running) subjectsOf() string {
	var subjects []string
	for _, a := range r.alarms.Active() {
		subjects = append(subjects, a.Subject)
	}
	slices.Sort(subjects)
	return strings.Join(subjects, " ")
}

// The alert about a dead grant went on until the next token request, an hour later,
// although somebody had logged in again by another process, and calls went through.
func TestLoginEndsTheAlert(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	r := launchFile(t, config)
	get(t, http.DefaultClient, r.url("/crm/protected/x"))
	if got := r.subjectsOf(); got != "crm" {
		t.Fatalf("before the login there are alerts about %q", got)
	}
	logIn(t, config)
	eventually(t, "the login", func() (bool, string) {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode == 200, body
	})
	if got := r.subjectsOf(); got != "" {
		t.Errorf("after the login there are alerts about %q", got)
	}
	if n := len(r.logged("alert is over")); n != 1 {
		t.Errorf("told %d times that it is over", n)
	}
}

// The alert about a credential that a reload took out of the configuration stayed until
// the next start.
func TestReloadForgetsAlertsOfWhatIsGone(t *testing.T) {
	_, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", "revoked-1")
	t.Setenv("ACME_REFRESH", "revoked-2")
	dir := t.TempDir()
	head := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(dir, "state"))
	crm := rotating(base, "") + "[upstream.crm.connection.acme]\nrefresh_token = \"env:ACME_REFRESH\"\n"
	gone := strings.ReplaceAll(rotating(base, ""), "upstream.crm", "upstream.gone")
	gone = strings.Replace(gone, "[upstream.gone]\n", "[upstream.gone]\nhosts = []\n", 1)
	path := layFile(t, filepath.Join(dir, "config.toml"), head+crm+gone)
	r := launchUnstopped(t, path, head+crm+gone)
	defer r.halt()
	for _, subject := range []string{"default", "connection acme", "connection of-the-store"} {
		for _, upstream := range []string{"crm", "gone"} {
			r.alarms.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: upstream, Key: subject, Reason: "dead"})
		}
	}
	writeFile(t, path, head+rotating(base, ""))
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	if got, want := r.subjectsOf(), "crm crm/connection of-the-store"; got != want {
		t.Errorf("there are alerts about %q, want %q", got, want)
	}
}

// What a reload says of notification URLs holds from then on.
func TestReloadSaysWhoIsNotified(t *testing.T) {
	told := make(chan string, 2)
	hook := upstream(t, func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.Path })
	dir := t.TempDir()
	document := func(path string) string {
		return anyPorts + fmt.Sprintf("state_dir = %q\n[alerts]\nnotify = [%q]\n", filepath.Join(dir, "state"), hook.URL+path)
	}
	path := layFile(t, filepath.Join(dir, "config.toml"), document("/first"))
	r := launchUnstopped(t, path, document("/first"))
	writeFile(t, path, document("/second"))
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	r.alarms.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "acme", Reason: "dead"})
	r.halt()
	if got := <-told; got != "/second" || len(told) > 0 {
		t.Errorf("told %s and %d more, want /second alone", got, len(told))
	}
}

// What is known of those who are notified began anew with each reload that changed one of
// them: what waited for the others was lost, and so was how much they had been told.
func TestReloadLeavesThoseWhoStayAlone(t *testing.T) {
	hook := upstream(t, func(http.ResponseWriter, *http.Request) {})
	dir := t.TempDir()
	document := func(notify string) string {
		return anyPorts + fmt.Sprintf("state_dir = %q\n[alerts]\nnotify = [%s]\n", filepath.Join(dir, "state"), notify)
	}
	first, second := fmt.Sprintf("%q", hook.URL+"/first"), fmt.Sprintf("%q", hook.URL+"/second")
	path := layFile(t, filepath.Join(dir, "config.toml"), document(first))
	r := launchUnstopped(t, path, document(first))
	defer r.halt()
	if status, body := r.ask("POST", "/api/alerts/test"); status != http.StatusOK {
		t.Fatalf("test: %d %s", status, body)
	}
	writeFile(t, path, document(second+", "+first))
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	_, body := r.ask("GET", "/api/status")
	var state struct{ Notified []alert.TargetStatus }
	if err := json.Unmarshal([]byte(body), &state); err != nil || len(state.Notified) != 2 || state.Notified[0].Sent != 0 || state.Notified[1].Sent != 1 {
		t.Errorf("notified are %+v (%v), want one who was told nothing, and one who was told once", state.Notified, err)
	}
}

// An alert about an upstream, or a credential of a rule, that a reload took away is over.
// It lasted until the next start, for nothing could end it.
func TestAlertEndsWithItsUpstream(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(dir, "state"))
	customersEnvironment(t)
	r := launchUnstopped(t, layFile(t, path, document+customers("http://127.0.0.1:1")), document)
	for _, key := range []string{"connection listed", "connection acme", "connection gone"} {
		r.alarms.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: key, Reason: "dead"})
	}
	r.alarms.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: "other", Key: "default", Reason: "dead"})
	reload := func(document string, want int) {
		t.Helper()
		writeFile(t, path, document)
		if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
			t.Fatalf("reload: %d %s", status, body)
		}
		if active := r.alarms.Active(); len(active) != want {
			t.Errorf("%d alerts last: %+v, want %d", len(active), active, want)
		}
	}
	reload(document+customers("http://127.0.0.1:2"), 3) // those of crm: the store may have them
	reload(document, 0)
	r.halt()
}

// A call under a rule with a credential of its own was counted for the upstream's, too, and
// gave its trace to an alert that it had nothing to do with.
func TestCallMeetsTheAlertOfItsOwnCredential(t *testing.T) {
	_, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", "revoked-1")
	t.Setenv("REPORTS_REFRESH", "revoked-2")
	rule := fmt.Sprintf(`[[upstream.crm.rule]]
match = "GET /protected/reports"
auth = { type = "oauth2", grant = "refresh_token", token_url = "%s/oauth/token", client_id = "demo", client_secret = "env:CRM_SECRET", refresh_token = "env:REPORTS_REFRESH" }
[[upstream.crm.rule]]
match = "GET /protected/people"
timeout = "10s"
`, base)
	r := launch(t, rotating(base, "")+rule)
	for _, path := range []string{"reports", "reports", "people", "x", "x"} {
		get(t, http.DefaultClient, r.url("/crm/protected/"+path))
	}
	r.rest()
	got := make(map[string]int)
	for _, a := range r.alarms.Active() {
		got[a.Subject] = a.Calls
	}
	if want := map[string]int{"crm": 3, "crm/GET /protected/reports": 2}; !maps.Equal(got, want) {
		t.Errorf("alerts have met so many calls: %v, want %v", got, want)
	}
}

func TestNotificationURLsAreChecked(t *testing.T) {
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "[alerts]\nnotify = [\"env:HOOK\", \"env:MISSING_HOOK\"]\nsecret = \"env:MISSING_SECRET\"\n")
	t.Setenv("HOOK", "ftp://hook-canary")
	unsigned := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "alerts.secret = \"env:SIGNING\"\n")
	t.Setenv("SIGNING", "whsec_canary!") // which would sign, and nobody could verify it
	if code, said, errs := commandLine("", "check", "--config", unsigned); code != 2 || !strings.Contains(errs, "alerts.secret: must be base64 after whsec_") || strings.Contains(errs, "canary") {
		t.Errorf("check ends with %d: %s%s", code, said, errs)
	}
	var out bytes.Buffer
	code := Main(t.Context(), Process{Args: []string{"check", "--config", path}, Stdout: &out, Stderr: &out})
	for _, part := range []string{"alerts.notify[0]: must be an https:// URL", "alerts.notify[1]: ", "MISSING_HOOK", "alerts.secret: ", "MISSING_SECRET"} {
		if code != 2 || !strings.Contains(out.String(), part) || strings.Contains(out.String(), "canary") {
			t.Fatalf("check ends with %d, without %q:\n%s", code, part, out.String())
		}
	}
}

func TestStatusShowsTheNewestAlerts(t *testing.T) {
	var out bytes.Buffer
	printAlerts(&out, make([]alert.Alert, 12))
	if got := strings.Count(out.String(), "ALERT for "); got != 10 || !strings.HasSuffix(out.String(), "and 2 more alerts: outrider alerts\n") {
		t.Errorf("it shows\n%s", out.String())
	}
	out.Reset()
	printAlerts(&out, []alert.Alert{{Title: "Reconnect crm", Detail: "invalid_grant", Since: time.Now().Add(-time.Minute)}})
	if !strings.HasPrefix(out.String(), "ALERT for 1m") || !strings.HasSuffix(out.String(), "s: Reconnect crm: invalid_grant\n") {
		t.Errorf("it shows\n%s", out.String())
	}
}

func TestCheckSaysWhenACredentialEnds(t *testing.T) {
	t.Setenv("KEY", "a-key-that-ends")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "[upstream.crm]\nurl = \"https://crm.test\"\nauth = { type = \"bearer\", token = \"env:KEY\", expires = \"2027-01-31\" }\n")
	if code, said, errs := commandLine("", "check", "--config", path); code != 0 || !strings.Contains(said, "bearer, from env:KEY, until 2027-01-31 00:00 UTC\n") {
		t.Errorf("check ends with %d: %s%s", code, said, errs)
	}
}
