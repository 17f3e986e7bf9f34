package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// say runs a command against a running sidecar.
func (r *running) say(args ...string) (code int, out, errs string) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(r.t.Context(), Process{Args: append(args, "--admin", r.adminAt), Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestAlertsSaysWhatIsWrongAndWhoIsTold(t *testing.T) {
	var down atomic.Bool
	hook := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	t.Setenv("HOOK", hook.URL+"/hook-canary")
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[alerts]\nnotify = [\"env:HOOK\"]\n", filepath.Join(dir, "state"))
	r := launchUnstopped(t, layFile(t, filepath.Join(dir, "config.toml"), document), document)
	defer r.halt()
	at, err := url.Parse(hook.URL)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := r.say("alerts"); code != 0 || out != "nothing is wrong that somebody has to act upon\n\nalerts.notify[0]    not told of anything yet\n" {
		t.Errorf("ends with %d:\n%s", code, out)
	}
	if code, out, errs := r.say("alerts", "test"); code != 0 || out != at.Host+"  webhook  took it\n" {
		t.Errorf("the test ends with %d:\n%s%s", code, out, errs)
	}
	down.Store(true)
	if code, out, errs := r.say("alerts", "test"); code != 1 || out != at.Host+"  webhook  it answered 404\n" || !strings.Contains(errs, at.Host+" did not take it") {
		t.Errorf("the test ends with %d:\n%s%s", code, out, errs)
	}
	r.alarms.Observe("0af7651916cd43dd8448eb211c80319c", policy.Event{Kind: policy.EventExhausted, Upstream: "crm", Key: "crm.test", Reason: "insufficient_quota"})
	code, out, _ := r.say("alerts")
	for _, part := range []string{
		"CRITICAL quota-exhausted for ", ": Quota of crm exhausted: insufficient_quota\n", "  the provider refuses the calls of crm.test, and no waiting helps soon\n",
		"  → See to the plan, or the bill, at the provider.", "  such as trace 0af7651916cd43dd8448eb211c80319c\n", at.Host + "  webhook  1 message, the last ", "; FAILING for ", ": it answered 404",
	} {
		if code != 0 || !strings.Contains(out, part) {
			t.Errorf("ends with %d, without %q:\n%s", code, part, out)
		}
	}
	if _, status, _ := r.say("status"); !strings.Contains(status, "WARNING: alerts do not reach "+at.Host+", for ") {
		t.Errorf("status says\n%s", status)
	}
	_, text, _ := r.say("alerts", "--json")
	var view alertsView
	if err := json.Unmarshal([]byte(text), &view); err != nil || len(view.Alerts) != 1 || len(view.Notified) != 1 || view.Notified[0].Failing == nil {
		t.Errorf("as JSON it is %v: %s", err, text)
	}
	r.rest()
	if all := out + text + r.log.String(); strings.Contains(all, "canary") {
		t.Errorf("a secret is shown:\n%s", all)
	}
}

// The names in a certificate, and what a token endpoint says, are somebody else's: with
// them they could paint over what is on the screen.
func TestAlertsSteerNoTerminal(t *testing.T) {
	hostile := alert.Alert{Rule: "certificate-refused", Severity: "critical", Title: "No trusted TLS with \x1b[2Jcrm.test",
		Detail: "tls: certificate is valid for \x1b]0;fine\a, \r\nnot crm.test", Action: "Look\b\b\b\b", Since: time.Now()}
	var out bytes.Buffer
	writeAlerts(&out, alertsView{Alerts: []alert.Alert{hostile}})
	printAlerts(&out, []alert.Alert{hostile})
	if strings.ContainsAny(out.String(), "\x1b\a\b\r") || strings.Count(out.String(), "valid for ?]0;fine?, ??not crm.test") != 2 {
		t.Errorf("it shows\n%q", out.String())
	}
}

func TestTestOfNobodyFails(t *testing.T) {
	r := launch(t, "")
	if code, _, errs := r.say("alerts", "test"); code != 1 || !strings.Contains(errs, "nobody is notified: alerts.notify is empty") {
		t.Errorf("ends with %d: %s", code, errs)
	}
}

// A mistyped rule was told after everything else had been repaired, without its line, and
// with the names of all rules in place of the one that was meant.
func TestRulesAreChecked(t *testing.T) {
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "log = 1\n[alerts.rule.quota-lwo]\noff = true\n[alerts.rule.everything]\noff = true\n")
	code, _, errs := commandLine("", "check", "--config", path)
	for _, want := range []string{
		"config.toml:1: log: unknown key",
		"config.toml:2: alerts.rule.quota-lwo: unknown key; did you mean \"quota-low\"?\n",
		"config.toml:4: alerts.rule.everything: unknown key; known here: certificate-expiring, ",
	} {
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("check ends with %d, without %q: %s", code, want, errs)
		}
	}
}

// A rule that a reload turns off is over; its quiet hours begin with the reload.
func TestReloadChangesRules(t *testing.T) {
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n", filepath.Join(dir, "state"))
	path := layFile(t, filepath.Join(dir, "config.toml"), document)
	r := launchUnstopped(t, path, document)
	defer r.halt()
	opened := policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "crm.test", From: "closed", To: "open"}
	r.alarms.Observe("", opened)
	if got := r.subjectsOf(); got != "crm/circuit:crm.test" {
		t.Fatalf("there are alerts about %q", got)
	}
	now := time.Now().UTC()
	writeFile(t, path, document+fmt.Sprintf("[alerts]\nzone = \"UTC\"\n[alerts.rule.circuit-open]\noff = true\n[alerts.rule.credential-dead]\nquiet = \"%s-%s\"\n",
		now.Add(-time.Hour).Format("15:04"), now.Add(time.Hour).Format("15:04")))
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	r.alarms.Observe("", opened)
	r.alarms.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "default", Reason: "dead"})
	if got := r.subjectsOf(); got != "crm" || r.alarms.Held() != 1 {
		t.Errorf("there are alerts about %q, and %d held back", got, r.alarms.Held())
	}
}
