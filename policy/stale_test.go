package policy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

const keeping = plain + "stale_if_error = \"10m\"\n"

// old is the Cache-Status of an answer that was kept, and else how the call ended.
func old(a policytest.Answer) string {
	switch {
	case a.Err != nil:
		if refusal, ok := errors.AsType[policy.Refusal](a.Err); ok {
			reason, _ := refusal.Refusal()
			return reason
		}
		return a.Err.Error()
	case a.Header.Get("Cache-Status") != "":
		return a.Header.Get("Cache-Status")
	}
	return fmt.Sprint(a.Status)
}

func TestOldAnswerIsGivenForWhatRetriesCouldNotMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Body: "fine"}, policytest.Step{Times: 3, Status: 503})
		r := newRig(t, upstream)
		set := r.compile(keeping, nil)
		call(t, set, "GET", "/", "")
		answer, c := call(t, set, "GET", "/", "")
		if answer.Status != 200 || answer.Body != "fine" || old(answer) != `outrider; fwd=stale; fwd-status=503; detail="status 503"` {
			t.Errorf("answered %d %q, %s", answer.Status, answer.Body, old(answer))
		}
		failed := c.Stale()
		if upstream.Tries() != 4 || failed == nil || failed.Class != policy.ClassFault || failed.Status != 503 || failed.Age != answer.Took {
			t.Errorf("%d tries, %+v", upstream.Tries(), failed)
		}
		var told []string
		for _, e := range r.events {
			if e.Kind == policy.EventGiveUp || e.Kind == policy.EventStale {
				told = append(told, string(e.Kind)+" "+e.Reason)
			}
		}
		if want := []string{"give-up attempts", "stale status 503"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if s := set.Status()[0].Stale; s == nil || s.Answers != 1 || s.Bytes < 4 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestOldAnswerIsGivenWhileTheCircuitIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Body: "fine"})).compile(keeping, nil)
		call(t, set, "GET", "/", "")
		if _, err := set.OrderCircuits(t.Context(), policy.CircuitOrder{Upstream: "api", Open: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		answer, c := call(t, set, "GET", "/", "")
		if want := `outrider; hit; ttl=-90; detail="circuit-open"`; answer.Body != "fine" || old(answer) != want {
			t.Errorf("answered %q, %s, want %s", answer.Body, old(answer), want)
		}
		if c.Attempts() != 0 || c.Stale().Class != policy.ClassLocal {
			t.Errorf("%d attempts, %+v", c.Attempts(), c.Stale())
		}
		if e, err := set.Explain(t.Context(), "GET", "https://api.test/", ""); err != nil || e.Stale != "10m0s" || !strings.HasSuffix(e.Verdict, "given instead, if one is kept") {
			t.Errorf("explained as %+v, %v", e, err)
		}
		if e, _ := set.Explain(t.Context(), "POST", "https://api.test/", ""); e.Stale != "" || strings.Contains(e.Verdict, "instead") {
			t.Errorf("a POST is explained as %+v", e)
		}
		if answer, _ := call(t, set, "GET", "/other", ""); old(answer) != "circuit-open" {
			t.Errorf("what has no earlier answer got %s", old(answer))
		}
	})
}

func TestOldAnswerIsGivenWhenTheTimeIsOver(t *testing.T) {
	for _, c := range []struct {
		settings string
		asked    time.Duration
		took     time.Duration
		detail   string
	}{
		{"retry = { attempts = 1 }\nattempt_timeout = \"3s\"", 0, 3 * time.Second, "attempt_timeout"},
		{"timeout = \"5s\"\nattempt_timeout = \"4s\"", 0, 5 * time.Second, "timeout"},
		{"", 2 * time.Second, 2 * time.Second, "Outrider-Timeout"},
	} {
		t.Run(c.detail, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upstream := policytest.NewUpstream(t, policytest.Step{Body: "fine"}, policytest.Step{Times: -1, Hang: true})
				set := newRig(t, upstream).compile(keeping+c.settings, nil)
				call(t, set, "GET", "/", "")
				req := policytest.NewRequest(t, "GET", "https://api.test/", "")
				req = req.WithContext(policy.WithControls(policy.WithCall(req.Context(), new(policy.Call)), policy.Controls{Timeout: c.asked}))
				answer := policytest.Do(apiOf(t, set).Plan("GET", "/"), req)
				if want := `outrider; fwd=stale; detail="` + c.detail + `"`; answer.Body != "fine" || answer.Took != c.took || old(answer) != want {
					t.Errorf("answered %q after %v, %s, want %s after %v", answer.Body, answer.Took, old(answer), want, c.took)
				}
			})
		})
	}
}

