package policy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// shelves are a store in memory, of slots by their names.
type shelves struct {
	mu    sync.Mutex
	slots map[string]*kept
	lost  error // what reading says
	reads int
	slow  time.Duration // between what is read and its answer
}

func newShelves() *shelves { return &shelves{slots: make(map[string]*kept)} }

// A place is one slot of shelves.
type place struct {
	*kept
	in *shelves
}

func (p place) Load(ctx context.Context) ([]byte, error) {
	p.in.mu.Lock()
	p.in.reads++
	lost, slow := p.in.lost, p.in.slow
	p.in.mu.Unlock()
	if lost != nil {
		return nil, lost
	}
	data, err := p.kept.Load(ctx)
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return data, err
}

func (p place) Remove(ctx context.Context) error { return p.Save(ctx, nil) }

func (s *shelves) keep(id string) (policy.Keeper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[id] == nil {
		s.slots[id] = &kept{slot: make(chan struct{}, 1)}
	}
	return place{s.slots[id], s}, nil
}

func (s *shelves) list(_ context.Context, prefix, after string, limit int) (ids []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.slots)) {
		if strings.HasPrefix(id, prefix) && id > after && s.slots[id].data != nil && len(ids) < limit {
			ids = append(ids, id)
		}
	}
	return ids, s.lost
}

func (s *shelves) lose(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = err
}

func (s *shelves) slowDown(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = by
}

func (s *shelves) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// tenants is a rig with a store, and its upstream and token endpoint.
func tenants(t *testing.T, in *shelves, endpoint http.RoundTripper, steps ...policytest.Step) (*rig, *policytest.Upstream) {
	if len(steps) == 0 {
		steps = []policytest.Step{{Times: -1}}
	}
	up := policytest.NewUpstream(t, steps...)
	r := newRig(t, up)
	r.env.TokenTransport = func(*config.Upstream) (http.RoundTripper, error) { return endpoint, nil }
	r.env.Keep, r.env.Kept = in.keep, in.list
	return r, up
}

const keyed = plain + "connections = \"required\"\nauth = { type = \"bearer\" }\n"

const shared = plain + `
[upstream.api.auth]
type = "oauth2"
grant = "refresh_token"
token_url = "https://login.test/token"
client_id = "env:ID"
client_secret = "env:S"
refresh_token = "env:R"
`

func apiOf(t *testing.T, set *policy.Set) *policy.Upstream {
	t.Helper()
	u, ok := set.ByName("api")
	if !ok {
		t.Fatal("no upstream api")
	}
	return u
}

