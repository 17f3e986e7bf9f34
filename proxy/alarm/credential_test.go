package alarm_test

import (
	"strings"
	"testing"

	"outrider/policy"
)

// How refreshes end, and what is wrong after each.
func TestAlertsFollowRefreshes(t *testing.T) {
	a, _ := newTestAlarms(t)
	for _, step := range []struct{ from, result, want string }{
		{"first", "ok", ""},
		{"ahead", "failed", ""}, // for less than its patience
		{"ahead", "refused", "credential-refused"},
		{"ahead", "dead", "credential-dead"},
		{"first", "not-kept", "credential-not-kept"},
		{"ahead", "failed", "credential-not-kept"},
		{"save", "not-kept", "credential-not-kept"},
		{"save", "ok", ""},
		{"ahead", "dead", "credential-dead"},
		{"save", "ok", "credential-dead"}, // nothing was asked for
		{"expired", "ok", ""},
		{"ahead", "dead", "credential-dead"},
		{"expired", "removed", ""}, // on purpose: there is nothing to reconnect
	} {
		a.Observe("", policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "default", From: step.from, Reason: step.result})
		var active []string
		for _, alert := range a.Active() {
			active = append(active, alert.Rule)
		}
		if got := strings.Join(active, " "); got != step.want {
			t.Errorf("after %s %s: %q, want %q", step.from, step.result, got, step.want)
		}
	}
}
