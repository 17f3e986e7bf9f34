package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
)

func TestAlertRulesAreRead(t *testing.T) {
	f := mustParse(t, `
[alerts]
zone = "Europe/Berlin"
[alerts.rule.quota-low]
quiet = "22:00-07:00"
after = "10m"
[alerts.rule.clock-skew]
off = true
`)
	want := []config.AlertRule{
		{Name: "clock-skew", Off: true},
		{Name: "quota-low", After: 10 * time.Minute, Quiet: config.Quiet{From: 22 * 60, To: 7 * 60}},
	}
	if f.Alerts.Zone != "Europe/Berlin" || !slices.Equal(f.Alerts.Rules, want) {
		t.Errorf("got %+v, want %+v", f.Alerts, want)
	}
	if got := f.Alerts.Rules[1].Quiet.String(); got != "22:00-07:00" {
		t.Errorf("the hours are written %q", got)
	}
}

func TestAlertRulesAreStrict(t *testing.T) {
	for document, want := range map[string]string{
		`alerts.rule = 1`:                              "alerts.rule = 1: must be a table for each rule: [alerts.rule.NAME]",
		`alerts.rule.quota-low.quiet = "22-7"`:         `alerts.rule.quota-low.quiet = "22-7": must be two times of the day, such as "22:00-07:00"`,
		`alerts.rule.quota-low.quiet = "07:00-07:00"`:  "must be two times of the day",
		`alerts.rule.quota-low.quiet = "22:00-24:30"`:  "must be two times of the day",
		`alerts.rule.quota-low.after = "0s"`:           "alerts.rule.quota-low.after",
		`alerts.rule.quota-low.afer = "1s"`:            `did you mean "after"`,
		`alerts.zone = "Berlin"`:                       `alerts.zone = "Berlin": must be the name of a time zone, such as "Europe/Berlin"`,
		`alerts.rule.quota-low.off = "yes"`:            "alerts.rule.quota-low.off",
		"[alerts.rule]\nquota-low = \"22:00-07:00\"\n": "must be a table: [alerts.rule.quota-low]",
	} {
		if _, err := config.Parse("", []byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", document, err, want)
		}
	}
}