// handOver puts a document in the store.
func handOver(t *testing.T, set *policy.Set, name, document string) (created bool) {
	t.Helper()
	h, err := apiOf(t, set).ReadHandover(name, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if created, err = apiOf(t, set).HandOver(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	return created
}

// as sends a call that names a connection.
func as(t *testing.T, set *policy.Set, name, path string) policytest.Answer {
	t.Helper()
	way, err := apiOf(t, set).Plan("GET", path).Connect(t.Context(), name)
	if err != nil {
		return policytest.Answer{Err: err}
	}
	origin := "https://api.test"
	if way.Origin != (policy.Origin{}) {
		origin = way.Scheme + "://" + way.Host
	}
	req := policytest.NewRequest(t, "GET", origin+path, "")
	return policytest.Do(way, req.WithContext(policy.WithCall(req.Context(), &policy.Call{Upstream: "api", Connection: name})))
}

func wantUnknown(t *testing.T, a policytest.Answer, part string) {
	t.Helper()
	var unknown *policy.UnknownConnectionError
	if !errors.As(a.Err, &unknown) || !strings.Contains(a.Err.Error(), part) {
		t.Errorf("got %d, %v: want an unknown connection, and %q", a.Status, a.Err, part)
	}
}

// wantCarried compares the credentials that the upstream got.
func wantCarried(t *testing.T, up *policytest.Upstream, want ...string) {
	t.Helper()
	var got []string
	for _, r := range up.Requests() {
		got = append(got, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the upstream got %q, want %q", got, want)
	}
}

func TestConnectionsOfTheConfiguration(t *testing.T) {
	up := policytest.NewUpstream(t, policytest.Step{Times: -1})
	r := newRig(t, up)
	set := r.compile(plain+`
[upstream.api.auth]
type = "bearer"
token = "env:OWN"
[upstream.api.connection.acme]
token = "env:ACME"
[upstream.api.connection.default]
token = "env:NAMED_DEFAULT"
[[upstream.api.rule]]
match = "/other/**"
auth = { type = "bearer", token = "env:OTHER" }
[[upstream.api.rule]]
match = "/same/**"
timeout = "5s"
`, nil)
	for _, name := range []string{"acme", "default"} {
		if a := as(t, set, name, "/x"); a.Err != nil {
			t.Error(a.Err)
		}
	}
	as(t, set, "acme", "/same/x")
	call(t, set, "GET", "/x", "")
	wantUnknown(t, as(t, set, "globex", "/x"), `there is no connection "globex" of this upstream`)
	wantUnknown(t, as(t, set, "", "/x"), "the name of a connection has 1 to 128")
	wantUnknown(t, as(t, set, "acme", "/other/x"), "the rule /other/** has a credential of its own")
	wantCarried(t, up, "secret-of-ACME", "secret-of-NAMED_DEFAULT", "secret-of-ACME", "secret-of-OWN")
}

// An upstream that knows no connections refuses each, and asks no store.
func TestUpstreamsWithoutConnections(t *testing.T) {
	for _, document := range []string{plain, plain + `auth = { type = "none" }`} {
		set := newRig(t, nil).compile(document, nil)
		wantUnknown(t, as(t, set, "acme", "/"), "which has none")
	}
}

// Each connection has a quota and a circuit of its own: one tenant that is throttled, or
// whose instance is down, does not hold the others up.
func TestEachConnectionHasItsQuotaAndCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := tenants(t, newShelves(), nil)
		set := r.compile(keyed+"limit = { rate = \"1/m\", burst = 1, max_wait = \"1s\" }\n", nil)
		for _, name := range []string{"acme", "globex"} {
			handOver(t, set, name, `{"token":"key-of-`+name+`"}`)
			if a := as(t, set, name, "/"); a.Err != nil || a.Took != 0 {
				t.Errorf("%s: %v after %v", name, a.Err, a.Took)
			}
		}
		var refusal policy.Refusal
		if a := as(t, set, "acme", "/"); !errors.As(a.Err, &refusal) {
			t.Errorf("the quota of acme is not spent: %v", a.Err)
		}
		status := set.Status()[0]
		if len(status.Quotas) != 2 || status.Quotas[0].Key != "api.test acme" || len(status.Circuits) != 2 || status.Circuits[1].Key != "api.test globex" {
			t.Errorf("quotas %+v, circuits %+v", status.Quotas, status.Circuits)
		}
		e, err := set.Explain(t.Context(), "GET", "/api/x", "acme")
		if err != nil || e.Connection != "acme" || e.Quotas[0].Key != "api.test acme" || e.Token.Name != "acme" || !strings.HasPrefix(e.Verdict, "refused with 429") {
			t.Errorf("%+v %v", e, err)
		}
		if e, err = set.Explain(t.Context(), "GET", "/api/x", "initech"); err != nil || !strings.HasPrefix(e.Verdict, "refused with 404 unknown-connection") {
			t.Errorf("%+v %v", e, err)
		}
		if e, err = set.Explain(t.Context(), "GET", "/api/x", ""); err != nil || !strings.Contains(e.Verdict, "Outrider-Connection") {
			t.Errorf("%+v %v", e, err)
		}
	})
}

// Where a call has to name a connection, one that names none gets no credential at all.
func TestRequiredConnections(t *testing.T) {
	r, up := tenants(t, newShelves(), nil)
	set := r.compile(keyed, nil)
	handOver(t, set, "acme", `{"token":"key-of-acme"}`)
	var refusal policy.Refusal
	a, _ := call(t, set, "GET", "/", "")
	if !errors.As(a.Err, &refusal) || !strings.Contains(a.Err.Error(), "name one, with the header Outrider-Connection") {
		t.Fatalf("got %v", a.Err)
	}
	if reason, _ := refusal.Refusal(); reason != "credential-unavailable" {
		t.Errorf("reason %s", reason)
	}
	as(t, set, "acme", "/")
	wantCarried(t, up, "key-of-acme")
}

