package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// A rig compiles documents around one scripted upstream, and remembers events.
type rig struct {
	t   *testing.T
	env policy.Env

	mu     sync.Mutex // a refresh tells from its own goroutine
	events []policy.Event
}

func newRig(t *testing.T, upstream http.RoundTripper) *rig {
	r := &rig{t: t}
	r.env = policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil },
		Jitter:    policytest.Jitter(0.5),
		NewKey:    func() string { return "minted" },
		Secret: func(ref config.Reference) (string, error) {
			if value, ok := strings.CutPrefix(string(ref), "env:"); ok {
				return "secret-of-" + value, nil
			}
			return "", os.ErrNotExist
		},
		Observe: func(_ context.Context, e policy.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	return r
}

func (r *rig) compile(document string, prev *policy.Set) *policy.Set {
	r.t.Helper()
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		r.t.Fatal(err)
	}
	set, err := policy.Compile(file, r.env, prev)
	if err != nil {
		r.t.Fatal(err)
	}
	return set
}

// call sends one request through the plan that a document has for it.
func call(t *testing.T, set *policy.Set, method, path, body string) (policytest.Answer, *policy.Call) {
	t.Helper()
	u, ok := set.ByName("api")
	if !ok {
		t.Fatal("no upstream api")
	}
	c := &policy.Call{Upstream: "api"}
	req := policytest.NewRequest(t, method, "https://api.test"+path, body)
	req = req.WithContext(policy.WithCall(req.Context(), c))
	return policytest.Do(u.Plan(method, path), req), c
}

const plain = `
[upstream.api]
url = "https://api.test"
`

func TestChainIsInTheOrderThatTheDocSays(t *testing.T) {
	set := newRig(t, nil).compile(plain+`
limit = { rate = "10/s" }`, nil)
	u, _ := set.ByName("api")
	got := strings.Join(u.Plans()[0].Stages, " ")
	if want := "deadline retry auth circuit limit attempt"; got != want {
		t.Errorf("chain is %q, want %q", got, want)
	}

	u, _ = newRig(t, nil).compile(plain+`
stale_if_error = "1m"`, nil).ByName("api")
	got = strings.Join(u.Plans()[0].Stages, " ")
	if want := "deadline stale retry auth circuit limit attempt"; got != want {
		t.Errorf("chain of an upstream that keeps answers is %q, want %q", got, want)
	}

	r, _ := fetching(t, policytest.NewUpstream(t))
	u, _ = r.compile(plain+"limit = { rate = \"10/s\" }\n[upstream.api.auth]\n"+connection, nil).ByName("api")
	got = strings.Join(u.Plans()[0].Stages, " ")
	if want := "deadline retry auth circuit limit credential attempt"; got != want {
		t.Errorf("chain of a credential that ends is %q, want %q", got, want)
	}
}

func TestOpenCircuitSpendsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Unsent: true, Err: errors.New("refused")})
		r := newRig(t, upstream)
		set := r.compile(plain+`
retry = { attempts = 1 }
circuit = { consecutive = 2, open = "10s" }
limit = { rate = "1/m", burst = 3 }`, nil)
		for range 2 {
			call(t, set, "GET", "/", "")
		}
		answer, _ := call(t, set, "GET", "/", "")
		var refusal policy.Refusal
		if !errors.As(answer.Err, &refusal) {
			t.Fatalf("third call ended with %v, want a refusal", answer.Err)
		}
		if reason, after := refusal.Refusal(); reason != "circuit-open" || after != 10*time.Second {
			t.Errorf("refused for %s until %v, want circuit-open until 10s", reason, after)
		}
		if answer.Took != 0 {
			t.Errorf("the refusal took %v: it waited in line", answer.Took)
		}
		if tokens := set.Status()[0].Quotas[0].Tokens; tokens != 1 {
			t.Errorf("%v turns are left, want 1: the refused call paid for one", tokens)
		}
	})
}

func TestEveryAttemptPaysForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2, Status: 503}, policytest.Step{Body: "fine"})
		set := newRig(t, upstream).compile(plain+`
retry = { base = "2ms", cap = "2ms" }
limit = { rate = "1/s", burst = 1 }`, nil)
		start := time.Now()
		answer, c := call(t, set, "GET", "/", "")
		if answer.Status != 200 || answer.Body != "fine" {
			t.Fatalf("got %d %q %v", answer.Status, answer.Body, answer.Err)
		}
		requests := upstream.Requests()
		if len(requests) != 3 {
			t.Fatalf("%d requests, want 3", len(requests))
		}
		for i, want := range []time.Duration{0, time.Second, 2 * time.Second} {
			if at := requests[i].At.Sub(start); at != want {
				t.Errorf("request %d was sent at %v, want %v", i+1, at, want)
			}
		}
		if c.Waited() != 2*time.Second {
			t.Errorf("the call waited %v, want 2s: queue and backoff together", c.Waited())
		}
	})
}

func TestOneDeadlineCoversQueueBackoffAndAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Hang: true})
		set := newRig(t, upstream).compile(plain+`
timeout = "5s"
attempt_timeout = "3s"
retry = { attempts = 5, base = "1s" }`, nil)
		answer, _ := call(t, set, "GET", "/", "")
		var timeout *policy.TimeoutError
		if !errors.As(answer.Err, &timeout) {
			t.Fatalf("ended with %v, want a timeout", answer.Err)
		}
		if answer.Took != 5*time.Second || timeout.Clock != "timeout" {
			t.Errorf("ended after %v by %s, want after 5s by timeout", answer.Took, timeout.Clock)
		}
	})
}

func TestAttemptTimeoutIsFollowedByARetryOfASafeCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Hang: true}, policytest.Step{Body: "fine"})
		set := newRig(t, upstream).compile(plain+`
attempt_timeout = "3s"
retry = { base = "1s" }`, nil)
		answer, _ := call(t, set, "GET", "/", "")
		if answer.Status != 200 || answer.Took != 3*time.Second+500*time.Millisecond {
			t.Errorf("got %d after %v (%v), want 200 after 3.5s", answer.Status, answer.Took, answer.Err)
		}
	})
}

func TestCallerShortensTheDeadlineAndNeverLengthensIt(t *testing.T) {
	for _, c := range []struct{ asked, took time.Duration }{{time.Second, time.Second}, {time.Hour, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Hang: true})
			set := newRig(t, upstream).compile(plain+`
timeout = "10s"
attempt_timeout = "10s"
retry = { attempts = 1 }`, nil)
			u, _ := set.ByName("api")
			req := policytest.NewRequest(t, "GET", "https://api.test/", "")
			req = req.WithContext(policy.WithControls(req.Context(), policy.Controls{Timeout: c.asked}))
			if answer := policytest.Do(u.Plan("GET", "/"), req); answer.Took != c.took {
				t.Errorf("asked for %v, ended after %v, want %v", c.asked, answer.Took, c.took)
			}
		})
	}
}

func TestBodiesMayTakeLongButNotBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t,
			policytest.Step{Body: "slow", BodyDelay: 9 * time.Second},
			policytest.Step{Body: "stuck", Stall: true})
		set := newRig(t, upstream).compile(plain+`
timeout = "2s"
attempt_timeout = "2s"
idle_timeout = "10s"`, nil)
		if answer, _ := call(t, set, "GET", "/", ""); answer.Err != nil || answer.Body != "slow" {
			t.Errorf("a body after the deadline: %q %v, want it whole", answer.Body, answer.Err)
		}
		answer, _ := call(t, set, "GET", "/", "")
		var timeout *policy.TimeoutError
		if !errors.As(answer.Err, &timeout) || timeout.Clock != "idle_timeout" || answer.Took != 10*time.Second {
			t.Errorf("a silent body ended with %v after %v, want idle_timeout after 10s", answer.Err, answer.Took)
		}
		if open := upstream.OpenBodies(); open != 0 {
			t.Errorf("%d bodies are still open", open)
		}
	})
}

