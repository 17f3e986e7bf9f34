package alert_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/alert"
)

// about is an alert about something.
func about(subject string) alert.Alert {
	a := dead
	a.Subject, a.Since = subject, time.Now()
	return a
}

// settings are those by which s tells, but for the way.
func (s *station) settings(up *policytest.Upstream) alert.Settings {
	return alert.Settings{Source: source, Transport: up, Failed: func(err error) { s.failed = append(s.failed, err.Error()) }}
}

// A reload made targets anew. What waited for one that was down was tried once and given up,
// though it was the way there, or the secret, that somebody had just put right.
func TestTargetThatStaysKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://gone.test/hook", "https://ops.test/hook"}, policytest.Step{Times: -1, Status: 503})
		s.Notify(about("crm"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := len(s.up.Requests())
		up := policytest.NewUpstream(t, policytest.Step{Times: -1})
		next := s.settings(up)
		next.Secret = func() (string, error) { return "signed", nil }
		s.Follow(next, to("https://ops.test/hook", "https://new.test/hook"))
		s.Notify(about("shop"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if now := len(s.up.Requests()); now != before || len(s.failed) != 1 || s.failed[0] != "telling gone.test: it answered 503" {
			t.Errorf("%d tries by the old way, of which %d were before; failed %q", now, before, s.failed)
		}
		var got []string
		for _, r := range up.Requests() {
			subjects, _ := told(t, r.Body)
			got = append(got, fmt.Sprintf("%s %s signed: %t", r.Host, subjects, r.Header.Get("Webhook-Signature") != ""))
		}
		slices.Sort(got)
		if want := []string{"new.test [shop] signed: true", "ops.test [crm] signed: true", "ops.test [shop] signed: true"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		states := s.Status()
		if len(states) != 2 || states[0].Target != "ops.test" || states[0].Failing != nil || states[0].Sent != 2 || states[1].Target != "new.test" {
			t.Errorf("the targets are %+v", states)
		}
	})
}

// With each reload a target might have had 30 messages more.
func TestTargetThatStaysKeepsItsAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/hook"}, policytest.Step{Times: -1})
		for i := range 40 {
			s.Notify(about(fmt.Sprint(i)))
			s.Follow(s.settings(s.up), to("https://ops.test/hook"))
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		if n := len(s.up.Requests()); n != 30 {
			t.Errorf("%d messages in 40 minutes, want 30", n)
		}
	})
}

// Two places in the list may be one URL: each is a target, as long as it is there.
func TestTargetThatIsNamedTwiceMayGoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "", []string{"https://ops.test/hook", "https://ops.test/hook"}, policytest.Step{Times: -1})
		s.Follow(s.settings(s.up), to("https://ops.test/hook"))
		s.Notify(dead)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := len(s.up.Requests()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}