// A connection is refreshed with its own refresh token, which the upstream's has nothing
// to do with, and goes on with what it rotates to.
func TestHandedOverConnectionRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, endpoint := newShelves(), policytest.NewUpstream(t, grants(2, 0))
		r, up := tenants(t, in, endpoint)
		set := r.compile(shared, nil)
		if !handOver(t, set, "acme", `{"access_token":"access-0001","refresh_token":"handed-1","expires_in":3600}`) {
			t.Error("it was there before")
		}
		as(t, set, "acme", "/")
		time.Sleep(time.Hour)
		as(t, set, "acme", "/")
		as(t, set, "acme", "/")
		wantRequests(t, endpoint, "handed-1")
		wantCarried(t, up, "access-0001", "access-0002", "access-0002")
		wantUnknown(t, as(t, set, "globex", "/"), "globex")
	})
}

// However many calls of however many tenants come at once: one refresh for each tenant.
func TestOneRefreshForEachConnection(t *testing.T) {
	const callers, names = 1000, 50
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sent := map[string]int{} // refresh token → times
		endpoint := roundTripper(func(req *http.Request) (*http.Response, error) {
			form, _ := io.ReadAll(req.Body)
			values, _ := url.ParseQuery(string(form))
			token := values.Get("refresh_token")
			mu.Lock()
			sent[token]++
			mu.Unlock()
			time.Sleep(time.Second)
			answer := `{"access_token":"of-` + token + `","refresh_token":"next-` + token + `","expires_in":3600}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(answer)), Request: req}, nil
		})
		r, up := tenants(t, newShelves(), endpoint)
		r.env.Observe = func(context.Context, policy.Event) {}
		set := r.compile(shared, nil)
		for i := range names {
			handOver(t, set, fmt.Sprint("tenant-", i), fmt.Sprintf(`{"refresh_token":"refresh-%d"}`, i))
		}
		var calls sync.WaitGroup
		for i := range callers {
			calls.Go(func() {
				if a := as(t, set, fmt.Sprint("tenant-", i%names), fmt.Sprint("/", i%names)); a.Err != nil {
					t.Error(a.Err)
				}
			})
		}
		calls.Wait()
		for i := range names {
			if n := sent[fmt.Sprint("refresh-", i)]; n != 1 {
				t.Errorf("tenant %d was refreshed %d times", i, n)
			}
		}
		for _, req := range up.Requests() {
			if want := "Bearer of-refresh-" + req.Target[1:]; req.Header.Get("Authorization") != want {
				t.Fatalf("%s went out with %q", req.Target, req.Header.Get("Authorization"))
			}
		}
	})
}

// A connection that another process removed is not used for longer than some seconds,
// and not saved again: not by a refresh that comes first, either.
func TestConnectionRemovedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, endpoint := newShelves(), policytest.NewUpstream(t)
		here, up := tenants(t, in, endpoint)
		there, _ := tenants(t, in, endpoint)
		set, other := here.compile(shared, nil), there.compile(shared, nil)
		handOver(t, set, "acme", `{"access_token":"access-0001","refresh_token":"handed-1","expires_in":3}`)
		as(t, set, "acme", "/")
		if found, err := apiOf(t, other).RemoveConnection(t.Context(), "acme"); !found || err != nil {
			t.Fatal(found, err)
		}
		as(t, set, "acme", "/")     // it is known for 5 s
		time.Sleep(4 * time.Second) // and expired: the refresh finds it gone
		var refusal policy.Refusal
		if a := as(t, set, "acme", "/"); !errors.As(a.Err, &refusal) {
			t.Errorf("got %d, %v", a.Status, a.Err)
		}
		wantUnknown(t, as(t, set, "acme", "/"), "acme")
		wantRequests(t, endpoint)
		wantCarried(t, up, "access-0001", "access-0001")
		if found, err := apiOf(t, other).RemoveConnection(t.Context(), "acme"); found || err != nil {
			t.Errorf("it was saved again: %v", err)
		}
		time.Sleep(time.Second)
		handOver(t, other, "acme", `{"access_token":"access-0002"}`)
		as(t, set, "acme", "/")
		wantCarried(t, up, "access-0001", "access-0001", "access-0002")
	})
}

func TestConnectionRemovedHereIsGoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, up := tenants(t, newShelves(), nil)
		set := r.compile(keyed, nil)
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		if found, err := apiOf(t, set).RemoveConnection(t.Context(), "acme"); !found || err != nil {
			t.Fatal(found, err)
		}
		wantUnknown(t, as(t, set, "acme", "/"), "acme")
		if !handOver(t, set, "acme", `{"token":"key-2"}`) {
			t.Error("it was there before")
		}
		as(t, set, "acme", "/")
		if handOver(t, set, "acme", `{"token":"key-3"}`) {
			t.Error("it was not there before")
		}
		as(t, set, "acme", "/")
		wantCarried(t, up, "key-1", "key-2", "key-3")
		var told []string
		for _, e := range r.events {
			if e.Kind == policy.EventConnection {
				told = append(told, e.Key+" "+e.Reason)
			}
		}
		if got := strings.Join(told, ", "); got != "acme created, acme removed, acme created, acme replaced" {
			t.Errorf("told %s", got)
		}
	})
}

// What is handed over, or removed, while a call looks at the store holds from then on. The
// call noted what it had read before as the newest, and for 5 seconds the old key went out.
func TestChangeDuringALookIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, up := tenants(t, in, nil)
		set := r.compile(keyed, nil)
		// during has a call look for a second, from half a second before the change.
		during := func(change func()) {
			time.Sleep(5 * time.Second)
			in.slowDown(time.Second)
			var calls sync.WaitGroup
			calls.Go(change) // which reads for a second, first
			time.Sleep(time.Second / 2)
			calls.Go(func() { as(t, set, "acme", "/") })
			calls.Wait()
			in.slowDown(0)
		}
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		during(func() { handOver(t, set, "acme", `{"token":"key-2"}`) })
		as(t, set, "acme", "/")
		during(func() {
			if found, err := apiOf(t, set).RemoveConnection(t.Context(), "acme"); !found || err != nil {
				t.Error(found, err)
			}
		})
		wantUnknown(t, as(t, set, "acme", "/"), "acme")
		wantCarried(t, up, "key-1", "key-1", "key-2", "key-2")
	})
}

// Who raised an alert about a connection hears when another process has mended or removed
// it: else it would last. What this process did itself is told once.
func TestChangesElsewhereAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := policytest.Step{Status: 400, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"error":"invalid_grant"}`}
		in, endpoint := newShelves(), policytest.NewUpstream(t, refused)
		here, _ := tenants(t, in, endpoint)
		there, _ := tenants(t, in, endpoint)
		set, other := here.compile(shared, nil), there.compile(shared, nil)
		handOver(t, set, "acme", `{"refresh_token":"handed-1"}`)
		if a := as(t, set, "acme", "/"); a.Err == nil {
			t.Error("a refused grant was used")
		}
		handOver(t, other, "acme", `{"access_token":"access-0002"}`)
		time.Sleep(5 * time.Second)
		as(t, set, "acme", "/")
		time.Sleep(5 * time.Second)
		as(t, set, "acme", "/")
		if found, err := apiOf(t, other).RemoveConnection(t.Context(), "acme"); !found || err != nil {
			t.Fatal(found, err)
		}
		time.Sleep(5 * time.Second)
		wantUnknown(t, as(t, set, "acme", "/"), "acme")
		var told []string
		for _, e := range here.events {
			told = append(told, string(e.Kind)+" "+e.Reason)
		}
		if got := strings.Join(told, ", "); got != "connection created, refresh dead, token-wait first, give-up refused locally, found , connection replaced, connection removed" {
			t.Errorf("told %s", got)
		}
	})
}

