package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// saying is an upstream whose answers have a header.
func saying(t *testing.T, header func(http.Header)) string {
	t.Helper()
	return upstream(t, func(w http.ResponseWriter, _ *http.Request) { header(w.Header()) }).URL
}

func TestDeprecatedEndpointIsAnAlert(t *testing.T) {
	r := launch(t, "[upstream.crm]\nurl = \""+saying(t, func(h http.Header) {
		h.Set("Deprecation", "@1688169599")
		h.Set("Sunset", "Sat, 31 Dec 2050 23:59:59 GMT")
		h.Set("Link", `<https://crm.test/changes>; rel="deprecation"`)
	})+"\"\n")
	for range 3 {
		get(t, http.DefaultClient, r.url("/crm/v1/orders/4711"))
	}
	active := r.alarms.book.Active()
	if len(active) != 1 || len(r.logged("alert")) != 1 {
		t.Fatalf("alerts %+v, logged %v", active, r.logged("alert"))
	}
	a := active[0]
	host := strings.TrimPrefix(r.live.Load().Upstreams()[0].Config.URL.String(), "http://")
	if a.Rule != "provider-notice" || a.Title != "GET "+host+"/v1/orders/* ends on 2050-12-31" || len(a.Trace) != 32 ||
		a.Detail != "deprecated since 2023-06-30; https://crm.test/changes" || strings.Contains(a.Title+a.Subject, "4711") {
		t.Errorf("it is %+v", a)
	}
}

// When no answer has said it for long it is over.
func TestNoticeThatIsNotRepeatedIsOver(t *testing.T) {
	a, d := newTestAlarms(t)
	set := compiled(t, "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n")
	look := &noticeLook{book: a.book, set: func() *policy.Set { return set }}
	n := policy.NoticeSighting{Endpoint: "GET crm.test/v1", Answers: 1}
	n.Deprecated = true
	a.observe("0af7", policy.Event{Kind: policy.EventNotice, Upstream: "crm", Notice: &n})
	look.raised = map[string]bool{"crm/notice:GET crm.test/v1": true} // as the look that has seen it has it
	look.look(nil, time.Now())
	told := "GET crm.test/v1 is deprecated"
	d.wantNow("provider-notice: "+told, "provider-notice is over: "+told)
}

// One upstream that agrees with our clock says that it is right, and two that do not may be
// wrong themselves.
func TestWrongClockIsAnAlert(t *testing.T) {
	var off atomic.Int64
	url := saying(t, func(h http.Header) {
		h.Set("Date", time.Now().Add(time.Duration(off.Load())).UTC().Format(http.TimeFormat))
	})
	var document strings.Builder
	for _, name := range []string{"one", "two", "three", "four"} {
		document.WriteString("[upstream." + name + "]\nurl = \"" + url + "\"\nhosts = []\n")
	}
	r := launch(t, document.String())
	look := &clockLook{book: r.alarms.book, set: r.live.Load}
	after := func(name string, want int) {
		t.Helper()
		get(t, http.DefaultClient, r.url("/"+name+"/"))
		look.look(nil, time.Now())
		if n := len(r.alarms.book.Active()); n != want {
			t.Errorf("after %s there are %d alerts, want %d", name, n, want)
		}
	}
	off.Store(int64(5 * time.Minute))
	after("one", 0)
	after("two", 0)
	after("three", 1)
	if a := r.alarms.book.Active()[0]; a.Rule != "clock-skew" || !strings.HasSuffix(a.Title, " slow") || !strings.Contains(a.Detail, "3 upstreams") {
		t.Errorf("it is %+v", a)
	}
	off.Store(0)
	after("four", 0)
	if n := len(r.logged("alert")) + len(r.logged("alert is over")); n != 2 {
		t.Errorf("told %d times, want twice", n)
	}
}

func TestHostWithoutTrustedTLSIsAnAlert(t *testing.T) {
	a, d := newTestAlarms(t)
	refused := &telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, TraceID: "0af7", Error: "tls: x509: certificate has expired",
		Tries: []telemetry.Try{{Error: "tls"}}}
	for range 2 {
		a.ended(refused)
	}
	d.wantNow() // a handshake may fail by chance
	for range 2 {
		a.ended(refused)
	}
	a.ended(ended("erp", 200, policy.ClassOK))
	told := "No trusted TLS with crm.test"
	d.wantNow("certificate-refused: " + told)
	if a := d.only(); a.Detail != "tls: x509: certificate has expired" || a.Calls != 4 || a.Trace != "0af7" {
		t.Errorf("it is %+v", a)
	}
	a.ended(ended("crm", 404, policy.ClassOK)) // over which it came
	d.wantNow("certificate-refused: "+told, "certificate-refused is over: "+told)
}

// A host that is down breaks handshakes off, or lets them wait: its circuit tells of that,
// and whoever was told to look at its certificate looked in the wrong place.
func TestHandshakeThatIsBrokenOffSaysNothingOfCertificates(t *testing.T) {
	a, d := newTestAlarms(t)
	for _, kind := range []string{"connection_reset", "eof", "timeout"} {
		for range 3 {
			a.ended(&telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, Tries: []telemetry.Try{{Error: kind}}})
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
			a.ended(&telemetry.Record{Upstream: "crm", Host: "crm.test", Problem: "upstream-tls", Class: policy.ClassFault, Tries: []telemetry.Try{{Error: "tls"}}})
		}
		look := tlsLook{a.book, &a.tls}
		time.Sleep(24*time.Hour - 1)
		look.look(nil, time.Now())
		told := "No trusted TLS with crm.test"
		d.want("certificate-refused: " + told)
		time.Sleep(1)
		look.look(nil, time.Now())
		d.want("certificate-refused: "+told, "certificate-refused is over: "+told)
	})
}

func TestConfigurationThatIsRefusedIsAnAlert(t *testing.T) {
	dir := t.TempDir()
	good := anyPorts + "state_dir = \"" + filepath.Join(dir, "state") + "\"\n"
	path := layFile(t, filepath.Join(dir, "config.toml"), good)
	r := launchUnstopped(t, path, good)
	defer r.halt()
	for range 2 {
		writeFile(t, path, good+"listne = 1\nalerts.zone = \"Moon\"\n")
		if status, _ := r.ask("POST", "/reload"); status != http.StatusUnprocessableEntity {
			t.Fatalf("reload: %d", status)
		}
	}
	active := r.alarms.book.Active()
	if len(active) != 1 || active[0].Rule != "reload-refused" || !strings.Contains(active[0].Detail, "listne") || !strings.HasSuffix(active[0].Detail, "(and 1 more fault)") {
		t.Fatalf("alerts %+v", active)
	}
	writeFile(t, path, good)
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK || len(r.alarms.book.Active()) > 0 {
		t.Errorf("reload: %d %s; alerts %+v", status, body, r.alarms.book.Active())
	}
	if n := len(r.logged("alert")) + len(r.logged("alert is over")); n != 2 {
		t.Errorf("told %d times, want twice", n)
	}
}
