package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// kept is a Keeper in memory, which can be full.
type kept struct {
	slot chan struct{}

	mu   sync.Mutex
	data []byte
	full error
}

func (k *kept) Load(context.Context) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data, nil
}

func (k *kept) Save(_ context.Context, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full == nil {
		k.data = data
	}
	return k.full
}

func (k *kept) Lock(context.Context) (func(), error) {
	k.slot <- struct{}{}
	return func() { <-k.slot }, nil
}

// fetching is a rig whose upstreams take every token, with a token endpoint.
func fetching(t *testing.T, endpoint http.RoundTripper) (*rig, *kept) {
	r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1}))
	k := &kept{slot: make(chan struct{}, 1)}
	r.env.TokenTransport = func(*config.Upstream) (http.RoundTripper, error) { return endpoint, nil }
	r.env.Keep = func(string) (policy.Keeper, error) { return k, nil }
	return r, k
}

// grants is a step of a token endpoint that gives the n-th pair.
func grants(n int, delay time.Duration) policytest.Step {
	return policytest.Step{Delay: delay, Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"access_token":"access-%04d","refresh_token":"refresh-%04d","expires_in":3600}`, n, n)}
}

const connection = `type = "oauth2"
grant = "refresh_token"
token_url = "https://login.test/token"
client_id = "env:ID"
client_secret = "env:S"
refresh_token = "env:R"
`

func wantRequests(t *testing.T, endpoint *policytest.Upstream, want ...string) {
	t.Helper()
	var sent []string
	for _, r := range endpoint.Requests() {
		form, _ := url.ParseQuery(r.Body)
		sent = append(sent, form.Get("refresh_token"))
	}
	if strings.Join(sent, " ") != strings.Join(want, " ") {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

// A successor that could not be saved is known again when its credential comes back
// in a later configuration.
func TestCredentialThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(1, 0))
		r, k := fetching(t, endpoint)
		with := "[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n" + connection
		var live policy.Live
		k.full = errors.New("the disk is full")
		live.Publish(r.compile(with, nil))
		call(t, live.Load(), "GET", "/", "")
		live.Publish(r.compile("[upstream.other]\nurl = \"https://other.test\"\n", live.Load()))
		k.full = nil
		live.Publish(r.compile(with, live.Load()))
		call(t, live.Load(), "GET", "/", "")
		if err := live.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wantRequests(t, endpoint, "secret-of-R")
		if !strings.Contains(string(k.data), "refresh-0001") {
			t.Errorf("kept %s", k.data)
		}
	})
}

// Each reload that changed a credential left the source of the one before in memory, for
// as long as the process lived.
func TestReloadsLeaveNoSourcesBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k := fetching(t, policytest.NewUpstream(t, grants(1, 0)))
		document := func(n int) string {
			return fmt.Sprintf("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n%srefresh_before = \"%ds\"\n", connection, n)
		}
		var live policy.Live
		k.full = errors.New("the disk is full")
		live.Publish(r.compile(document(1), nil))
		call(t, live.Load(), "GET", "/", "") // which brings what cannot be kept
		for n := range 20 {
			live.Publish(r.compile(document(2+n), live.Load()))
		}
		if n := live.Sources(); n != 3 { // the two of now and before, and the one with something to lose
			t.Errorf("%d sources are kept", n)
		}
		k.full = nil
		if err := live.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(k.data), "refresh-0001") {
			t.Errorf("kept %s", k.data)
		}
	})
}

// A rule that inherits the upstream's credential has that one, also where a rule
// before it has the same with another setting: Close waits for all of them.
func TestRuleInheritsTheUpstreamsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(1, 5*time.Second))
		r, k := fetching(t, endpoint)
		var live policy.Live
		live.Publish(r.compile("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n"+connection+
			"[[upstream.api.rule]]\nmatch = \"GET /a\"\n[upstream.api.rule.auth]\n"+connection+"lifetime_default = \"5m\"\n"+
			"[[upstream.api.rule]]\nmatch = \"GET /b\"\ntimeout = \"20s\"\n", nil))
		var calls sync.WaitGroup
		calls.Go(func() { call(t, live.Load(), "GET", "/", "") })
		defer calls.Wait()
		time.Sleep(time.Second)
		if c := live.Load().Status()[0].Credentials; len(c) != 2 || c[1].Name != "default" || c[1].State != "refreshing" {
			t.Errorf("status %+v", c)
		}
		began := time.Now()
		if err := live.Close(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
		if !strings.Contains(string(k.data), "refresh-0001") {
			t.Errorf("kept %s", k.data)
		}
		wantRequests(t, endpoint, "secret-of-R")
	})
}

// A grant that is dead stays so over reloads, with two upstreams that go different
// ways too: the token endpoint is not asked again for each of them.
func TestDeadGrantOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, policytest.Step{Times: -1, Status: 400, Body: `{"error":"invalid_grant"}`})
		r, _ := fetching(t, endpoint)
		document := "[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n" + connection +
			"[upstream.a]\nurl = \"https://a.test\"\nproxy = \"http://127.0.0.1:1\"\n[upstream.a.auth]\n" + connection
		var live policy.Live
		live.Publish(r.compile(document, nil))
		for range 3 {
			call(t, live.Load(), "GET", "/", "")
			live.Publish(r.compile(document, live.Load()))
			if c := live.Load().Status()[1].Credentials[0]; c.State != "dead" {
				t.Errorf("status %+v", c)
			}
		}
		wantRequests(t, endpoint, "secret-of-R")
		ended, end := context.WithCancel(t.Context())
		end()
		_ = live.Close(ended) // who may not wait does not
	})
}

// Who ends at once was warned of a token request that went on, and there was none, now and then:
// nobody had looked yet.
func TestOnlyARefreshUnderWayIsLostByAnEndAtOnce(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for range 100 {
		var none policy.Live
		if err := none.Close(ended); err != nil {
			t.Fatalf("without a token: %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(1, 5*time.Second))
		r, _ := fetching(t, endpoint)
		var live policy.Live
		live.Publish(r.compile("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n"+connection, nil))
		ended, end := context.WithCancel(t.Context())
		end()
		if err := live.Close(ended); err != nil {
			t.Errorf("before it is used: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(1, 5*time.Second))
		r, _ := fetching(t, endpoint)
		var live policy.Live
		live.Publish(r.compile("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n"+connection, nil))
		called := make(chan struct{})
		go func() { defer close(called); call(t, live.Load(), "GET", "/", "") }()
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		if err := live.Close(ended); err == nil || !strings.Contains(err.Error(), "token request") {
			t.Errorf("a refresh that is under way is not told of: %v", err)
		}
		<-called
	})
}

// Of a grant that could not be saved it was told or not as chance had it, where all had been
// closed when the time was over, and then as of a token request.
func TestCloseTellsOfAGrantThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k := fetching(t, policytest.NewUpstream(t, grants(1, 0)))
		k.full = errors.New("the disk is full")
		var live policy.Live
		live.Publish(r.compile("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n"+connection, nil))
		call(t, live.Load(), "GET", "/", "")
		ended, end := context.WithCancel(t.Context())
		end()
		for _, ctx := range []context.Context{t.Context(), ended} {
			err := live.Close(ctx)
			if !errors.Is(err, k.full) || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "token request") {
				t.Errorf("closed: %v", err)
			}
		}
	})
}

// A call waited 50 s for its turn with a token that died after 30, and was sent with
// it: the credential was put on above the queue.
func TestTokenThatDiesInTheQueueIsRefreshedDuringTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := grants(1, 0), grants(2, time.Second)
		first.Body = strings.Replace(first.Body, "3600", "30", 1)
		began := time.Now()
		endpoint := policytest.NewUpstream(t, first, second)
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2})
		r, _ := fetching(t, endpoint)
		r.env.Transport = func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil }
		set := r.compile(plain+`limit = { rate = "1/50s", burst = 1, max_wait = "1m" }`+"\n[upstream.api.auth]\n"+connection, nil)
		for _, want := range []time.Duration{0, 50 * time.Second} {
			if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 || answer.Took != want {
				t.Errorf("answer %+v, want one after %v", answer, want)
			}
		}
		for i, want := range []string{"Bearer access-0001", "Bearer access-0002"} {
			if got := upstream.Requests()[i].Header.Get("Authorization"); got != want {
				t.Errorf("request %d carried %q, want %q", i+1, got, want)
			}
		}
		wantRequests(t, endpoint, "secret-of-R", "refresh-0001")
		if at := endpoint.Requests()[1].At.Sub(began); at != 0 {
			t.Errorf("it was refreshed after %v, want at once: the wait of 50 s was known", at)
		}
	})
}

// A provider that stops everybody for longer than the token lives.
func TestTokenThatDiesBehindAGateIsRefreshedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := grants(1, 0)
		first.Body = strings.Replace(first.Body, "3600", "30", 1)
		began := time.Now()
		endpoint := policytest.NewUpstream(t, first, grants(2, 0))
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 429, Header: http.Header{"Retry-After": {"50"}}}, policytest.Step{})
		r, _ := fetching(t, endpoint)
		r.env.Transport = func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil }
		set := r.compile(plain+`limit = { rate = "10/s" }`+"\n[upstream.api.auth]\n"+connection, nil)
		if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 {
			t.Errorf("answer %+v", answer)
		}
		if at := endpoint.Requests()[1].At.Sub(began); at != 0 {
			t.Errorf("it was refreshed after %v, want when the gate closed", at)
		}
	})
}

// A provider had three tokens in a row revoked as soon as they came. The next 401 is passed
// on, and status and explain said that all is well.
func TestRefreshesThatAreSpacedAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked, fine := policytest.Step{Status: 401}, policytest.Step{}
		r, _ := fetching(t, policytest.NewUpstream(t, grants(1, 0), grants(2, 0), grants(3, 0), grants(4, 0)))
		r.env.Transport = func(*config.Upstream) (http.RoundTripper, error) {
			return policytest.NewUpstream(t, revoked, fine, revoked, fine, revoked, fine, revoked), nil
		}
		set := r.compile("[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n"+connection, nil)
		for _, want := range []int{200, 200, 200, 401} {
			if answer, _ := call(t, set, "GET", "/", ""); answer.Status != want {
				t.Errorf("answered %+v, want %d", answer, want)
			}
		}
		e, err := set.Explain(t.Context(), "GET", "/api/x", "")
		if err != nil {
			t.Fatal(err)
		}
		want := time.Now().Add(20 * time.Second)
		if c := set.Status()[0].Credentials[0]; c.Spaced == nil || !c.Spaced.Equal(want) || e.Token == nil || e.Token.Spaced == nil || !e.Token.Spaced.Equal(want) {
			t.Errorf("status has %+v and explain %+v, want both until %s", c, e.Token, want)
		}
		time.Sleep(20 * time.Second)
		if c := set.Status()[0].Credentials[0]; c.Spaced != nil {
			t.Errorf("afterwards it has %+v", c)
		}
	})
}