// What another process puts in the place of a connection is used within seconds, and the
// refresh token before it is not sent any more: not where this process has refreshed
// meanwhile without being able to save it, either.
func TestConnectionReplacedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, endpoint := newShelves(), policytest.NewUpstream(t, grants(2, 0), grants(3, 0), grants(5, 0))
		here, up := tenants(t, in, endpoint)
		there, _ := tenants(t, in, endpoint)
		set, other := here.compile(shared, nil), there.compile(shared, nil)
		handOver(t, set, "acme", `{"access_token":"access-0001","refresh_token":"handed-1","expires_in":3600}`)
		as(t, set, "acme", "/")
		slot := in.slots[policy.ConnectionID("api", "acme")]
		slot.fill(errors.New("the disk is full"))
		for range 2 { // two generations that are in memory only
			time.Sleep(time.Hour)
			as(t, set, "acme", "/")
		}
		slot.fill(nil)
		handOver(t, other, "acme", `{"access_token":"access-0004","refresh_token":"handed-4","expires_in":3600}`)
		time.Sleep(5 * time.Second)
		as(t, set, "acme", "/")
		time.Sleep(time.Hour)
		as(t, set, "acme", "/")
		wantRequests(t, endpoint, "handed-1", "refresh-0002", "handed-4")
		wantCarried(t, up, "access-0001", "access-0002", "access-0003", "access-0004", "access-0005")
	})
}

