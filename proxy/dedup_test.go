package proxy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
	"outrider/proxy/telemetry"
)

// A keeper is a server that keeps what fails, in virtual time.
type keeper struct {
	*Server
	t        *testing.T
	provider *policytest.Upstream
	began    time.Time
}

// keepsFailures is a server whose upstream, api, answers by steps. policies are of that.
func keepsFailures(t *testing.T, policies string, steps ...policytest.Step) *keeper {
	t.Helper()
	provider := policytest.NewUpstream(t, steps...)
	s := serverTo(t, provider, "[upstream.api]\nurl = \"http://api.test\"\nauth = { type = \"bearer\", token = \"env:TOKEN\" }\noutbox = \"on_failure\"\n"+policies, telemetry.Settings{LogOutput: io.Discard, Recent: 16})
	s.Outbox = outbox.New(outbox.Settings{
		Store: (&outboxtest.Store{}).Open, Observe: func(outbox.Event) {}, Jitter: policytest.Jitter(0.5),
	}, outbox.Limits{MaxAge: time.Hour, DedupWindow: time.Hour})
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &keeper{Server: s, t: t, provider: provider, began: time.Now()}
}

// mints has calls get a key, and one attempt.
const mints = "retry = { attempts = 1, idempotency_header = \"X-Honoured\", mint_key = true }\n"

// A reply is what a caller got, and when.
type reply struct {
	status int
	header http.Header
	body   string
	after  time.Duration // since the test began
	broken bool          // the connection is of no use any more
}

func (r reply) letter() string { return r.header.Get("Outrider-Letter") }

// post makes a call in the middle of others. headers are by turns names and values.
func (k *keeper) post(ctx context.Context, headers ...string) <-chan reply {
	k.t.Helper()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/x", strings.NewReader("hello"))
	r.RequestURI, r.Host = "/api/x", "127.0.0.1:8080"
	r.URL.Host, r.URL.Scheme = "", ""
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	replies := make(chan reply, 1)
	go func() {
		w := httptest.NewRecorder()
		broken := true
		defer func() {
			_ = recover() // of http.ErrAbortHandler
			replies <- reply{w.Code, w.Header(), w.Body.String(), time.Since(k.began), broken}
		}()
		k.serve(&address{host: "127.0.0.1", port: "8080"}, w, r)
		broken = false
	}()
	synctest.Wait() // it is under way, or waits
	return replies
}

// nobody checks that no dedup key is remembered.
func (k *keeper) nobody() {
	k.t.Helper()
	if n := len(k.dedups.of); n != 0 {
		k.t.Errorf("%d dedup keys have calls", n)
	}
}

// Two calls came at the same time under one dedup key, and the provider was down. Both went out,
// each under an idempotency key of its own, and both were answered with the letter of the first:
// nobody knew of the other key, under which the provider may have done it, too.
func TestSecondCallOfADedupKeyWaitsForTheLetterOfTheFirst(t *testing.T) {
	for _, header := range []string{"Outrider-Dedup-Key", "Idempotency-Key"} { // X-Honoured is the one that the upstream knows
		for _, prefer := range []string{"", "respond-async"} {
			synctest.Test(t, func(t *testing.T) {
				k := keepsFailures(t, mints, policytest.Step{Status: 503, Delay: time.Second})
				first := k.post(t.Context(), header, "k")
				second := k.post(t.Context(), header, "k", "Prefer", prefer)
				a, b := <-first, <-second
				var told acceptedBody
				if err := json.Unmarshal([]byte(b.body), &told); err != nil {
					t.Fatal(err, b)
				}
				if a.status != http.StatusAccepted || b.status != http.StatusAccepted || a.letter() == "" || a.letter() != b.letter() || !told.Duplicate {
					t.Errorf("%s %s: the first has %+v, the second %+v", header, prefer, a, b)
				}
				if a.after != time.Second || b.after != time.Second || b.header.Get("Outrider-Wait") != "1.000" {
					t.Errorf("%s %s: answered after %s and %s: %v", header, prefer, a.after, b.after, b.header)
				}
				if sent := k.provider.Requests(); len(sent) != 1 || sent[0].Header.Get("X-Honoured") != a.header.Get("X-Honoured") {
					t.Errorf("%s %s: sent was %+v; the first was told the key of %v", header, prefer, sent, a.header)
				}
				k.nobody()
			})
		}
	}
}

// A caller may wait for the answer to its letter, which is a letter from the beginning: the same
// call is answered with it at once.
func TestCallThatIsALetterHoldsNobodyUpWhileItsCallerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keepsFailures(t, mints, policytest.Step{Status: 200})
		first := k.post(t.Context(), "Outrider-Dedup-Key", "k", "Prefer", "respond-async, wait=5")
		second := k.post(t.Context(), "Outrider-Dedup-Key", "k", "Prefer", "respond-async")
		b := <-second
		if b.status != http.StatusAccepted || b.letter() == "" || b.after != 0 {
			t.Errorf("the second has %+v", b)
		}
		if a := <-first; a.letter() != b.letter() || a.after != 5*time.Second {
			t.Errorf("the first has %+v", a)
		}
		k.nobody()
	})
}

