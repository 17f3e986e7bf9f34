package alert_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/alert"
)

// source is who tells.
const source = "orders on web-1"

// to makes targets of notification URLs.
func to(urls ...string) (targets []alert.Target) {
	for _, url := range urls {
		targets = append(targets, alert.Target{Name: url, URL: func() (string, error) { return url, nil }})
	}
	return targets
}

const canary = "canary-4d2e-webhook"

// since is when synctest's clock begins.
var since = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var dead = alert.Alert{Rule: "credential-dead", Severity: "critical", Subject: "crm", Title: "Reconnect crm",
	Detail: "login.test: <invalid_grant> & more", Since: since, Count: 1}

func over(a alert.Alert) alert.Alert {
	end := a.Since.Add(time.Minute)
	a.Ended = &end
	return a
}

// station is a Notifier for some targets with a script behind them.
type station struct {
	*alert.Notifier
	up     *policytest.Upstream
	failed []string
}

func open(t *testing.T, secret string, targets []string, steps ...policytest.Step) *station {
	s := &station{up: policytest.NewUpstream(t, steps...)}
	set := alert.Settings{Source: source, Transport: s.up, Failed: func(err error) { s.failed = append(s.failed, err.Error()) }}
	if secret != "" {
		set.Secret = func() (string, error) { return secret, nil }
	}
	s.Notifier = alert.NewNotifier(set, to(targets...))
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func TestEachServiceGetsItsForm(t *testing.T) {
	line := `[orders on web-1] Reconnect crm (crm): login.test: <invalid_grant> & more` + "\n" + `Over: Reconnect crm (crm), after 1m0s`
	quoted := func(s string) string { data, _ := json.Marshal(s); return string(data) }
	slack := `{"text":` + quoted(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(line)) + `}`
	for _, test := range []struct {
		url    string
		bodies []string
	}{
		{"https://hooks.slack.com/services/x", []string{slack}},
		{"slack+https://mattermost.test/hooks/x", []string{slack}},
		{"https://discord.com/api/webhooks/x", []string{`{"allowed_mentions":{"parse":[]},"content":` + quoted(line) + `}`}},
		{"https://prod-1.westeurope.logic.azure.com/workflows/x", []string{
			`{"attachments":[{"content":{"body":[{"text":` + quoted(line) + `,"type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},` +
				`"contentType":"application/vnd.microsoft.card.adaptive"}],"type":"message"}`}},
		{"pagerduty:R0UT1NG", []string{
			`{"dedup_key":"orders on web-1 credential-dead crm","event_action":"trigger","payload":{"class":"credential-dead","component":"crm","severity":"critical","source":"orders on web-1",` +
				`"summary":` + quoted("Reconnect crm (crm): login.test: <invalid_grant> & more") + `,"timestamp":"2000-01-01T00:00:00Z"},"routing_key":"R0UT1NG"}`,
			`{"dedup_key":"orders on web-1 credential-dead crm","event_action":"resolve","routing_key":"R0UT1NG"}`}},
		{"https://ops.test/hook", []string{
			`{"source":"orders on web-1","alerts":[{"rule":"credential-dead","severity":"critical","subject":"crm","title":"Reconnect crm","detail":` + quoted(dead.Detail) +
				`,"since":"2000-01-01T00:00:00Z","count":1},` +
				`{"rule":"credential-dead","severity":"critical","subject":"crm","title":"Reconnect crm","detail":` + quoted(dead.Detail) +
				`,"since":"2000-01-01T00:00:00Z","ended":"2000-01-01T00:01:00Z","count":1}]}`}},
	} {
		t.Run(test.url, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, "", []string{test.url}, policytest.Step{Times: -1})
				s.Notify(dead)
				s.Notify(over(dead))
				time.Sleep(3 * time.Second)
				synctest.Wait()
				requests := s.up.Requests()
				if len(requests) != len(test.bodies) {
					t.Fatalf("%d messages, want %d", len(requests), len(test.bodies))
				}
				for i, r := range requests {
					if r.Body != test.bodies[i] || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || !r.At.Equal(since.Add(3*time.Second)) {
						t.Errorf("at %v %s %s\n got %s\nwant %s", r.At, r.Method, r.Header, r.Body, test.bodies[i])
					}
					if r.Header.Get("Webhook-Signature") != "" {
						t.Error("it is signed, and there is no secret")
					}
				}
			})
		})
	}
}

// Of a thousand customers whose provider is down, people read the first: a message that
// is too long for a service would be refused as a whole.
func TestMessagesAreNotTooLongForTheirService(t *testing.T) {
	for url, most := range map[string]int{
		"https://hooks.slack.com/services/x":                    40000,
		"https://discord.com/api/webhooks/x":                    4000,
		"https://prod-1.westeurope.logic.azure.com/workflows/x": 28 << 10,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, "", []string{url}, policytest.Step{Times: -1})
			for range 1000 {
				customer := dead
				customer.Subject = "crm/connection ä&b"
				s.Notify(customer)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if requests := s.up.Requests(); len(requests) != 1 || len(requests[0].Body) > most {
				t.Errorf("%s: %d messages, of %d bytes", url, len(requests), len(requests[0].Body))
			}
		})
	}
}

