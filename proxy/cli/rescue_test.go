package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/proxy/outbox"
)

// A flaky provider is down at first.
type flaky struct {
	ledger
	status atomic.Int32 // that it answers with; 0: 200
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.note(r)
	if status := f.status.Load(); status != 0 {
		w.Header().Set("X-Provider", "down")
		w.WriteHeader(int(status))
		_, _ = io.WriteString(w, "down")
		return
	}
	_, _ = io.WriteString(w, "done")
}

func flakily(t *testing.T, status int) (*flaky, string) {
	f := &flaky{}
	f.status.Store(int32(status))
	return f, upstream(t, f.ServeHTTP).Listener.Addr().String()
}

// retrying has two attempts made at once.
const retrying = "retry = { attempts = 2, base = \"1ms\", cap = \"1ms\", budget = 1, idempotency_header = \"Idempotency-Key\", mint_key = true }\n"

// rescuable is an upstream whose failures are kept.
func rescuable(address string) string { return keeping(address, "on_failure") + retrying }

// hurry has the letters that wait be due now.
func (r *running) hurry() {
	r.t.Helper()
	if _, err := r.outbox.Retry(r.t.Context(), outbox.Filter{State: outbox.StateWaiting}); err != nil {
		r.t.Fatal(err)
	}
}

// The provider is down for longer than retries last. What was sent under a key goes on under
// that key, with the body that came once.
func TestCallThatFailedIsSentLaterUnderItsKey(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"a body in memory": strings.NewReader("hello"),
		"a streamed body":  io.MultiReader(strings.NewReader("hello")),
		"no body":          http.NoBody,
	} {
		provider, address := flakily(t, http.StatusServiceUnavailable)
		r := launch(t, rescuable(address))
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/api/x"), body)
		resp, answer := do(t, http.DefaultClient, req)
		kept := isKept(t, resp, answer)
		if resp.Header.Get("Outrider-Attempts") != "2" || resp.Header.Get("X-Should-Retry") != "" || resp.Header.Get("X-Provider") != "" {
			t.Errorf("%s: answered %v", name, resp.Header)
		}
		before := provider.take()
		provider.status.Store(0)
		r.hurry()
		r.delivered(kept.Location)
		after := provider.take()
		if len(before) != 2 || len(after) != 1 {
			t.Fatalf("%s: sent was %+v, and then %+v", name, before, after)
		}
		key := before[0].header.Get("Idempotency-Key")
		if key == "" || kept.IdempotencyKey != key || after[0].header.Get("Idempotency-Key") != key || after[0].body != before[0].body {
			t.Errorf("%s: sent was %+v, and then %+v", name, before, after)
		}
	}
}

// What no later time would change is the caller's to know, as is what may have been done
// and cannot be tried again. So is what nobody can send again.
func TestFailuresThatAreNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		policy string
		size   int
		want   int
	}{
		"a permanent answer":           {http.StatusBadRequest, retrying, 5, http.StatusBadRequest},
		"a redirection":                {http.StatusFound, retrying, 5, http.StatusFound},
		"a POST without a key":         {http.StatusInternalServerError, "retry = { attempts = 1 }\n", 5, http.StatusInternalServerError},
		"a body that is not held":      {http.StatusServiceUnavailable, "replay_body = \"1KiB\"\n" + retrying, 1 << 20, http.StatusServiceUnavailable},
		"a credential of the caller's": {http.StatusServiceUnavailable, retrying, 5, http.StatusServiceUnavailable},
	} {
		provider, address := flakily(t, c.status)
		r := launch(t, keeping(address, "on_failure")+c.policy)
		headers := []string{"X-Own", "1"}
		if strings.HasPrefix(name, "a credential") {
			headers = []string{"Authorization", "Bearer mine"}
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, body := r.post(client, r.url("/api/x"), strings.Repeat("x", c.size), headers...)
		if resp.StatusCode != c.want || body != "down" || resp.Header.Get("X-Provider") != "down" || resp.Header.Get("Outrider-Letter") != "" {
			t.Errorf("%s: answered %d %v %s", name, resp.StatusCode, resp.Header, body)
		}
		if len(provider.take()) == 0 {
			t.Errorf("%s: nothing was sent", name)
		}
		if standing, err := r.outbox.Standing(t.Context()); err != nil || len(standing.Upstreams) != 0 {
			t.Errorf("%s: kept is %+v, %v", name, standing, err)
		}
	}
}