// A large upload is not a slow answer: the clocks count from its last byte.
func TestUploadHoldsTheClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Hang: true})
		set := newRig(t, upstream).compile(plain+`
timeout = "10s"
attempt_timeout = "4s"
retry = { attempts = 1 }`, nil)
		u, _ := set.ByName("api")
		c := &policy.Call{}
		req := policytest.NewRequest(t, "POST", "https://api.test/", "")
		req = req.WithContext(policy.WithCall(req.Context(), c))
		go func() {
			for range 10 {
				time.Sleep(3 * time.Second)
				c.Uploading()
			}
		}()
		answer := policytest.Do(u.Plan("POST", "/"), req)
		if answer.Took != 34*time.Second {
			t.Errorf("ended after %v, want 34s: 30s of upload and then attempt_timeout", answer.Took)
		}
	})
}

func TestThrottleIsNotAFaultAndAClientThatLeftIsNobodys(t *testing.T) {
	gone, leave := context.WithCancel(policy.WithCall(t.Context(), &policy.Call{}))
	leave()
	here := policy.WithCall(t.Context(), &policy.Call{})
	status := func(code int) *http.Response { return &http.Response{StatusCode: code} }
	for _, c := range []struct {
		name string
		ctx  context.Context
		resp *http.Response
		err  error
		want policy.Class
	}{
		{"200", here, status(200), nil, policy.ClassOK},
		{"404", here, status(404), nil, policy.ClassOK},
		{"401", here, status(401), nil, policy.ClassAuth},
		{"403", here, status(403), nil, policy.ClassAuth},
		{"429", here, status(429), nil, policy.ClassThrottled},
		{"500", here, status(500), nil, policy.ClassFault},
		{"501", here, status(501), nil, policy.ClassOK},
		{"503", here, status(503), nil, policy.ClassFault},
		{"529", here, status(529), nil, policy.ClassFault},
		{"error", here, nil, errors.New("reset"), policy.ClassFault},
		{"client left", gone, nil, context.Canceled, policy.ClassClientGone},
		{"our clock", here, nil, &policy.TimeoutError{Clock: "attempt_timeout"}, policy.ClassFault},
	} {
		if got := policy.Classify(c.ctx, c.resp, c.err); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCredentialIsInjectedPerRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1})
		set := newRig(t, upstream).compile(`
[upstream.api]
url = "https://api.test"
auth = { type = "bearer", token = "env:KEY" }
[[upstream.api.rule]]
match = "GET /admin/**"
auth = { type = "header", name = "X-Admin", value = "env:ADMIN" }
`, nil)
		call(t, set, "GET", "/x", "")
		call(t, set, "GET", "/admin/y", "")
		requests := upstream.Requests()
		if got := requests[0].Header.Get("Authorization"); got != "Bearer secret-of-KEY" {
			t.Errorf("Authorization is %q", got)
		}
		if got := requests[1].Header.Get("X-Admin"); got != "secret-of-ADMIN" {
			t.Errorf("X-Admin is %q", got)
		}
	})
}

