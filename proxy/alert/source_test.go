package alert_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/alert"
)

// incidents are the keys by which PagerDuty tells incidents apart: of an alert's beginning
// and of its end.
func incidents(t *testing.T, source string, a alert.Alert) []string {
	up := policytest.NewUpstream(t, policytest.Step{Times: -1, Status: 202})
	n := alert.NewNotifier(alert.Settings{Source: source, Transport: up, Failed: func(err error) { t.Error(err) }}, to("pagerduty:R0UT1NG"))
	n.Notify(a)
	n.Notify(over(a))
	time.Sleep(3 * time.Second)
	n.Close(t.Context())
	var keys []string
	for _, r := range up.Requests() {
		var event struct {
			Key string `json:"dedup_key"`
		}
		if err := json.Unmarshal([]byte(r.Body), &event); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, event.Key)
	}
	return keys
}

// All replicas had one incident, which ended with the first of them that was well again. And
// names that are longer than PagerDuty takes were cut, so that two of them were one.
func TestIncidentIsOfOneOutriderAndOneTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := dead
		long.Subject = "crm/" + strings.Repeat("é", 200)
		other := long
		other.Subject += "2"
		seen := make(map[string]bool)
		for _, from := range []string{"orders on web-1", "orders on web-2"} {
			for _, a := range []alert.Alert{dead, long, other} {
				keys := incidents(t, from, a)
				if len(keys) != 2 || keys[0] != keys[1] || len(keys[0]) > 255 || seen[keys[0]] {
					t.Errorf("the incident of %s on %s begins and ends as %q", a.Subject, from, keys)
				}
				seen[keys[0]] = true
			}
		}
	})
}
