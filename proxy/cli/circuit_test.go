package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
)

// What an operator says of a circuit holds at once and for everybody, is shown wherever
// its state is, and is told in the log once.
func TestCircuitCommand(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	host := server.Listener.Addr().String()
	r := launch(t, api(host))
	run := func(args ...string) string {
		t.Helper()
		code, out, errs := commandLine("", append(args, "--admin", r.adminAt)...)
		if code != exitFine || errs != "" {
			t.Errorf("%q ended with %d: %s", args, code, errs)
		}
		return out
	}
	wants := func(out string, parts ...string) {
		t.Helper()
		plain := strings.Join(strings.Fields(out), " ")
		for _, part := range parts {
			if !strings.Contains(plain, part) {
				t.Errorf("%q does not say %q", plain, part)
			}
		}
	}

	wants(run("circuit", "open", "api"), "api circuit all, those to come too open, by an operator, until outrider circuit close")
	resp, body := get(t, http.DefaultClient, r.url("/api/x"))
	if resp.StatusCode != 503 || slug(body) != "circuit-open" || resp.Header.Get("Retry-After") != "" ||
		!strings.Contains(body, "circuit of "+host+" was opened by an operator, until one closes it") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	wants(run("status"), "circuit all, those to come too open, by an operator", "circuit "+host+" open, by an operator")
	wants(run("explain", "GET", "/api/x"), "→ refused with 503 circuit-open: an operator opened the circuit, until one closes it",
		"circuit "+host+", open, by an operator")

	wants(run("circuit", "close", "api"), "api circuit "+host+" closed")
	if resp, body := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}

	wants(run("circuit", "open", "api", "--key", host, "--for", "1h"), "api circuit "+host+" open for ", ", by an operator")
	if resp, body := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 503 || !strings.HasPrefix(resp.Header.Get("Retry-After"), "3") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	var report policy.CircuitReport
	if err := json.Unmarshal([]byte(run("circuit", "close", "api", "--json")), &report); err != nil ||
		report.Upstream != "api" || len(report.Circuits) != 1 || report.Circuits[0].State != "closed" {
		t.Errorf("%+v %v", report, err)
	}

	for _, line := range []string{
		`"msg":"all circuits of an upstream were set by an operator","upstream":"api","to":"open"`,
		`"msg":"all circuits of an upstream were set by an operator","upstream":"api","to":"closed"`,
		`"msg":"a circuit was set by an operator","upstream":"api","to":"open","circuit":"` + host + `","until":"`,
	} {
		if !strings.Contains(r.log.String(), line) {
			t.Errorf("the log has no %s:\n%s", line, r.log)
		}
	}
	if n := strings.Count(r.log.String(), "by an operator\",\"upstream"); n != 4 {
		t.Errorf("%d lines about 4 orders:\n%s", n, r.log)
	}
}

func TestCircuitCommandRefuses(t *testing.T) {
	home(t, "")
	r := launch(t, api("127.0.0.1:1"))
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"circuit", exitUsage, "what? outrider circuit open or close"},
		{"circuit open", exitUsage, "accepts 1 arg(s)"},
		{"circuit open api --for 0s", exitUsage, "--for 0s: must be longer than 0"},
		{"circuit close api --for 1m", exitUsage, "unknown flag: --for"},
		{"circuit open api --key=", exitUsage, "--key is empty: name one circuit, or leave --key out for all"},
		{"circuit close api --key=", exitUsage, "--key is empty"},
		{"circuit open apo", exitFailed, "there is no [upstream.apo]"},
		{"circuit open api --key nowhere", exitFailed, `upstream.api has no circuit "nowhere", and no other: the first call to a host makes one`},
	} {
		code, _, errs := commandLine("", append(strings.Fields(c.args), "--admin", r.adminAt)...)
		if code != c.code || !strings.Contains(errs, c.text) {
			t.Errorf("%s: %d %s, want %d and %s", c.args, code, errs, c.code, c.text)
		}
	}
}

func TestStateOfACircuitInWords(t *testing.T) {
	synctest.Test(t, statesOfCircuits)
}

func statesOfCircuits(t *testing.T) {
	soon := time.Now().Add(90 * time.Second)
	for _, c := range []struct {
		state policy.CircuitStatus
		want  string
	}{
		{policy.CircuitStatus{State: "closed"}, "closed"},
		{policy.CircuitStatus{State: "closed", Share: 0.371}, "closed by a probe, 37% of the calls pass so far"},
		{policy.CircuitStatus{State: "half-open", Cause: "operator"}, "half-open"},
		{policy.CircuitStatus{State: "open", Cause: "failures"}, "open, the next call is its probe"},
		{policy.CircuitStatus{State: "open", Cause: "operator"}, "open, the next call is its probe"},
		{policy.CircuitStatus{State: "open", Cause: "failures", Until: &soon}, "open for 1m30s"},
		{policy.CircuitStatus{State: "open", Cause: "operator", Until: &soon}, "open for 1m30s, by an operator"},
		{policy.CircuitStatus{State: "open", Cause: "operator", Held: true}, "open, by an operator, until outrider circuit close"},
	} {
		if got := circuitState(c.state); got != c.want {
			t.Errorf("%+v is %q, want %q", c.state, got, c.want)
		}
	}
}
