package alarm_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// lookout is how often a watch looks.
const lookout = 10 * time.Second

// A diary notes what alarms tell: it is their log.
type diary struct {
	t      *testing.T
	alarms *alarm.Alarms

	mu   sync.Mutex
	told []string
}

// newTestAlarms are alarms with a diary, which can notify nobody.
func newTestAlarms(t *testing.T) (*alarm.Alarms, *diary) {
	t.Helper()
	return newAlarmsWith(t, alarm.Settings{})
}

// newAlarmsWith are alarms with a diary, and with settings, of which some may be missing.
func newAlarmsWith(t *testing.T, settings alarm.Settings) (*alarm.Alarms, *diary) {
	t.Helper()
	d := &diary{t: t}
	settings.Log = slog.New(d)
	if settings.Secret == nil {
		settings.Secret = secretOf
	}
	if settings.Ways == nil {
		settings.Ways = func(*config.File) (alert.Settings, error) { return alert.Settings{}, errors.New("there is no way") }
	}
	if settings.Authority == nil {
		settings.Authority = func() *x509.Certificate { return nil }
	}
	if settings.Outbox == nil {
		settings.Outbox = func(bool) (alarm.Outbox, bool) { return alarm.Outbox{}, false }
	}
	d.alarms = alarm.New(settings)
	t.Cleanup(func() { d.alarms.Close(context.Background()) })
	return d.alarms, d
}

func (d *diary) Enabled(context.Context, slog.Level) bool { return true }
func (d *diary) WithAttrs([]slog.Attr) slog.Handler       { return d }
func (d *diary) WithGroup(string) slog.Handler            { return d }

func (d *diary) Handle(_ context.Context, r slog.Record) error {
	said := make(map[string]string)
	r.Attrs(func(attr slog.Attr) bool {
		said[attr.Key] = attr.Value.String()
		return true
	})
	line := r.Message
	if end, known := strings.CutPrefix(line, "alert"); known {
		line = said["rule"] + end + ": " + said["title"]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, line)
	return nil
}

// want compares all that was told since the begin of a bubble.
func (d *diary) want(want ...string) {
	d.t.Helper()
	synctest.Wait()
	d.wantNow(want...)
}

// wantNow is want outside of a bubble.
func (d *diary) wantNow(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.told, want) {
		d.t.Errorf("at %v told\n%q, want\n%q", time.Now().UTC().Format(time.TimeOnly), d.told, want)
	}
}

// only is the one alert that lasts.
func (d *diary) only() alert.Alert {
	d.t.Helper()
	active := d.alarms.Active()
	if len(active) != 1 {
		d.t.Fatalf("%d alerts last: %+v, want one", len(active), active)
	}
	return active[0]
}

// ended makes the record of a call that was answered, after its tries.
func ended(upstream string, status int, class policy.Class, tries ...int) *telemetry.Record {
	r := &telemetry.Record{Upstream: upstream, Host: upstream + ".test", Status: status, Class: class, TraceID: fmt.Sprintf("trace-%d", status), Attempts: 1 + len(tries)}
	for _, try := range append(tries, status) {
		r.Tries = append(r.Tries, telemetry.Try{Sent: true, Status: try})
	}
	return r
}

// upstreamsNamed are the states of upstreams of which nothing is known.
func upstreamsNamed(names ...string) []policy.UpstreamStatus {
	var list []policy.UpstreamStatus
	for _, name := range names {
		list = append(list, policy.UpstreamStatus{Name: name})
	}
	return list
}

// secretOf reads references for tests: what is none is itself.
func secretOf(ref config.Reference) (string, error) {
	if ref.Literal() {
		return string(ref), nil
	}
	return "secret-of-" + string(ref), nil
}

// compiled is a document as it would be in force, with an upstream behind it that nobody
// calls.
func compiled(t *testing.T, document string) *policy.Set {
	t.Helper()
	return compiledWith(t, document, policytest.NewUpstream(t), nil)
}

// compiledWith is a document as it would be in force, with something behind it, and somebody
// who is told what happens.
func compiledWith(t *testing.T, document string, behind http.RoundTripper, observe func(context.Context, policy.Event)) *policy.Set {
	t.Helper()
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if observe == nil {
		observe = func(context.Context, policy.Event) {}
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return behind, nil },
		Jitter:    policytest.Jitter(0.5), NewKey: func() string { return "minted" }, Secret: secretOf, Observe: observe,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
