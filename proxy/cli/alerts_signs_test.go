package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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
	active := r.alarms.Active()
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
	after := func(name string, want int) {
		t.Helper()
		get(t, http.DefaultClient, r.url("/"+name+"/"))
		r.alarms.Look(nil, time.Now())
		if n := len(r.alarms.Active()); n != want {
			t.Errorf("after %s there are %d alerts, want %d", name, n, want)
		}
	}
	off.Store(int64(5 * time.Minute))
	after("one", 0)
	after("two", 0)
	after("three", 1)
	if a := r.alarms.Active()[0]; a.Rule != "clock-skew" || !strings.HasSuffix(a.Title, " slow") || !strings.Contains(a.Detail, "3 upstreams") {
		t.Errorf("it is %+v", a)
	}
	off.Store(0)
	after("four", 0)
	if n := len(r.logged("alert")) + len(r.logged("alert is over")); n != 2 {
		t.Errorf("told %d times, want twice", n)
	}
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
	active := r.alarms.Active()
	if len(active) != 1 || active[0].Rule != "reload-refused" || !strings.Contains(active[0].Detail, "listne") || !strings.HasSuffix(active[0].Detail, "(and 1 more fault)") {
		t.Fatalf("alerts %+v", active)
	}
	writeFile(t, path, good)
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK || len(r.alarms.Active()) > 0 {
		t.Errorf("reload: %d %s; alerts %+v", status, body, r.alarms.Active())
	}
	if n := len(r.logged("alert")) + len(r.logged("alert is over")); n != 2 {
		t.Errorf("told %d times, want twice", n)
	}
}