// An open circuit and a spent quota are refusals of ours: nothing was sent, so that even a
// POST without a key can be kept.
func TestCallsThatWeRefuseAreKeptForLater(t *testing.T) {
	_, address := flakily(t, http.StatusServiceUnavailable)
	for name, c := range map[string]struct {
		address, policy string
		first           int
	}{
		"open circuit": {nowhere(t), "circuit = { consecutive = 1, open = \"60s\" }\n", http.StatusBadGateway},
		"spent quota":  {address, "limit = { rate = \"1/h\", burst = 1, max_wait = \"1s\" }\n", http.StatusServiceUnavailable},
	} {
		r := launch(t, keeping(c.address, "on_failure")+"retry = { attempts = 1 }\n"+c.policy)
		if resp, body := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != c.first {
			t.Fatalf("%s: the first is answered %d %s", name, resp.StatusCode, body)
		}
		resp, body := r.post(http.DefaultClient, r.url("/api/x"), "x")
		kept := isKept(t, resp, body)
		if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Outrider-Attempts") != "" {
			t.Errorf("%s: answered %v", name, resp.Header)
		}
		if view, err := r.outbox.Letter(t.Context(), kept.ID); err != nil || view.State != "waiting" || view.Attempts != 0 || !view.Departed.IsZero() {
			t.Errorf("%s: the letter is %+v, %v", name, view, err)
		}
	}
}

// The first call was kept, since the provider was down. Its caller never saw that, and called
// again under the same dedup key when the provider was back: the call was sent at once, and
// the letter besides, though the key was there to keep it from being done twice. Likewise a
// call of an order key overtook the letters before it.
func TestSecondCallOfARescuedOneIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		same    bool // letter
	}{
		"a dedup key":                             {[]string{"Outrider-Dedup-Key", "k"}, true},
		"a key that the upstream does not know":   {[]string{"Idempotency-Key", "k"}, true},
		"an order key":                            {[]string{"Outrider-Order-Key", "k"}, false},
		"an order key, and a key that it honours": {[]string{"Outrider-Order-Key", "k", "X-Honoured", "k"}, true},
	} {
		provider, address := flakily(t, http.StatusServiceUnavailable)
		r := launch(t, keeping(address, "on_failure")+"retry = { attempts = 1, idempotency_header = \"X-Honoured\" }\n")
		put := func() (*http.Response, string) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, r.url("/api/x"), strings.NewReader("x"))
			for i := 0; i < len(c.headers); i += 2 {
				req.Header.Set(c.headers[i], c.headers[i+1])
			}
			return do(t, http.DefaultClient, req)
		}
		resp, body := put()
		first := isKept(t, resp, body)
		provider.take()
		provider.status.Store(0)
		resp, body = put()
		again := isKept(t, resp, body)
		if again.Duplicate != c.same || (again.ID == first.ID) != c.same {
			t.Errorf("%s: first %+v, again %+v", name, first, again)
		}
		if sent := provider.take(); len(sent) != 0 {
			t.Errorf("%s: sent was %+v before the letter", name, sent)
		}
		r.hurry()
		r.delivered(first.Location)
		r.delivered(again.Location)
		resp, body = r.post(http.DefaultClient, r.url("/api/x"), "x", "Outrider-Dedup-Key", "another")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: another call is answered %d %s", name, resp.StatusCode, body)
		}
	}
}