func (k *kept) fill(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full = err
}

// A hand-over waits for a refresh that is under way, whose successor would otherwise take
// its place.
func TestHandOverWaitsForARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(2, 5*time.Second))
		r, up := tenants(t, newShelves(), endpoint)
		set := r.compile(shared, nil)
		handOver(t, set, "acme", `{"refresh_token":"handed-1"}`)
		var calls sync.WaitGroup
		calls.Go(func() { as(t, set, "acme", "/") })
		time.Sleep(time.Second)
		began := time.Now()
		handOver(t, set, "acme", `{"access_token":"access-0003","refresh_token":"handed-3","expires_in":3600}`)
		if waited := time.Since(began); waited != 4*time.Second {
			t.Errorf("it waited %v, want 4s", waited)
		}
		calls.Wait()
		as(t, set, "acme", "/")
		wantCarried(t, up, "access-0002", "access-0003")
	})
}

// A store that cannot be read says nothing about a connection: that is no 404. One that
// is in use goes on.
func TestUnreadableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, up := tenants(t, in, nil)
		set := r.compile(keyed, nil)
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		in.lose(errors.New("the disk is gone"))
		time.Sleep(time.Minute)
		as(t, set, "acme", "/")
		var refusal policy.Refusal
		a := as(t, set, "globex", "/")
		if !errors.As(a.Err, &refusal) || !strings.Contains(a.Err.Error(), "the disk is gone") {
			t.Fatalf("got %v", a.Err)
		}
		if reason, after := refusal.Refusal(); reason != "credential-unavailable" || after != time.Second {
			t.Errorf("refused for %s, %v", reason, after)
		}
		in.lose(nil)
		time.Sleep(time.Second)
		wantUnknown(t, as(t, set, "globex", "/"), "globex")
		wantCarried(t, up, "key-1", "key-1")
	})
}

// A store that does not answer holds up one call of a connection in use, and that for 3
// seconds; the others do not wait behind it.
func TestStoreThatHangsHoldsUpOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, up := tenants(t, in, nil)
		set := r.compile(keyed, nil)
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		time.Sleep(5 * time.Second)
		in.slowDown(time.Hour)
		var calls sync.WaitGroup
		for _, want := range []time.Duration{3 * time.Second, 0, 0} {
			calls.Go(func() {
				began := time.Now()
				if a := as(t, set, "acme", "/"); a.Err != nil || time.Since(began) != want {
					t.Errorf("%v after %v, want %v", a.Err, time.Since(began), want)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		wantCarried(t, up, "key-1", "key-1", "key-1", "key-1")
	})
}

// A key that has to be read anew, since a reload has changed how it is sent, and cannot
// be: calls say that the store is lost. They said that the connection was removed, and
// each of them asked the store.
func TestUnreadableStoreAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, _ := tenants(t, in, nil)
		set := r.compile(keyed, nil)
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		set = r.compile(strings.Replace(keyed, `type = "bearer"`, `type = "header", name = "X-Key"`, 1), set)
		in.lose(errors.New("the disk is gone"))
		reads := in.read()
		for range 10 {
			if a := as(t, set, "acme", "/"); a.Err == nil || !strings.Contains(a.Err.Error(), "the disk is gone") {
				t.Fatalf("got %v", a.Err)
			}
		}
		if n := in.read() - reads; n != 1 {
			t.Errorf("the store was read %d times", n)
		}
		in.lose(nil)
		time.Sleep(time.Second)
		if a := as(t, set, "acme", "/"); a.Err != nil {
			t.Error(a.Err)
		}
	})
}

// A name that is not there is looked for once a second, and what is known of such names
// is bounded.
func TestFloodOfUnknownNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, _ := tenants(t, in, nil)
		set := r.compile(keyed, nil)
		for range 100 {
			wantUnknown(t, as(t, set, "nobody", "/"), "nobody")
		}
		if n := in.read(); n != 1 {
			t.Errorf("the store was read %d times", n)
		}
		handOver(t, set, "acme", `{"token":"key-1"}`)
		as(t, set, "acme", "/")
		for i := range 10_000 {
			wantUnknown(t, as(t, set, fmt.Sprint("nobody-", i), "/"), "nobody")
		}
		if a := as(t, set, "acme", "/"); a.Err != nil {
			t.Error(a.Err)
		}
		if s := set.Status()[0].Connections; s == nil || s.Used != 1 || s.States["live"] != 1 {
			t.Errorf("status %+v", s)
		}
		if n := set.ConnectionsInMemory("api"); n > 4096 {
			t.Errorf("%d names are remembered", n)
		}
	})
}

