package alert_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/alert"
)

// told are the alerts of a message in our own form.
func told(t *testing.T, body string) (subjects []string, untold int) {
	t.Helper()
	var report struct {
		Alerts []alert.Alert
		Untold int
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	for _, a := range report.Alerts {
		end := ""
		if a.Ended != nil {
			end = " is over"
		}
		subjects = append(subjects, a.Subject+end)
	}
	return subjects, report.Untold
}

// Somebody who gets more than that reads none of it. What lasts is told when there is room
// again, and what came and went meanwhile is a number.
func TestFloodIsBoundedByTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/hook"}, policytest.Step{Times: -1})
		of := func(subject string) alert.Alert {
			a := dead
			a.Subject, a.Since = subject, time.Now()
			return a
		}
		for i := range 40 {
			a := of(fmt.Sprint(i))
			s.Notify(a)
			time.Sleep(time.Minute)
			if i >= 30 && i < 38 {
				s.Notify(over(a))
			}
		}
		synctest.Wait()
		if n := len(s.up.Requests()); n != 30 {
			t.Fatalf("%d messages in 40 minutes, want 30", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		requests := s.up.Requests()
		if len(requests) != 31 || !requests[30].At.Equal(since.Add(time.Hour+3*time.Second)) {
			t.Fatalf("%d messages, the last at %v; want 31, the last an hour after the first", len(requests), requests[len(requests)-1].At)
		}
		if subjects, untold := told(t, requests[30].Body); !slices.Equal(subjects, []string{"38", "39"}) || untold != 8 {
			t.Errorf("told of %q and %d more, want 38, 39 and 8", subjects, untold)
		}
		if state := s.Status()[0]; state.Sent != 31 || state.Untold != 8 || state.Waiting != 0 {
			t.Errorf("its state is %+v", state)
		}
	})
}

// PagerDuty takes alerts one by one, and wakes people up.
func TestFloodOfIncidentsIsBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"pagerduty:R0UT1NG"}, policytest.Step{Times: -1})
		for i := range 100 {
			a := dead
			a.Subject = fmt.Sprint(i)
			s.Notify(a)
		}
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if n := len(s.up.Requests()); n != 30 {
			t.Errorf("%d incidents in the first hour, want 30", n)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := len(s.up.Requests()); n != 100 {
			t.Errorf("%d incidents in all, want 100", n)
		}
	})
}

// Each incident is tried for an hour, and so PagerDuty may have the next ones as soon as the
// last of thirty was given up. Nobody waited then, and so nobody came back: the rest stayed
// where they were until the next alert.
func TestIncidentsAreTriedAllInALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"pagerduty:R0UT1NG"}, policytest.Step{Times: -1, Status: 503})
		for i := range 70 {
			a := dead
			a.Subject = fmt.Sprint(i)
			s.Notify(a)
		}
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		if waiting := s.Status()[0].Waiting; waiting != 0 || len(s.failed) != 70 {
			t.Errorf("%d wait, and %d were given up; want all of the 70", waiting, len(s.failed))
		}
	})
}

// What PagerDuty may not have any more in this hour was gone without a word.
func TestIncidentsThatCloseLeavesBehindAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed []string
		n := alert.NewNotifier(
			alert.Settings{Transport: policytest.NewUpstream(t, policytest.Step{Times: -1, Status: 202}), Failed: func(err error) { failed = append(failed, err.Error()) }},
			to("pagerduty:R0UT1NG"))
		for i := range 40 {
			a := dead
			a.Subject = fmt.Sprint(i)
			n.Notify(a)
		}
		n.Close(t.Context())
		if state := n.Status()[0]; state.Sent != 30 || state.Waiting != 0 || state.Untold != 10 {
			t.Errorf("its state is %+v, want 30 messages and 10 untold", state)
		}
		if len(failed) != 1 || failed[0] != "telling events.pagerduty.com: 10 alerts are more than it may have in an hour" {
			t.Errorf("failed %q", failed)
		}
	})
}

func TestTargetThatFailsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/" + canary, "https://hooks.slack.com/" + canary},
			policytest.Step{Times: 2, Err: errors.New("posting https://ops.test/" + canary)}, policytest.Step{Times: -1})
		s.Notify(dead)
		time.Sleep(3*time.Second + 500*time.Millisecond)
		synctest.Wait()
		for i, state := range s.Status() {
			if state.Error != "no answer" || state.Failing == nil || !state.Failing.Equal(since.Add(3*time.Second)) || state.Sent != 0 {
				t.Errorf("target %d: %+v", i, state)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		states := s.Status()
		for i, want := range []string{"webhook at ops.test", "slack at hooks.slack.com"} {
			if state := states[i]; state.Error != "" || state.Failing != nil || state.Sent != 1 || state.Kind+" at "+state.Target != want {
				t.Errorf("target %d: %+v, want %s", i, state, want)
			}
		}
		if text := fmt.Sprint(states, s.failed); strings.Contains(text, canary) {
			t.Errorf("a secret is shown: %s", text)
		}
	})
}

// For an hour: Slack may be down just when we are cut off from everything.
func TestTargetIsTriedForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/hook"}, policytest.Step{Times: -1, Status: 503})
		s.Notify(dead)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		requests := s.up.Requests()
		if last := requests[len(requests)-1].At.Sub(since); last > time.Hour+3*time.Second || last < 55*time.Minute {
			t.Errorf("the last try was after %v, want within the hour and near its end", last)
		}
		if len(s.failed) != 1 || s.failed[0] != "telling ops.test: it answered 503" {
			t.Errorf("failed %q", s.failed)
		}
	})
}

func TestTestGoesToEveryTargetAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/" + canary, "pagerduty:R0UT1NG", "ftp://" + canary}, policytest.Step{Times: -1})
		results := s.Test(t.Context())
		if took := time.Since(since); took != 0 {
			t.Errorf("it took %v", took)
		}
		if len(results) != 3 || results[0] != (alert.TestResult{Target: "ops.test", Kind: "webhook"}) ||
			results[1] != (alert.TestResult{Target: "events.pagerduty.com", Kind: "pagerduty"}) || !strings.HasPrefix(results[2].Error, "must be an https:// URL") {
			t.Errorf("results %+v", results)
		}
		if n := len(s.up.Requests()); n != 3 { // the incident, and its end
			t.Errorf("%d messages, want 3", n)
		}
		if text := fmt.Sprint(results); strings.Contains(text, canary) {
			t.Errorf("a secret is shown: %s", text)
		}
	})
}

func TestMessagesSayWhatToDoAndWhereToLook(t *testing.T) {
	full := dead
	full.Action, full.Trace, full.Calls = "Run outrider login crm", "844bea335f05270c82db64fbb0bdc9cd", 12
	want := "[orders on web-1] Reconnect crm (crm): login.test: <invalid_grant> & more\n" +
		"  → Run outrider login crm\n" +
		"  since 2000-01-01T00:00:00Z, calls: 12, trace 844bea335f05270c82db64fbb0bdc9cd\n" +
		"Over: Reconnect crm (crm), after 1m0s\n" +
		"  calls: 12, trace 844bea335f05270c82db64fbb0bdc9cd"
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://discord.com/api/webhooks/x", "pagerduty:R0UT1NG"}, policytest.Step{Times: -1})
		s.Notify(full)
		s.Notify(over(full))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, r := range s.up.Requests() {
			var body struct {
				Content string
				Payload struct {
					Details map[string]any `json:"custom_details"`
				}
				Action string `json:"event_action"`
			}
			if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
				t.Fatal(err)
			}
			switch {
			case r.Host == "discord.com" && body.Content != want:
				t.Errorf("it says\n%s\nwant\n%s", body.Content, want)
			case body.Action == "trigger" && (body.Payload.Details["action"] != full.Action || body.Payload.Details["trace"] != full.Trace || body.Payload.Details["calls"] != 12.0):
				t.Errorf("the incident has %v", body.Payload.Details)
			}
		}
	})
}