// Who comes too often is told so: an old answer would have them go on.
func TestRefusalForWantOfATurnIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Body: "fine"})).
			compile(keeping+`limit = { rate = "1/h", burst = 1, max_wait = "1s" }`, nil)
		call(t, set, "GET", "/", "")
		if answer, _ := call(t, set, "GET", "/", ""); old(answer) != "queue-timeout" {
			t.Errorf("ended with %s", old(answer))
		}
	})
}

func TestClientThatHasLeftGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Body: "fine"}, policytest.Step{Hang: true})
		set := newRig(t, upstream).compile(keeping, nil)
		call(t, set, "GET", "/", "")
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		c := new(policy.Call)
		req := policytest.NewRequest(t, "GET", "https://api.test/", "").WithContext(policy.WithCall(ctx, c))
		if answer := policytest.Do(apiOf(t, set).Plan("GET", "/"), req); !errors.Is(answer.Err, context.Canceled) || c.Stale() != nil {
			t.Errorf("ended with %s, %+v", old(answer), c.Stale())
		}
	})
}

// A credential that cannot be had for a while is the same afterwards: its answers were
// dropped, so that a provider whose token endpoint was down as well had none when it came to
// need them. Meanwhile nothing is given, since nobody knows who is asking.
func TestNothingIsGivenWithoutACredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Body: "fine"}, policytest.Step{Status: 503, Times: -1})
		r := newRig(t, upstream)
		lost := false
		secret := r.env.Secret
		r.env.Secret = func(config.Reference) (string, error) {
			if lost {
				return "", errors.New("gone")
			}
			return secret("env:T")
		}
		set := r.compile(keeping+`auth = { type = "bearer", token = "file:/t" }`, nil)
		call(t, set, "GET", "/", "")
		lost = true
		if answer, _ := call(t, set, "GET", "/", ""); old(answer) != "credential-unavailable" {
			t.Errorf("ended with %s", old(answer))
		}
		lost = false
		if answer, _ := call(t, set, "GET", "/", ""); answer.Body != "fine" {
			t.Errorf("the same credential got %s", old(answer))
		}
	})
}

// The file of a key may have another account's, without a reload.
func TestNothingIsGivenToAnotherKeyInTheSamePlace(t *testing.T) {
	for name, auth := range map[string]string{
		"bearer": `auth = { type = "bearer", token = "file:/key" }`,
		"basic":  `auth = { type = "basic", username = "file:/key", password = "env:P" }`,
		"header": `auth = { type = "header", name = "X-Key", value = "file:/key" }`,
		"query":  `auth = { type = "query", name = "key", value = "file:/key" }`,
		"sigv4":  `auth = { type = "sigv4", access_key_id = "file:/key", secret_access_key = "env:S", region = "eu-west-1", service = "execute-api" }`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upstream := policytest.NewUpstream(t, policytest.Step{Body: "the first's"}, policytest.Step{Times: 3, Status: 503}, policytest.Step{Body: "the next's"}, policytest.Step{Times: -1, Status: 503})
				r := newRig(t, upstream)
				key := "key-of-the-first"
				secret := r.env.Secret
				r.env.Secret = func(ref config.Reference) (string, error) {
					if ref == "file:/key" {
						return key, nil
					}
					return secret(ref)
				}
				set := r.compile(keeping+auth, nil)
				call(t, set, "GET", "/", "")
				key = "key-of-the-next"
				if answer, _ := call(t, set, "GET", "/", ""); old(answer) != "503" {
					t.Errorf("the next key got %q", answer.Body)
				}
				call(t, set, "GET", "/", "")
				if answer, _ := call(t, set, "GET", "/", ""); answer.Body != "the next's" {
					t.Errorf("the next key got %s, and not its own", old(answer))
				}
				key = "key-of-the-first"
				if answer, _ := call(t, set, "GET", "/", ""); old(answer) != "503" {
					t.Errorf("the first key got %q", answer.Body)
				}
			})
		})
	}
}