// The signature is computed here as the specification of Standard Webhooks has it.
func TestOwnFormIsSigned(t *testing.T) {
	for secret, key := range map[string]string{
		"whsec_" + base64.StdEncoding.EncodeToString([]byte("raw-key")): "raw-key",
		"any text at all": "any text at all",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, secret, []string{"https://ops.test/hook", "https://hooks.slack.com/x"}, policytest.Step{Times: -1})
			s.Notify(dead)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			for _, r := range s.up.Requests() {
				if r.Host != "ops.test" {
					if r.Header.Get("Webhook-Id") != "" {
						t.Error("what is not ours is signed")
					}
					continue
				}
				mac := hmac.New(sha256.New, []byte(key))
				mac.Write([]byte(r.Header.Get("Webhook-Id") + ".946684803." + r.Body))
				want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
				if got := r.Header.Get("Webhook-Signature"); got != want || r.Header.Get("Webhook-Timestamp") != "946684803" {
					t.Errorf("signature %q of %q, want %q", got, r.Header.Get("Webhook-Timestamp"), want)
				}
			}
		})
	}
}

func TestTargetThatIsDownIsTriedAgainAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := policytest.Step{Hang: true}
		s := open(t, "key-of-the-signature", []string{"https://ops.test/hook"}, hang, policytest.Step{Status: 503}, policytest.Step{})
		s.Notify(dead)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		requests := s.up.Requests()
		if len(requests) != 3 || len(s.failed) > 0 {
			t.Fatalf("%d tries, failed %q; want 3 and none", len(requests), s.failed)
		}
		for i, want := range []time.Duration{3 * time.Second, 19 * time.Second, 21 * time.Second} {
			if got := requests[i].At.Sub(since); got != want {
				t.Errorf("try %d after %v, want %v", i+1, got, want)
			}
			if requests[i].Header.Get("Webhook-Id") != requests[0].Header.Get("Webhook-Id") {
				t.Error("another id: who gets it twice must be able to tell")
			}
		}
	})
}

// Slack and Discord say when they take the next message, and count one that comes earlier
// against who sends it.
func TestTargetIsNotTriedBeforeItSays(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"40":                            40 * time.Second,
		"Sat, 01 Jan 2000 00:01:03 GMT": time.Minute,
		"0":                             time.Second,
		"soon":                          time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, "", []string{"https://hooks.slack.com/x"},
				policytest.Step{Status: 429, Header: http.Header{"Retry-After": {after}}}, policytest.Step{})
			s.Notify(dead)
			time.Sleep(time.Hour)
			synctest.Wait()
			requests := s.up.Requests()
			if len(requests) != 2 || requests[1].At.Sub(requests[0].At) != want {
				t.Errorf("Retry-After: %s: %d tries, the last at %v; want 2, and %v between them", after, len(requests), requests[len(requests)-1].At, want)
			}
		})
	}
}

func TestFailuresAreToldWithoutTheURL(t *testing.T) {
	for _, test := range []struct {
		url  string
		step policytest.Step
		want string
	}{
		{"https://ops.test/" + canary, policytest.Step{Status: 404}, "telling ops.test: it answered 404"},
		{"https://ops.test/" + canary, policytest.Step{Times: -1, Err: errors.New("posting https://ops.test/" + canary)}, "telling ops.test: no answer"},
		{"ftp://ops.test/" + canary, policytest.Step{}, `a notification URL must be an https:// URL, one with slack+, discord+ or teams+ before it, "pagerduty:ROUTING-KEY", or "smtp://USER:PASSWORD@HOST/?to=ADDRESS"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, "", []string{test.url}, test.step)
			s.Notify(dead)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if got := strings.Join(s.failed, "; "); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestCloseSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{})
		n := alert.NewNotifier(alert.Settings{Transport: up, Failed: func(err error) { t.Error(err) }},
			to("https://ops.test/hook"))
		n.Notify(dead)
		n.Close(t.Context())
		if got := len(up.Requests()); got != 1 {
			t.Errorf("%d messages, want 1", got)
		}
	})
}

func TestCloseWaitsForNoTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Hang: true})
		var failed error
		n := alert.NewNotifier(alert.Settings{Transport: up, Failed: func(err error) { failed = err }},
			to("https://ops.test/hook"))
		n.Notify(dead)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		n.Close(ctx)
		if took := time.Since(since); took != 2*time.Second || failed == nil {
			t.Errorf("it took %v and told %v, want 2s and why", took, failed)
		}
	})
}

func TestNotificationURLs(t *testing.T) {
	for url, want := range map[string]string{
		"https://ops.test/hook":           "",
		"http://127.0.0.1:9000/hook":      "",
		"teams+https://ops.test/hook":     "",
		"pagerduty:R0UT1NG":               "",
		"pagerduty:":                      "pagerduty: must be followed by the routing key of the integration",
		"http://ops.test/" + canary:       "must be https://: http:// is for this machine alone",
		"http://127.ops.test/" + canary:   "must be https://: http:// is for this machine alone", // a name like any other
		"https://me:" + canary + "@a.com": "must be an https:// URL, one with",
		canary:                            "must be an https:// URL, one with",
		"irc+https://ops.test":            "must be an https:// URL, one with",
	} {
		err := alert.CheckURL(url)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if want == "" && text != "" || !strings.HasPrefix(text, want) || strings.Contains(text, canary) {
			t.Errorf("%s: %q, want %q", url, text, want)
		}
	}
}
