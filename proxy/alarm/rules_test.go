package alarm_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"outrider/policy/config"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
)

// docs/telemetry.md lists all rules.
func TestEveryRuleIsDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range alarm.Rules() {
		if !strings.Contains(string(docs), "\n| `"+rule.Name+"` | ") {
			t.Errorf("docs/telemetry.md lacks a line about %s", rule.Name)
		}
	}
}

// The configuration takes the names of the rules that there are.
func TestConfigurationKnowsEveryRule(t *testing.T) {
	var names []string
	for _, rule := range alarm.Rules() {
		names = append(names, rule.Name)
	}
	slices.Sort(names)
	if known := config.AlertRuleNames(); !slices.Equal(known, names) {
		t.Errorf("the configuration takes %q, the rules are %q", known, names)
	}
}

// A reload must not say that it is over.
func TestLookedAtTroubleOutlivesAReload(t *testing.T) {
	a, _ := newTestAlarms(t)
	for _, subject := range []string{"crm/low:api.test core", "gone/low:api.test core", "crm/circuit:api.test", "gone/circuit:api.test"} {
		a.Book().Raise(alert.Rule{Name: "looked-at"}, alert.Trouble{Subject: subject})
	}
	a.Follow(compiled(t, "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n"))
	var kept []string
	for _, active := range a.Active() {
		kept = append(kept, active.Subject)
	}
	slices.Sort(kept)
	if want := []string{"crm/circuit:api.test", "crm/low:api.test core"}; !slices.Equal(kept, want) {
		t.Errorf("there are alerts about %q, want %q", kept, want)
	}
}