const loggedIn = plain + `stale_if_error = "2h"
[upstream.api.auth]
type = "oauth2"
grant = "authorization_code"
authorize_url = "https://login.test/authorize"
token_url = "https://login.test/token"
client_id = "env:ID"
client_secret = "env:S"
`

// `outrider login` is another process. Somebody logged in to another account with it, and
// while the provider was down this process, which had the new tokens already, answered with
// what the account before had seen.
func TestNothingIsGivenOfTheLoginBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelves := newShelves()
		endpoint := policytest.NewUpstream(t, grants(1, 0), grants(2, 0))
		r, _ := tenants(t, shelves, endpoint, policytest.Step{Body: "one's"}, policytest.Step{Times: 3, Status: 503}, policytest.Step{Times: -1, Status: 503})
		set := r.compile(loggedIn, nil)
		login := func(refresh string) {
			t.Helper()
			keeper, err := shelves.keep(policy.ConnectionID("api", ""))
			if err == nil {
				err = auth.Introduce(t.Context(), keeper, auth.Pair{Refresh: auth.NewSecret(refresh)})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		login("of-one")
		call(t, set, "GET", "/", "")
		if answer, _ := call(t, set, "GET", "/", ""); answer.Body != "one's" {
			t.Errorf("one got %s", old(answer))
		}
		login("of-two")
		time.Sleep(time.Hour) // the token of one ends
		if answer, _ := call(t, set, "GET", "/", ""); old(answer) != "503" {
			t.Errorf("two got %q", answer.Body)
		}
		wantRequests(t, endpoint, "of-one", "of-two")
	})
}

// The token that a refresh brings is the same account's.
func TestRefreshKeepsOldAnswers(t *testing.T) {
	for name, document := range map[string]string{
		"a refresh token": keeping + "[upstream.api.auth]\n" + connection,
		"a machine":       keeping + "[upstream.api.auth]\n" + strings.Replace(strings.Replace(connection, "refresh_token", "client_credentials", 1), "refresh_token = \"env:R\"\n", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := policytest.NewUpstream(t, grants(1, 0), grants(2, 0))
				r, _ := tenants(t, newShelves(), endpoint, policytest.Step{Body: "fine"}, policytest.Step{Times: -1, Status: 503})
				set := r.compile(strings.Replace(document, "10m", "2h", 1), nil)
				call(t, set, "GET", "/", "")
				time.Sleep(time.Hour)
				if answer, _ := call(t, set, "GET", "/", ""); answer.Body != "fine" || endpoint.Tries() != 2 {
					t.Errorf("answered %s, after %d token requests", old(answer), endpoint.Tries())
				}
			})
		})
	}
}

// A connection that another process had replaced in the store was another account's, and
// got what the one before had seen.
func TestNothingIsGivenOfAConnectionThatAnotherProcessReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelves := newShelves()
		r, _ := tenants(t, shelves, nil, policytest.Step{Body: "acme's"}, policytest.Step{Times: -1, Status: 503})
		set := r.compile(keyed+"stale_if_error = \"10m\"\n", nil)
		other, _ := tenants(t, shelves, nil)
		elsewhere := other.compile(keyed, nil)
		handOver(t, elsewhere, "acme", `{"token":"of-acme-1"}`)
		as(t, set, "acme", "/")
		if a := as(t, set, "acme", "/"); a.Body != "acme's" {
			t.Errorf("acme got %s", old(a))
		}
		handOver(t, elsewhere, "acme", `{"token":"of-acme-2"}`)
		time.Sleep(5 * time.Second) // the store is looked at again
		if a := as(t, set, "acme", "/"); old(a) != "503" {
			t.Errorf("the account after acme's got %q", a.Body)
		}
	})
}