// Reloads change nothing for a connection in use: with the same settings it goes on, and
// with others, too.
func TestConnectionsOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, endpoint := newShelves(), policytest.NewUpstream(t, grants(2, 5*time.Second))
		r, up := tenants(t, in, endpoint)
		var live policy.Live
		live.Publish(r.compile(shared, nil))
		handOver(t, live.Load(), "acme", `{"access_token":"access-0001","refresh_token":"handed-1","expires_in":3600}`)
		as(t, live.Load(), "acme", "/")
		reads := in.read()
		live.Publish(r.compile(shared+"[upstream.other]\nurl = \"https://other.test\"\n", live.Load()))
		as(t, live.Load(), "acme", "/")
		if in.read() != reads {
			t.Error("it was looked for again")
		}
		live.Publish(r.compile(shared+"refresh_before = \"10%\"\n", live.Load()))
		as(t, live.Load(), "acme", "/")
		wantCarried(t, up, "access-0001", "access-0001", "access-0001")

		time.Sleep(time.Hour)
		ctx, leave := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			chain, err := apiOf(t, live.Load()).Plan("GET", "/").Connect(ctx, "acme")
			if err != nil {
				t.Error(err)
				return
			}
			policytest.Do(chain, policytest.NewRequest(t, "GET", "https://api.test/", "").WithContext(ctx))
		})
		time.Sleep(time.Second)
		leave()
		calls.Wait()
		began := time.Now()
		if err := live.Close(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("closed after %v, %v: want what the refresh under way takes", time.Since(began), err)
		}
		if data, _ := in.slots[policy.ConnectionID("api", "acme")].Load(t.Context()); !strings.Contains(string(data), "refresh-0002") {
			t.Error("what the refresh brought is lost")
		}
	})
}

func TestListOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newShelves()
		r, _ := tenants(t, in, policytest.NewUpstream(t))
		set := r.compile(shared+"[upstream.api.connection.c]\nrefresh_token = \"env:C\"\n", nil)
		began := time.Now()
		for _, name := range []string{"b", "d", "a"} {
			handOver(t, set, name, `{"access_token":"access-`+name+`","expires_in":60}`)
		}
		as(t, set, "d", "/")
		var got []string
		for after := ""; ; {
			list, next, err := apiOf(t, set).Connections(t.Context(), after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				got = append(got, c.Name+" "+c.From+" "+c.State)
				if c.From == "store" && (!c.Obtained.Equal(began) || !c.Expires.Equal(began.Add(time.Minute))) {
					t.Errorf("%s: %v until %v", c.Name, c.Obtained, c.Expires)
				}
			}
			if after = next; after == "" {
				break
			}
			got = append(got, "…")
		}
		if text := strings.Join(got, ", "); text != "a store none, b store none, c configuration none, …, d store live" {
			t.Errorf("got %s", text)
		}
		if c, err := apiOf(t, set).Connection(t.Context(), "a"); err != nil || c.Name != "a" || c.Upstream != "api" {
			t.Errorf("%+v %v", c, err)
		}
		if _, err := apiOf(t, set).Connection(t.Context(), "e"); !errors.As(err, new(*policy.UnknownConnectionError)) {
			t.Error(err)
		}
		if s := set.Status()[0].Connections; s.Configured != 1 || s.Used != 1 || len(s.First) != 2 || len(set.Status()[0].Credentials) != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

// A connection of the configuration whose tokens come from a login can be handed over,
// too, and is used at once; removed, it is there still, and has no token.
func TestConnectionOfALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, up := tenants(t, newShelves(), policytest.NewUpstream(t))
		login := strings.Replace(strings.Replace(shared, "refresh_token", "authorization_code", 1), "refresh_token = \"env:R\"\n", "authorize_url = \"https://login.test/authorize\"\n", 1)
		set := r.compile(login+"[upstream.api.connection.acme]\nscopes = [\"a\"]\n", nil)
		none := func() {
			t.Helper()
			var refusal policy.Refusal
			if a := as(t, set, "acme", "/"); !errors.As(a.Err, &refusal) || !strings.Contains(a.Err.Error(), "nobody has logged in yet: outrider login api --connection acme") {
				t.Errorf("got %d, %v", a.Status, a.Err)
			}
		}
		none()
		handOver(t, set, "acme", `{"access_token":"access-1"}`)
		as(t, set, "acme", "/")
		handOver(t, set, "acme", `{"access_token":"access-2"}`)
		as(t, set, "acme", "/")
		if found, err := apiOf(t, set).RemoveConnection(t.Context(), "acme"); !found || err != nil {
			t.Fatal(found, err)
		}
		none()
		wantCarried(t, up, "access-1", "access-2")
	})
}

