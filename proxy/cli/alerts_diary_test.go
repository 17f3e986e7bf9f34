package cli

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// A diary notes what a book tells.
type diary struct {
	t    *testing.T
	book *alert.Book

	mu   sync.Mutex
	told []string
}

func newDiary(t *testing.T) *diary {
	d := &diary{t: t}
	d.book = alert.NewBook(func(a alert.Alert) {
		end := ""
		if a.Ended != nil {
			end = " is over"
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told = append(d.told, a.Rule+end+": "+a.Title)
	})
	t.Cleanup(d.book.Close)
	return d
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
	active := d.book.Active()
	if len(active) != 1 {
		d.t.Fatalf("%d alerts last: %+v, want one", len(active), active)
	}
	return active[0]
}

// newTestAlarms are alarms whose book is a diary's.
func newTestAlarms(t *testing.T) (*alarms, *diary) {
	t.Helper()
	quiet, err := telemetry.New(t.Context(), telemetry.Settings{LogOutput: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	a, d := newAlarms(quiet.Logger(), newSecrets()), newDiary(t)
	a.book = d.book
	a.circuits = newCircuitAlerts(d.book)
	return a, d
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
