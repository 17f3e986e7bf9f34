package telemetry_test

import (
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

func TestGaugesOfCredentials(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	now := time.Now()
	soon, late := now.Add(time.Hour), now.Add(-time.Minute)
	r.Watch(func() []policy.UpstreamStatus {
		return []policy.UpstreamStatus{
			{Name: "keyed"},
			{Name: "crm", Credentials: []policy.CredentialStatus{
				{Name: "default", State: "live", Obtained: &late, Expires: &soon}, {Name: "GET /admin/**", State: "none"},
			}, Connections: &policy.ConnectionsStatus{States: map[string]int{"live": 700, "dead": 2, "static": 5},
				First: []policy.ConnectionStatus{{CredentialStatus: policy.CredentialStatus{Name: "tenant-7", State: "dead"}}}}},
		}
	})
	text := r.metrics(t)
	for _, want := range []string{
		`outrider_credentials{state="live",upstream="crm"} 701`,
		`outrider_credentials{state="dead",upstream="crm"} 2`,
		`outrider_credentials{state="none",upstream="crm"} 1`,
		`outrider_credentials{state="failing",upstream="crm"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	for _, never := range []string{"tenant-7", `upstream="keyed",state`, `outrider_credentials{state="live",upstream="keyed"}`, `state="static"`} {
		if strings.Contains(text, never) {
			t.Errorf("%s is told", never)
		}
	}
}

func TestCredentialExpiryIsCountedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		obtained, expires := time.Now(), time.Now().Add(time.Hour)
		r.Watch(func() []policy.UpstreamStatus {
			return []policy.UpstreamStatus{{Name: "crm", Credentials: []policy.CredentialStatus{{Name: "default", State: "live", Obtained: &obtained, Expires: &expires}}}}
		})
		time.Sleep(90 * time.Minute)
		text := r.metrics(t)
		for _, want := range []string{
			`outrider_credential_age_seconds{credential="default",upstream="crm"} 5400`,
			`outrider_credential_expiry_seconds{credential="default",upstream="crm"} -1800`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("missing %s in\n%s", want, text)
			}
		}
	})
}

func TestGaugesOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Version: "v1.2.3"})
		read := time.Now()
		r.WatchProcess(func() telemetry.Process {
			return telemetry.Process{Tunnels: 3, Read: read, Refused: true, Alerts: map[string]int{"credential-dead": 2}}
		})
		open := r.Connections("crm")
		open.Add(2)
		r.Connections("").Add(1)
		ctx, span, call := r.begin("GET", "crm")
		resp, err := policy.Passage(r.Transport(answers(200))).RoundTrip(outbound(ctx, "GET", "https://crm.test/"))
		if err != nil {
			t.Fatal(err)
		}
		during := r.metrics(t)
		resp.Body.Close()
		open.Add(-2)
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
		after := r.metrics(t)

		for _, want := range []string{
			`outrider_build_info{go_version="` + runtime.Version() + `",version="v1.2.3"} 1`,
			`outrider_config_last_reload_success 0`,
			`outrider_config_last_reload_timestamp_seconds 9.466848e+08`,
			`outrider_tunnels 3`,
			`outrider_alerts{rule="credential-dead"} 2`,
			`outrider_calls_active 1`,
			`outrider_requests_active{upstream="crm"} 1`,
			`outrider_connections{upstream="crm"} 2`,
			`outrider_connections{upstream="none"} 1`,
		} {
			if !strings.Contains(during, want+"\n") {
				t.Errorf("missing %s in\n%s", want, during)
			}
		}
		for _, want := range []string{`outrider_calls_active 0`, `outrider_requests_active{upstream="crm"} 0`, `outrider_connections{upstream="crm"} 0`} {
			if !strings.Contains(after, want+"\n") {
				t.Errorf("afterwards, missing %s in\n%s", want, after)
			}
		}
	})
}

// A request that never reached the wire is under way no more, either.
func TestRequestThatWasNotSentIsNotUnderWay(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	ctx, span, call := r.begin("GET", "crm")
	refused := roundTripper(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })
	if err := send(t, policy.Passage(r.Transport(refused)), outbound(ctx, "GET", "https://crm.test/")); err == nil {
		t.Fatal("it was sent")
	}
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 502})
	if text := r.metrics(t); !strings.Contains(text, "outrider_requests_active{upstream=\"crm\"} 0\n") {
		t.Error(text)
	}
}