// Signatures, too: each connection signs with its own key.
func TestConnectionsThatSign(t *testing.T) {
	r, up := tenants(t, newShelves(), nil)
	set := r.compile(`
[upstream.api]
url = "https://dynamodb.eu-west-1.amazonaws.com"
auth = { type = "sigv4", access_key_id = "env:OWN", secret_access_key = "env:OWN_KEY", session_token = "env:OWN_SESSION" }
[upstream.api.connection.acme]
access_key_id = "env:ACME"
secret_access_key = "env:ACME_KEY"
[upstream.api.connection.frankfurt]
access_key_id = "env:ACME"
secret_access_key = "env:ACME_KEY"
url = "https://dynamodb.eu-central-1.amazonaws.com"
`, nil)
	chain, err := apiOf(t, set).Plan("GET", "/").Connect(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if a := policytest.Do(chain, policytest.NewRequest(t, "GET", "https://dynamodb.eu-west-1.amazonaws.com/", "")); a.Err != nil {
		t.Fatal(a.Err)
	}
	sent := up.Requests()[0].Header
	if !strings.Contains(sent.Get("Authorization"), "Credential=secret-of-ACME/") || sent.Get("X-Amz-Security-Token") != "" {
		t.Errorf("signed as %q", sent)
	}
	as(t, set, "frankfurt", "/")
	if sent := up.Requests()[1]; sent.Host != "dynamodb.eu-central-1.amazonaws.com" || !strings.Contains(sent.Header.Get("Authorization"), "/eu-central-1/dynamodb/") {
		t.Errorf("%s got %q", sent.Host, sent.Header)
	}
	if _, err := apiOf(t, set).ReadHandover("globex", []byte(`{"token":"x"}`)); !errors.As(err, new(*policy.ConnectionError)) {
		t.Errorf("handed over: %v", err)
	}
	wantUnknown(t, as(t, set, "globex", "/"), "globex")
}

// A connection that has a url of its own is there, in one quota and circuit with nobody
// else, and stays there when it is refreshed.
func TestConnectionIsAtItsURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, endpoint := newShelves(), policytest.NewUpstream(t, grants(2, 0))
		r, up := tenants(t, in, endpoint)
		document := shared + "[upstream.api.connection.listed]\nrefresh_token = \"env:L\"\nurl = \"https://listed.test:8443\"\n"
		set := r.compile(document, nil)
		handOver(t, set, "acme", `{"access_token":"access-0001","refresh_token":"handed-1","expires_in":3600,"url":"https://ACME.test/"}`)
		as(t, set, "acme", "/x")
		time.Sleep(time.Hour)
		as(t, set, "acme", "/y")
		var sent []string
		for _, req := range up.Requests() {
			sent = append(sent, req.Host+req.Target)
		}
		if got := strings.Join(sent, " "); got != "acme.test/x acme.test/y" {
			t.Errorf("sent to %s", got)
		}
		wantCarried(t, up, "access-0001", "access-0002")
		if c := set.Status()[0].Circuits; len(c) != 1 || c[0].Key != "acme.test acme" {
			t.Errorf("circuits %+v", c)
		}
		again, _ := tenants(t, in, endpoint) // after a restart
		set = again.compile(document, nil)
		for name, want := range map[string]string{"acme": "https://acme.test", "listed": "https://listed.test:8443"} {
			way, err := apiOf(t, set).Plan("GET", "/").Connect(t.Context(), name)
			if err != nil || way.String() != want {
				t.Errorf("%s: leads to %s, %v", name, way.Origin, err)
			}
			if c, err := apiOf(t, set).Connection(t.Context(), name); err != nil || c.URL != want {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
	})
}

