package limit_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// A wire is the provider behind a limit. It notes when each call was sent.
type wire struct {
	start  time.Time
	answer func(name string) *http.Response // nil: 200 at once

	mu   sync.Mutex
	sent []sending
}

type sending struct {
	name string
	at   time.Duration
}

func newWire() *wire { return &wire{start: time.Now()} }

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(req.URL.Path, "/")
	w.mu.Lock()
	w.sent = append(w.sent, sending{name, time.Since(w.start)})
	w.mu.Unlock()
	if w.answer != nil {
		if resp := w.answer(name); resp != nil {
			return resp, nil
		}
	}
	return respond(200), nil
}

// times are when something was sent, in order.
func (w *wire) times() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var times []time.Duration
	for _, s := range w.sent {
		times = append(times, s.at)
	}
	return times
}

// names are what was sent, in order.
func (w *wire) names() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, s := range w.sent {
		names = append(names, s.name)
	}
	return strings.Join(names, " ")
}

// respond makes a response; header is name, value, name, value…
func respond(status int, header ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body"))}
}

func byHost(req *http.Request) string { return req.URL.Host }

// A group is the quotas of one table, most of the time of the only one.
type group struct {
	*limit.Quotas
	table int
}

func newGroup(t testing.TB, s limit.Settings, prev *group) *group {
	t.Helper()
	var before *limit.Quotas
	if prev != nil {
		before = prev.Quotas
	}
	q, err := limit.New([]limit.Table{{Settings: s}}, before)
	if err != nil {
		t.Fatal(err)
	}
	return &group{Quotas: q}
}

// newGroups are several tables of one upstream, called after where they stand.
func newGroups(t testing.TB, tables ...limit.Settings) []*group {
	t.Helper()
	named := make([]limit.Table, len(tables))
	groups := make([]*group, len(tables))
	for i, s := range tables {
		named[i] = limit.Table{Name: strconv.Itoa(i), Settings: s}
	}
	q, err := limit.New(named, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range groups {
		groups[i] = &group{q, i}
	}
	return groups
}

// way is that of calls that cost so much and pass one quota.
func (g *group) way(cost int, key func(*http.Request) string) limit.Way {
	return limit.Way{Cost: cost, Scope: key, Stops: []limit.Stop{{Table: g.table, Key: key}}}
}

func (g *group) Wrap(key func(*http.Request) string) func(http.RoundTripper) http.RoundTripper {
	return g.Quotas.Wrap(g.way(1, key))
}

// wrapCosting is Wrap for calls that cost so much.
func (g *group) wrapCosting(cost int) func(http.RoundTripper) http.RoundTripper {
	return g.Quotas.Wrap(g.way(cost, byHost))
}

func (g *group) Snapshot() (own []limit.State) {
	for _, s := range g.Quotas.Snapshot() {
		if len(s.Table) == 0 || s.Table == strconv.Itoa(g.table) {
			own = append(own, s)
		}
	}
	return own
}

// Forecast is that of a call to a key alone.
func (g *group) Forecast(key string, claim limit.Claim, cost int) (time.Duration, limit.Line) {
	req := &http.Request{Method: "GET", URL: &url.URL{Path: "/a"}}
	stops, wait := g.Quotas.Forecast(g.way(cost, func(*http.Request) string { return key }), req, claim)
	return wait, stops[0].Line
}

func (g *group) Estimate(key string) time.Duration {
	wait, _ := g.Forecast(key, limit.Claim{}, 1)
	return wait
}

// A result is how one call ended.
type result struct {
	resp *http.Response
	err  error
	at   time.Duration // since the wire began
}

// A caller sends calls through a limit to a wire.
type caller struct {
	t    testing.TB
	wire *wire
	rt   http.RoundTripper
}

func newCaller(t testing.TB, g *group, w *wire) *caller {
	return &caller{t: t, wire: w, rt: g.Wrap(byHost)(w)}
}

// call makes one call and closes its body.
func (c *caller) call(ctx context.Context, name string) result {
	r := c.open(ctx, name)
	if r.err == nil {
		r.resp.Body.Close()
	}
	return r
}

// open makes one call and leaves its body open.
func (c *caller) open(ctx context.Context, name string) result {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://api.example/"+name, nil)
	if err != nil {
		c.t.Error(err)
	}
	resp, err := c.rt.RoundTrip(req)
	return result{resp, err, time.Since(c.wire.start)}
}

// start makes a call in the background, and returns when it waits or has ended.
func (c *caller) start(ctx context.Context, name string) <-chan result {
	done := make(chan result, 1)
	go func() { done <- c.call(ctx, name) }()
	synctest.Wait()
	return done
}

func (c *caller) startAll(ctx context.Context, names string) []<-chan result {
	var all []<-chan result
	for name := range strings.FieldsSeq(names) {
		all = append(all, c.start(ctx, name))
	}
	return all
}

func wantTimes(t *testing.T, w *wire, want ...time.Duration) {
	t.Helper()
	if got := w.times(); !slices.Equal(got, want) {
		t.Errorf("sent at %v, want %v", got, want)
	}
}

func wantRefusal(t *testing.T, r result, at time.Duration, reason string, retryAfter time.Duration) {
	t.Helper()
	var refused *limit.RefusedError
	if !errors.As(r.err, &refused) {
		t.Errorf("ended with %v, want a refusal", r.err)
		return
	}
	gotReason, gotAfter := refused.Refusal()
	if gotReason != reason || gotAfter != retryAfter || r.at != at || refused.Key != "api.example" {
		t.Errorf("%s refused at %v: %s, try again after %v; want at %v: %s, %v", refused.Key, r.at, gotReason, gotAfter, at, reason, retryAfter)
	}
}

// ms are milliseconds.
func ms(n ...int) []time.Duration {
	times := make([]time.Duration, len(n))
	for i := range n {
		times[i] = time.Duration(n[i]) * time.Millisecond
	}
	return times
}