// Two requests at a time have notes of their own, and the answer that is taken has to bring
// along whose it is.
func TestAnswerOfAHedgedCallIsItsCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 21, Body: "fine"}, policytest.Step{Delay: time.Second, Body: "slow"}, policytest.Step{Body: "second"}, policytest.Step{Times: -1, Status: 503})
		set := newRig(t, upstream).compile(keeping+"hedge = true\nauth = { type = \"bearer\", token = \"env:T\" }", nil)
		for range 21 {
			call(t, set, "GET", "/", "")
		}
		if answer, _ := call(t, set, "GET", "/other", ""); answer.Body != "second" {
			t.Fatalf("answered %s: no second request was sent", old(answer))
		}
		for path, want := range map[string]string{"/": "fine", "/other": "second"} {
			if answer, _ := call(t, set, "GET", path, ""); answer.Body != want {
				t.Errorf("%s got %s", path, old(answer))
			}
		}
	})
}

func TestOldAnswersAreOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := tenants(t, newShelves(), nil, policytest.Step{Body: "acme's"}, policytest.Step{Body: "other's"}, policytest.Step{Times: -1, Status: 503})
		set := r.compile(keyed+"stale_if_error = \"10m\"\n", nil)
		for _, name := range []string{"acme", "other", "third"} {
			handOver(t, set, name, `{"token":"key"}`)
		}
		as(t, set, "acme", "/")
		as(t, set, "other", "/")
		if a := as(t, set, "acme", "/"); a.Body != "acme's" {
			t.Errorf("acme got %q", a.Body)
		}
		if a := as(t, set, "third", "/"); old(a) != "503" {
			t.Errorf("who had no answer got %q", a.Body)
		}
		handOver(t, set, "acme", `{"token":"of another account"}`)
		if a := as(t, set, "acme", "/"); old(a) != "503" {
			t.Errorf("the account after acme's got %q", a.Body)
		}
		if a := as(t, set, "other", "/"); a.Body != "other's" {
			t.Errorf("other got %q", a.Body)
		}
	})
}

func TestReloadKeepsAnswersUnlessTheCredentialsAreOthers(t *testing.T) {
	const bearer = "auth = { type = \"bearer\", token = \"env:T\" }\n"
	for _, c := range []struct {
		name, next string
		old        bool
	}{
		{"nothing", keeping + bearer, true},
		{"another setting", keeping + bearer + "timeout = \"9s\"", true},
		{"a shorter time", plain + "stale_if_error = \"1s\"\n" + bearer, false},
		{"no old answers", plain + bearer, false},
		{"another credential", keeping + "auth = { type = \"bearer\", token = \"env:OTHER\" }\n", false},
		{"a connection", keeping + bearer + "connection.acme.token = \"env:ACME\"\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upstream := policytest.NewUpstream(t, policytest.Step{Body: "fine"}, policytest.Step{Times: -1, Status: 503})
				r := newRig(t, upstream)
				before := r.compile(keeping+bearer, nil)
				call(t, before, "GET", "/", "")
				time.Sleep(2 * time.Second)
				answer, _ := call(t, r.compile(c.next, before), "GET", "/", "")
				if got := answer.Body == "fine"; got != c.old {
					t.Errorf("answered %s", old(answer))
				}
			})
		})
	}
}

// One rule keeps, and what another one changes is known to it.
func TestRuleKeepsAnswersForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2, Body: "fine"}, policytest.Step{Times: 6, Status: 503}, policytest.Step{Status: 201}, policytest.Step{Times: -1, Status: 503})
		set := newRig(t, upstream).compile(plain+`
[[upstream.api.rule]]
match = "GET /kept/**"
stale_if_error = "1h"
`, nil)
		call(t, set, "GET", "/kept/1", "")
		call(t, set, "GET", "/plain", "")
		if answer, _ := call(t, set, "GET", "/kept/1", ""); answer.Body != "fine" {
			t.Errorf("the rule's call got %s", old(answer))
		}
		if answer, _ := call(t, set, "GET", "/plain", ""); old(answer) != "503" {
			t.Errorf("a call without the rule got %s", old(answer))
		}
		call(t, set, "POST", "/kept/1", "")
		if answer, _ := call(t, set, "GET", "/kept/1", ""); old(answer) != "503" {
			t.Errorf("after the change it got %s", old(answer))
		}
	})
}