// Only the same call waits: one with another key, or of another tenant, has nothing to do with
// it, and neither has a key that the upstream knows calls again by, or none.
func TestOtherCallsDoNotWaitForThoseOfADedupKey(t *testing.T) {
	for name, c := range map[string][2][]string{
		"another key":                   {{"Outrider-Dedup-Key", "a"}, {"Outrider-Dedup-Key", "b"}},
		"a key of another kind":         {{"Outrider-Dedup-Key", "a"}, {"Idempotency-Key", "a"}},
		"a key that the upstream knows": {{"X-Honoured", "a"}, {"X-Honoured", "a"}},
		"an order key":                  {{"Outrider-Order-Key", "a"}, {"Outrider-Order-Key", "a"}},
		"none":                          {nil, nil},
		"another tenant": {
			{"Outrider-Dedup-Key", "a", "Outrider-Connection", "one"},
			{"Outrider-Dedup-Key", "a", "Outrider-Connection", "two"},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			policies := mints
			if name == "another tenant" {
				policies += "[upstream.api.connection.one]\ntoken = \"env:ONE\"\n[upstream.api.connection.two]\ntoken = \"env:TWO\"\n"
			}
			k := keepsFailures(t, policies, policytest.Step{Times: 2, Delay: time.Second})
			first, second := k.post(t.Context(), c[0]...), k.post(t.Context(), c[1]...)
			a, b := <-first, <-second
			if a.status != http.StatusOK || b.status != http.StatusOK || a.after != time.Second || b.after != time.Second {
				t.Errorf("%s: answered %+v and %+v", name, a, b)
			}
			k.nobody()
		})
	}
}

// The first call has its answer, and there is no letter: the others are sent as ever, one after
// the other, in the order in which they came.
func TestSecondCallOfADedupKeyIsSentAfterTheFirstWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keepsFailures(t, mints, policytest.Step{Times: 4, Delay: time.Second, Body: "done"})
		var replies []<-chan reply
		for range 4 {
			replies = append(replies, k.post(t.Context(), "Outrider-Dedup-Key", "k"))
		}
		for i, one := range replies {
			got := <-one
			if want := time.Duration(i+1) * time.Second; got.status != http.StatusOK || got.body != "done" || got.after != want {
				t.Errorf("call %d is answered %+v, want it after %s", i, got, want)
			}
		}
		k.nobody()
	})
}

// To wait for another call is a part of the call's own time.
func TestCallThatWaitsForAnotherHasItsOwnDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		first  time.Duration // how long it takes
		detail string
		sent   int
	}{
		"while it waits":  {time.Minute, "Outrider-Timeout of 15s passed, and another call with this dedup key was under way", 1},
		"at the provider": {10 * time.Second, "Outrider-Timeout of 15s passed\"", 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := keepsFailures(t, "timeout = \"2m\"\nattempt_timeout = \"2m\"\nretry = { attempts = 1 }\n", policytest.Step{Delay: c.first}, policytest.Step{Hang: true, Times: -1})
			first := k.post(t.Context(), "Outrider-Dedup-Key", "k")
			got := <-k.post(t.Context(), "Outrider-Dedup-Key", "k", "Outrider-Timeout", "15s")
			if got.status != http.StatusGatewayTimeout || !strings.Contains(got.body, c.detail) || got.after != 15*time.Second {
				t.Errorf("%s: answered %+v", name, got)
			}
			if one := <-first; one.status != http.StatusOK || one.after != c.first {
				t.Errorf("%s: the first is answered %+v", name, one)
			}
			if sent := len(k.provider.Requests()); sent != c.sent {
				t.Errorf("%s: %d requests were sent", name, sent)
			}
			if c.sent == 1 {
				k.told(policy.ClassLocal, "deadline-exceeded")
			}
			k.nobody()
		})
	}
}

// Who has left does not hold up those that wait behind it, and nothing of its call is sent.
func TestClientThatLeavesDoesNotWaitForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keepsFailures(t, mints, policytest.Step{Times: 2, Delay: 10 * time.Second})
		first := k.post(t.Context(), "Outrider-Dedup-Key", "k")
		leaves, leave := context.WithCancel(t.Context())
		second := k.post(leaves, "Outrider-Dedup-Key", "k")
		third := k.post(t.Context(), "Outrider-Dedup-Key", "k")
		time.Sleep(time.Second)
		leave()
		if got := <-second; !got.broken || got.after != time.Second {
			t.Errorf("who left is answered %+v", got)
		}
		k.told(policy.ClassClientGone, "")
		<-first
		if got := <-third; got.status != http.StatusOK || got.after != 20*time.Second {
			t.Errorf("the third is answered %+v", got)
		}
		if sent := len(k.provider.Requests()); sent != 2 {
			t.Errorf("%d requests were sent", sent)
		}
		k.nobody()
	})
}

// told checks that a call was told of that ended so.
func (k *keeper) told(class policy.Class, problem string) {
	k.t.Helper()
	for _, call := range k.Telemetry.Recent(telemetry.Filter{}) {
		if call.Class == class && call.Problem == problem {
			return
		}
	}
	k.t.Errorf("no call is told as %s, %q", class, problem)
}