// A key that the upstream honours needs no letter to be asked for.
func TestCallUnderAKeyThatTheUpstreamKnowsIsSent(t *testing.T) {
	provider, address := flakily(t, http.StatusServiceUnavailable)
	r := launch(t, rescuable(address))
	kept := r.keep(t, "x", "Idempotency-Key", "k")
	provider.take()
	provider.status.Store(0)
	if resp, body := r.post(http.DefaultClient, r.url("/api/x"), "x", "Idempotency-Key", "k"); resp.StatusCode != http.StatusOK || body != "done" {
		t.Errorf("answered %d %s", resp.StatusCode, body)
	}
	r.hurry()
	r.delivered(kept.Location)
	for _, sent := range provider.take() {
		if sent.header.Get("Idempotency-Key") != "k" {
			t.Errorf("sent was %+v", sent)
		}
	}
}

// Who cannot keep what failed tells the failure, and not what is wrong with the outbox.
func TestFailureIsToldWhereItCannotBeKept(t *testing.T) {
	_, address := flakily(t, http.StatusServiceUnavailable)
	r := launch(t, "[outbox]\nmax_size = \"1KiB\"\n"+rescuable(address))
	resp, body := r.post(http.DefaultClient, r.url("/api/x"), strings.Repeat("x", 2<<10))
	if resp.StatusCode != http.StatusServiceUnavailable || body != "down" || resp.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("answered %d %v %s", resp.StatusCode, resp.Header, body)
	}
	if len(r.logged("a call that failed could not be kept")) != 1 {
		t.Errorf("the log says %s", r.log)
	}
}

// A letter whose answer was unknown once is not sent again where that may do it twice.
func TestUnsafeLetterIsNotSentTwice(t *testing.T) {
	provider, address := flakily(t, http.StatusInternalServerError)
	r := launch(t, keeping(address, "always")+"retry = { attempts = 3, base = \"1ms\", cap = \"1ms\", budget = 1 }\n")
	kept := r.keep(t, "x")
	view := r.look(http.DefaultClient, kept.Location)
	if view.State != "dead" || view.Reason != "unknown" || view.Attempts != 1 {
		t.Errorf("the letter is %+v", view)
	}
	if sent := provider.take(); len(sent) != 1 {
		t.Errorf("sent was %d times", len(sent))
	}
	resp, body := get(t, http.DefaultClient, kept.Location+"/response")
	if resp.StatusCode != http.StatusInternalServerError || body != "down" {
		t.Errorf("its answer is %d %s", resp.StatusCode, body)
	}
}

// A redirection is not followed, and is no success.
func TestRedirectedLetterIsNotDelivered(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	r := launch(t, keeping(server.Listener.Addr().String(), "always")+keyed)
	if view := r.look(http.DefaultClient, r.keep(t, "x").Location); view.State != "dead" || view.Reason != "redirected" {
		t.Errorf("the letter is %+v", view)
	}
}

// The provider was away while letters came. When it is back, each arrives once, in the order
// of its key.
func TestLettersArriveWhenTheirUpstreamIsBack(t *testing.T) {
	provider, address := flakily(t, http.StatusServiceUnavailable)
	r := launch(t, keeping(address, "always")+"circuit = { consecutive = 2, open = \"100ms\", open_max = \"200ms\" }\n"+
		"retry = { attempts = 1, idempotency_header = \"Idempotency-Key\", mint_key = true }\n")
	var letters []keptCall
	for i := range 10 {
		letters = append(letters, r.keep(t, fmt.Sprint(i), "Outrider-Order-Key", "one"))
	}
	eventually(t, "an attempt", func() (bool, string) {
		provider.mu.Lock()
		defer provider.mu.Unlock()
		return len(provider.entries) > 0, ""
	})
	provider.status.Store(0)
	eventually(t, "the end of all letters", func() (bool, string) {
		r.hurry()
		view, err := r.outbox.Letter(t.Context(), letters[9].ID)
		return err == nil && view.State == "delivered", fmt.Sprintf("%+v %v", view, err)
	})
	var bodies []string
	keys := map[string]string{}
	for _, sent := range provider.take() {
		key := sent.header.Get("Idempotency-Key")
		if keys[key] == "" {
			bodies = append(bodies, sent.body)
		}
		keys[key] = sent.body
	}
	if got := strings.Join(bodies, ""); got != "0123456789" || len(keys) != 10 {
		t.Errorf("they came as %s, under %d keys", got, len(keys))
	}
}