func TestCompileReportsEverySecretThatIsMissing(t *testing.T) {
	file, err := config.Parse("test.toml", []byte(`
[upstream.a]
url = "https://a.test"
auth = { type = "bearer", token = "file:/missing" }
[upstream.b]
url = "https://b.test"
auth = { type = "basic", username = "env:U", password = "file:/missing" }
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy.Compile(file, newRig(t, nil).env, nil)
	for _, key := range []string{"upstream.a.auth.token: ", "upstream.b.auth.password: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%v does not name %s", err, key)
		}
	}
}

func TestReloadKeepsQuotaAndCircuitOfUnchangedSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Unsent: true, Err: errors.New("refused")})
		r := newRig(t, upstream)
		document := plain + `
retry = { attempts = 1 }
circuit = { consecutive = 2, open = "10s" }
limit = { rate = "1/h", burst = 3 }`
		var live policy.Live
		live.Publish(r.compile(document, nil))
		for range 2 {
			call(t, live.Load(), "GET", "/", "")
		}
		// The timeout changes, and the limit gets a smaller burst.
		live.Publish(r.compile(strings.Replace(document, "burst = 3", "burst = 2", 1)+"\n[upstream.other]\nurl = \"https://other.test\"\n", live.Load()))
		status := live.Load().Status()[0]
		if status.Circuits[0].State != "open" {
			t.Errorf("the circuit is %s after the reload, want open", status.Circuits[0].State)
		}
		if tokens := status.Quotas[0].Tokens; tokens != 1 {
			t.Errorf("%v turns after the reload, want the 1 that was left", tokens)
		}
	})
}

// A limit that all credentials share has the calls of all of them stand in one place: what
// each has left goes there with it, and stays when the limit is taken out again.
func TestQuotaSurvivesAReloadThatAddsOneForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1}))
		own := plain + "limit = [{ rate = \"1/h\", burst = 5 }"
		var live policy.Live
		live.Publish(r.compile(own+"]", nil))
		call(t, live.Load(), "GET", "/", "")
		for i, document := range []string{own + ", { concurrency = 9, per = \"host\" }]", own + ", { concurrency = 9, per = \"upstream\" }]", own + "]"} {
			live.Publish(r.compile(document, live.Load()))
			call(t, live.Load(), "GET", "/", "")
			if tokens := live.Load().Status()[0].Quotas[0].Tokens; tokens != float64(3-i) {
				t.Errorf("after reload %d %v turns are left, want %d", i+1, tokens, 3-i)
			}
		}
	})
}

// Each configuration kept the one before alive, by what it was compiled with: a program that
// was told of a new file each minute grew for as long as it ran.
func TestConfigurationsBeforeAreForgotten(t *testing.T) {
	for name, credential := range map[string]string{
		"one that is put in":   "auth = { type = \"bearer\", token = \"env:TOKEN\" }\n",
		"one that is fetched":  "[upstream.api.auth]\n" + connection,
		"some that are stored": "connections = \"required\"\nauth = { type = \"bearer\" }\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := tenants(t, newShelves(), policytest.NewUpstream(t, grants(1, 0)))
			var live policy.Live
			reload := func(timeout int) *policy.Upstream {
				live.Publish(r.compile(fmt.Sprintf("%slimit = { rate = \"10/s\" }\ntimeout = \"%ds\"\n%s", plain, timeout, credential), live.Load()))
				return apiOf(t, live.Load())
			}
			first := reload(1)
			var a policytest.Answer
			if first.Config.Connections == config.ConnectionsRequired {
				handOver(t, live.Load(), "acme", `{"token": "0123456789"}`)
				a = as(t, live.Load(), "acme", "/") // which is not called again for long
			} else {
				a, _ = call(t, live.Load(), "GET", "/", "")
			}
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			before, configured := weak.Make(first), weak.Make(first.Config)
			for i := range 2 {
				reload(2 + i)
			}
			runtime.GC()
			if before.Value() != nil || configured.Value() != nil {
				t.Errorf("of the first configuration, what was compiled is in memory after two reloads: %t; what was read: %t", before.Value() != nil, configured.Value() != nil)
			}
			runtime.KeepAlive(&live)
		})
	}
}

// A reload that fails must be as if it had not been tried.
func TestFailedCompileChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1})
		r := newRig(t, upstream)
		var live policy.Live
		live.Publish(r.compile(plain+`limit = { rate = "1/h", burst = 5 }`, nil))
		call(t, live.Load(), "GET", "/", "")
		file, err := config.Parse("test.toml", []byte(plain+`
limit = { rate = "9/h", burst = 1 }
auth = { type = "bearer", token = "file:/missing" }`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Compile(file, r.env, live.Load()); err == nil {
			t.Fatal("a missing secret compiled")
		}
		if tokens := live.Load().Status()[0].Quotas[0].Tokens; tokens != 4 {
			t.Errorf("%v turns, want 4: the failed reload changed the quota", tokens)
		}
	})
}

func TestHostsAreMatched(t *testing.T) {
	set := newRig(t, nil).compile(`
[upstream.exact]
url = "https://api.test:8443"
[upstream.shops]
url = "https://main.shops.test"
hosts = ["*.shops.test"]
[upstream.one]
url = "https://one.shops.test"
[upstream.six]
url = "http://[::1]:7000"
hosts = ["[::1]:7000", "[fd00::1]"]
[upstream.ported]
url = "https://x.ported.test:8443"
hosts = ["*.ported.test:8443"]
[upstream.mapped]
url = "https://10.1.2.3"
[upstream.alias]
url = "http://127.0.0.1:9000/v1"
hosts = ["api.alias.test"]
`, nil)
	for _, c := range []struct{ authority, upstream, origin string }{
		{"api.test", "", ""}, // what runs on another port is another service
		{"API.test.:8443", "exact", "https://api.test:8443"},
		{"api.test:8443", "exact", "https://api.test:8443"},
		{"api.test:9999", "", ""},
		{"x.shops.test:80", "shops", "https://x.shops.test"},
		{"a.b.shops.test", "shops", "https://a.b.shops.test"},
		{"one.shops.test", "one", "https://one.shops.test"},
		{"shops.test", "", ""},
		{"evilshops.test", "", ""},
		{"api.alias.test", "alias", "http://127.0.0.1:9000"},
		{"[::1]:7000", "six", "http://[::1]:7000"},
		{"[fd00::1]:80", "six", "http://[fd00::1]:7000"},
		{"[FD00:0:0::0001]:80", "six", "http://[fd00::1]:7000"},
		{"[::ffff:10.1.2.3]:443", "mapped", "https://10.1.2.3"},
		{"[::ffff:a01:203]", "mapped", "https://10.1.2.3"},
		{"y.ported.test:8443", "ported", "https://y.ported.test:8443"},
		{"y.ported.test:443", "", ""},
		{"elsewhere.test", "", ""},
		{"", "", ""},
	} {
		u, ok := set.ByHost(c.authority)
		if !ok {
			if c.upstream != "" {
				t.Errorf("%q belongs to no upstream, want %s", c.authority, c.upstream)
			}
			continue
		}
		scheme, host := u.Origin(c.authority)
		if u.Config.Name != c.upstream || scheme+"://"+host != c.origin {
			t.Errorf("%q goes to %s at %s://%s, want %s at %s", c.authority, u.Config.Name, scheme, host, c.upstream, c.origin)
		}
	}
}

func TestExplainSaysWhatWouldHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1})
		set := newRig(t, upstream).compile(`
listen = "127.0.0.1:8080"
[upstream.api]
url = "https://api.test/v1"
auth = { type = "bearer", token = "env:KEY" }
limit = { rate = "1/m", burst = 1, max_wait = "30s" }
retry = { idempotency_header = "Idempotency-Key" }
[[upstream.api.rule]]
match = "POST /v1/charges"
timeout = "30s"
`, nil)
		e, err := set.Explain(t.Context(), "post", "/api/charges?key=canary", "")
		if err != nil {
			t.Fatal(err)
		}
		if e.Target != "https://api.test/v1/charges?…" || e.Rule != "POST /v1/charges" || e.Verdict != "sent at once" {
			t.Errorf("got %+v", e)
		}
		call(t, set, "GET", "/v1/x", "")
		for _, target := range []string{"https://api.test/v1/x", "http://127.0.0.1:8080/api/x", "http://api.localhost:8080/x", "/api/x"} {
			e, err := set.Explain(t.Context(), "GET", target, "")
			if err != nil {
				t.Fatal(err)
			}
			if e.Target != "https://api.test/v1/x" || !strings.HasPrefix(e.Verdict, "refused with 429") {
				t.Errorf("%s: %s: %s", target, e.Target, e.Verdict)
			}
		}
		if _, err := set.Explain(t.Context(), "GET", "/nosuch/x", ""); err == nil {
			t.Error("an unknown upstream was explained")
		}
	})
}

// The provider counts credentials, not our rules.
func TestRulesWithOneCredentialShareItsCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1})
		set := newRig(t, upstream).compile(plain+`
[[upstream.api.rule]]
match = "GET /a"
auth = { type = "bearer", token = "env:OTHER" }
[[upstream.api.rule]]
match = "GET /b"
auth = { type = "bearer", token = "env:OTHER" }
`, nil)
		for _, path := range []string{"/", "/a", "/b"} {
			call(t, set, "GET", path, "")
		}
		var keys []string
		for _, c := range set.Status()[0].Circuits {
			keys = append(keys, c.Key)
		}
		if want := []string{"api.test", "api.test GET /a"}; !slices.Equal(keys, want) {
			t.Errorf("circuits %q, want %q", keys, want)
		}
	})
}
