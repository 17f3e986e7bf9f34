package alarm_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
)

// A process that ended soon after a reload took with it what the notifier of the
// configuration before was about to send.
func TestStopWaitsForTheNotifierOfTheConfigurationBefore(t *testing.T) {
	for name, test := range map[string]struct{ patience, want time.Duration }{
		"it is sent":        {time.Minute, 5 * time.Second},
		"as long as it may": {2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := policytest.NewUpstream(t, policytest.Step{Delay: 5 * time.Second})
				a, _ := newAlarmsWith(t, alarm.Settings{
					Ways: func(*config.File) (alert.Settings, error) { return alert.Settings{Transport: hook}, nil },
				})
				crm := "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n"
				a.Follow(compiled(t, crm+"[alerts]\nnotify = [\"https://ops.test/hook\"]\n"))
				a.Observe("", policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "crm.test", From: "closed", To: "open"})
				a.Follow(compiled(t, crm))
				ctx, cancel := context.WithTimeout(t.Context(), test.patience)
				defer cancel()
				begun := time.Now()
				a.Close(ctx)
				if took := time.Since(begun); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
			})
		})
	}
}
