package alarm_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
	"outrider/proxy/telemetry"
)

// When no answer has said it for long it is over.
func TestNoticeThatIsNotRepeatedIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		old := policytest.NewUpstream(t, policytest.Step{Header: http.Header{"Deprecation": {"true"}}})
		set := compiledWith(t, "[upstream.crm]\nurl = \"https://crm.test\"\n", old, func(_ context.Context, e policy.Event) { a.Observe("0af7", e) })
		a.Follow(set)
		u, _ := set.ByName("crm")
		req := policytest.NewRequest(t, "GET", "https://crm.test/v1", "")
		resp, err := u.Plan("GET", "/v1").RoundTrip(req.WithContext(policy.WithCall(t.Context(), &policy.Call{Upstream: "crm"})))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		a.Look(nil, time.Now())
		time.Sleep(8*24*time.Hour - 1)
		a.Look(nil, time.Now())
		told := "GET crm.test/v1 is deprecated"
		d.want("provider-notice: " + told)
		time.Sleep(1)
		a.Look(nil, time.Now())
		d.want("provider-notice: "+told, "provider-notice is over: "+told)
	})
}

func TestHostWithoutTrustedTLSIsAnAlert(t *testing.T) {
	a, d := newTestAlarms(t)
	refused := &telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, TraceID: "0af7", Error: "tls: x509: certificate has expired",
		Tries: []telemetry.Try{{Error: "tls"}}}
	for range 2 {
		a.Ended(refused, time.Now())
	}
	d.wantNow() // a handshake may fail by chance
	for range 2 {
		a.Ended(refused, time.Now())
	}
	a.Ended(ended("erp", 200, policy.ClassOK), time.Now())
	told := "No trusted TLS with crm.test"
	d.wantNow("certificate-refused: " + told)
	if a := d.only(); a.Detail != "tls: x509: certificate has expired" || a.Calls != 4 || a.Trace != "0af7" {
		t.Errorf("it is %+v", a)
	}
	a.Ended(ended("crm", 404, policy.ClassOK), time.Now()) // over which it came
	d.wantNow("certificate-refused: "+told, "certificate-refused is over: "+told)
}

// A host that is down breaks handshakes off, or lets them wait: its circuit tells of that,
// and whoever was told to look at its certificate looked in the wrong place.
func TestHandshakeThatIsBrokenOffSaysNothingOfCertificates(t *testing.T) {
	a, d := newTestAlarms(t)
	for _, kind := range []string{"connection_reset", "eof", "timeout"} {
		for range 3 {
			a.Ended(&telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, Tries: []telemetry.Try{{Error: kind}}}, time.Now())
		}
	}
	d.wantNow()
}

// An alert about a host that nobody calls any more, since its name was wrong, lasted until
// the next start: only a call could end it.
func TestHostThatIsNotCalledAnyMoreIsNoAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		for range 3 {
			a.Ended(&telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, Tries: []telemetry.Try{{Error: "tls"}}}, time.Now())
		}
		time.Sleep(24*time.Hour - 1)
		a.Look(nil, time.Now())
		told := "No trusted TLS with crm.test"
		d.want("certificate-refused: " + told)
		time.Sleep(1)
		a.Look(nil, time.Now())
		d.want("certificate-refused: "+told, "certificate-refused is over: "+told)
	})
}
