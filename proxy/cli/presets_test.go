package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"outrider/policy/config"
	"outrider/policy/preset"
	"outrider/proxy/cli"
)

// presets runs `outrider presets`.
func presets(t *testing.T, args ...string) (code int, out, problems string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), cli.Process{Args: append([]string{"presets"}, args...), Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestPresetsAreListed(t *testing.T) {
	code, out, _ := presets(t)
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if len(rows) != 1+len(preset.Names()) {
		t.Errorf("%d rows for %d presets", len(rows), len(preset.Names()))
	}
	for _, want := range []string{
		"github           GitHub             https://api.github.com       bearer, oauth2  2026-11-01\n",
		"shopify          Shopify Admin API  your own                     header          2026-11-01\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no row\n%s in\n%s", want, out)
		}
	}
	var views []struct {
		Name string
		Auth []string
	}
	if _, out, _ = presets(t, "--json"); json.Unmarshal([]byte(out), &views) != nil || len(views) != len(preset.Names()) || views[2].Auth[0] != "bearer" {
		t.Errorf("--json: %s", out)
	}
}

func TestPresetIsPrintedAsConfiguration(t *testing.T) {
	code, out, _ := presets(t, "stripe")
	if code != 0 || !strings.HasPrefix(out, "# Stripe, verified 2026-11-01\n") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if _, err := config.Parse("printed", []byte(out)); err != nil {
		t.Error(err)
	}
	var p preset.Preset
	if _, out, _ = presets(t, "stripe", "--json"); json.Unmarshal([]byte(out), &p) != nil || p.Probe != "GET /v1/balance" || p.Upstream["retry"] == nil {
		t.Errorf("--json: %s", out)
	}
}

func TestUnknownPresetIsUsage(t *testing.T) {
	code, _, problems := presets(t, "strpe")
	if code != 2 || !strings.HasPrefix(problems, `outrider: the preset "strpe": must be one of anthropic, `) || !strings.HasSuffix(problems, `; did you mean "stripe"?`+"\n") {
		t.Errorf("exit code %d, %s", code, problems)
	}
}

func TestCheckSaysWhichPreset(t *testing.T) {
	t.Setenv("OUTRIDER_TEST_SECRET", "canary-secret")
	code, out, problems := check(t, `
[upstream.gh]
preset = "github"
auth   = { token = "env:OUTRIDER_TEST_SECRET" }

[upstream.crm]
preset = "salesforce"
url    = "https://acme.my.salesforce.com"
auth   = { grant = "client_credentials", client_id = "me", client_secret = "env:OUTRIDER_TEST_SECRET" }
`)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, problems)
	}
	for _, want := range []string{
		"\ngh → https://api.github.com\n  preset      github, verified 2026-11-01\n",
		"  credential  bearer, from env:OUTRIDER_TEST_SECRET\n",
		"  quota       100 at once, and what its answers tell, dialect github, per credential; waits up to 30s, 10000 in line\n",
		"  answer      403 429 with message that has \"secondary rate limit\" in it: throttled, for 1m where it names no time\n",
		"  quota       learned from its answers, dialect salesforce, per credential; waits up to 30s, 10000 in line\n",
		"  answer      403 with errorCode = REQUEST_LIMIT_EXCEEDED: exhausted\n",
		"  credential  oauth2 client_credentials, from https://acme.my.salesforce.com/services/oauth2/token; client a literal in the file" +
			"; refreshed 20% of its lifetime before its end, and once after a 401, save one of not_expiry\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "canary") {
		t.Error("a secret is in the plan")
	}
}