// explain follows a connection to its url, and says what meets a client that asks for
// another host.
func TestExplainConnectionAtItsURL(t *testing.T) {
	r, _ := tenants(t, newShelves(), nil)
	set := r.compile("[upstream.api]\nurl = \"https://a.api.test/base\"\nhosts = [\"*.api.test\"]\nconnections = \"required\"\nauth = { type = \"bearer\" }\n", nil)
	handOver(t, set, "acme", `{"token":"key-1","url":"https://acme.api.test"}`)
	for _, c := range []struct{ target, want, verdict string }{
		{"/api/x?secret=1", "https://acme.api.test/base/x?…", "sent at once"},
		{"https://acme.api.test/x", "https://acme.api.test/x", "sent at once"},
		{"https://globex.api.test/x", "https://acme.api.test/x", "refused with 421 authority-mismatch: the connection is at https://acme.api.test"},
	} {
		e, err := set.Explain(t.Context(), "GET", c.target, "acme")
		if err != nil || e.Target != c.want || e.Verdict != c.verdict || e.Circuit.Key != "acme.api.test acme" {
			t.Errorf("%s: %+v %v", c.target, e, err)
		}
	}
}

// Whoever asks for the place of a connection by proxy gets there, also where the hosts are
// only other names for that of the upstream's url.
func TestOriginServesWhoAsksForIt(t *testing.T) {
	for _, c := range []struct {
		host, asked string
		want        bool
	}{
		{"acme.test", "acme.test", true}, {"acme.test", "ACME.test.:443", true}, {"acme.test", "acme.test:80", true},
		{"acme.test", "acme.test:8443", false}, {"acme.test", "globex.test", false}, {"acme.test", "x.acme.test", false},
		{"acme.test:8443", "acme.test:8443", true}, {"acme.test:8443", "acme.test", false}, {"acme.test:8443", "acme.test:443", false},
		{"[2001:db8::1]", "[2001:db8::1]:443", true},
	} {
		if got := (policy.Origin{Scheme: "https", Host: c.host}).Serves(c.asked); got != c.want {
			t.Errorf("%s serves %s: %t", c.host, c.asked, got)
		}
	}
}

// A call that is on its way to where its connection was does not take the credential
// there that has come in its place: that belongs to another host.
func TestReplacementElsewhereIsNotSentHere(t *testing.T) {
	for name, c := range map[string]struct{ document, first, second string }{
		"key":    {keyed, `{"token":"key-1","url":"https://old.test"}`, `{"token":"key-2","url":"https://new.test"}`},
		"oauth2": {shared, `{"access_token":"key-1","url":"https://old.test"}`, `{"access_token":"key-2","url":"https://new.test"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, up := tenants(t, newShelves(), policytest.NewUpstream(t))
				set := r.compile(c.document, nil)
				handOver(t, set, "acme", c.first)
				way, err := apiOf(t, set).Plan("GET", "/").Connect(t.Context(), "acme")
				if err != nil || way.Origin != (policy.Origin{Scheme: "https", Host: "old.test"}) {
					t.Fatal(way.Origin, err)
				}
				time.Sleep(time.Second)
				handOver(t, set, "acme", c.second)
				as(t, set, "acme", "/")
				a := policytest.Do(way, policytest.NewRequest(t, "GET", "https://old.test/", ""))
				var refusal policy.Refusal
				if !errors.As(a.Err, &refusal) || !strings.Contains(a.Err.Error(), "replaced by one at another url") {
					t.Errorf("got %d, %v", a.Status, a.Err)
				}
				wantCarried(t, up, "key-2")
				if host := up.Requests()[0].Host; host != "new.test" {
					t.Errorf("sent to %s", host)
				}
			})
		})
	}
}

// What was handed over before the hosts of the upstream were narrowed is not sent outside
// of them.
func TestURLOutsideOfTheHostsIsNotUsed(t *testing.T) {
	r, up := tenants(t, newShelves(), nil)
	set := r.compile(keyed, nil)
	handOver(t, set, "acme", `{"token":"key-1","url":"https://acme.elsewhere.test"}`)
	set = r.compile(strings.Replace(keyed, "connections", "hosts = [\"*.api.test\"]\nconnections", 1), set)
	var refusal policy.Refusal
	if a := as(t, set, "acme", "/"); !errors.As(a.Err, &refusal) || !strings.Contains(a.Err.Error(), "the url of the connection must be one of the upstream's hosts: *.api.test") {
		t.Errorf("got %d, %v", a.Status, a.Err)
	}
	wantCarried(t, up)
}
