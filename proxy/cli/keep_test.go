package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/proxy/outbox"
)

// A keptCall is what a client is told of a call that is kept.
type keptCall struct {
	ID, State, Location, Upstream string
	Duplicate                     bool
	IdempotencyKey                string `json:"idempotency_key"`
}

// post makes a POST with headers, by turns names and values.
func (r *running) post(client *http.Client, url, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return do(r.t, client, req)
}

// isKept reads the answer to a call that is kept.
func isKept(t *testing.T, resp *http.Response, body string) keptCall {
	t.Helper()
	var kept keptCall
	if err := json.Unmarshal([]byte(body), &kept); err != nil || resp.StatusCode != http.StatusAccepted || kept.ID == "" {
		t.Fatalf("the call is not kept: %d %s", resp.StatusCode, body)
	}
	if resp.Header.Get("Location") != kept.Location || resp.Header.Get("Outrider-Letter") != kept.ID || !strings.HasSuffix(kept.Location, "/outbox/letters/"+kept.ID) {
		t.Errorf("it is said to be at %q, and %q: %s", resp.Header.Get("Location"), resp.Header.Get("Outrider-Letter"), body)
	}
	return kept
}

// A letterView is what is shown of a letter.
type letterView struct {
	ID, State, Reason, Method, Path, Connection string
	TraceID                                     string `json:"trace_id"`
	Attempts                                    int
	History                                     []struct {
		Status  int
		Error   string
		TraceID string `json:"trace_id"`
	}
}

// look reads a letter, once it has ended.
func (r *running) look(client *http.Client, location string) letterView {
	r.t.Helper()
	req, _ := http.NewRequestWithContext(r.t.Context(), http.MethodGet, location, nil)
	req.Header.Set("Prefer", "wait=20")
	resp, body := do(r.t, client, req)
	var view letterView
	if err := json.Unmarshal([]byte(body), &view); err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("the letter is not shown: %d %s", resp.StatusCode, body)
	}
	return view
}

func (r *running) delivered(location string) letterView {
	r.t.Helper()
	view := r.look(http.DefaultClient, location)
	if view.State != "delivered" {
		r.t.Fatalf("the letter is %+v", view)
	}
	return view
}

// wantProblem checks that a call was answered with a problem.
func wantProblem(t *testing.T, resp *http.Response, body string, status int, name string) {
	t.Helper()
	if resp.StatusCode != status || slug(body) != name {
		t.Errorf("answered %d %s, want %d %s", resp.StatusCode, body, status, name)
	}
}

// keeping is an upstream without a credential, of which calls are kept.
func keeping(address, mode string) string {
	return api(address) + "auth = { type = \"none\" }\noutbox = \"" + mode + "\"\n"
}

// keyed has a provider honour idempotency keys.
const keyed = "retry = { idempotency_header = \"Idempotency-Key\", mint_key = true, attempts = 1 }\n"

func TestCallIsKeptWhereItsCallerAsksForIt(t *testing.T) {
	var provider ledger
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		provider.note(r)
		w.Header().Set("X-Provider", "yes")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "made\x00it")
	})
	r := launch(t, keeping(server.Listener.Addr().String(), "allow")+keyed)
	began := time.Now()
	resp, body := r.post(http.DefaultClient, r.url("/api/orders//a%2Fb?x=1+2"), "hello",
		"Prefer", "return=representation, respond-async", "X-Own", "1", "Outrider-Order-Key", "order-1")
	kept := isKept(t, resp, body)
	if kept.State != "waiting" || kept.Upstream != "api" || kept.IdempotencyKey == "" || resp.Header.Get("Preference-Applied") != "respond-async" ||
		resp.Header.Get("Idempotency-Key") != kept.IdempotencyKey || resp.Header.Get("Outrider-Trace") == "" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("answered %v %s", resp.Header, body)
	}
	view := r.delivered(kept.Location)
	if view.Attempts != 1 || len(view.History) != 1 || view.History[0].Status != http.StatusCreated || view.Path != "/orders//a%2Fb" {
		t.Errorf("the letter is %+v", view)
	}
	if view.TraceID != resp.Header.Get("Outrider-Trace") || view.History[0].TraceID == "" || view.History[0].TraceID == view.TraceID {
		t.Errorf("the traces are %s of the call, %+v of the letter", resp.Header.Get("Outrider-Trace"), view)
	}
	sent := provider.take()
	if len(sent) != 1 || sent[0].uri != "/orders//a%2Fb?x=1+2" || sent[0].body != "hello" || sent[0].header.Get("X-Own") != "1" ||
		sent[0].header.Get("Prefer") != "return=representation" || sent[0].header.Get("Idempotency-Key") != kept.IdempotencyKey {
		t.Errorf("sent was %+v", sent)
	}
	for name := range sent[0].header {
		if strings.HasPrefix(name, "Outrider-") {
			t.Errorf("%s was sent on", name)
		}
	}
	resp, body = get(t, http.DefaultClient, kept.Location+"/response")
	if resp.StatusCode != http.StatusCreated || body != "made\x00it" || resp.Header.Get("X-Provider") != "yes" || len(resp.Header["Set-Cookie"]) != 2 {
		t.Errorf("the answer is kept as %d %v %q", resp.StatusCode, resp.Header, body)
	}
	if time.Since(began) > 5*time.Second {
		t.Errorf("it took %s", time.Since(began))
	}
}

// Whatever way a call came in, its letter is found at the Location, by the client that made
// the call and by one that knows nothing of us.
func TestLetterIsReachedFromWhereverItsCallCame(t *testing.T) {
	var provider ledger
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { provider.note(r) })
	address := server.Listener.Addr().String()
	t.Setenv("KEY", "canary-of-the-token")
	r := launch(t, "[upstream.api]\nurl = \"http://"+address+"\"\nhosts = [\"api.example.test\"]\nlisten = \"127.0.0.1:0\"\n"+
		"auth = { type = \"bearer\", token = \"env:KEY\" }\noutbox = \"allow\"\n")
	_, port, _ := net.SplitHostPort(r.addresses[""])
	inside := r.trusting(false)
	for name, way := range map[string]struct {
		client   *http.Client
		url      string
		location string // what it begins with
	}{
		"base URL":           {http.DefaultClient, r.url("/api/x"), "http://" + r.addresses[""]},
		"base URL, by name":  {http.DefaultClient, "http://localhost:" + port + "/api/x", "http://localhost:" + port},
		"the upstream's own": {http.DefaultClient, "http://" + r.addresses["api"] + "/x", "http://" + r.addresses[""]},
		"HTTP_PROXY":         {r.proxyClient(), "http://api.example.test/x", "http://" + r.addresses[""]},
		"opened TLS":         {inside, "https://api.example.test/x", "http://" + r.addresses[""]},
	} {
		resp, body := r.post(way.client, way.url, "hello", "Prefer", "respond-async", "Authorization", "Bearer of the caller")
		kept := isKept(t, resp, body)
		if !strings.HasPrefix(kept.Location, way.location+"/outbox/") {
			t.Errorf("%s: the letter is at %s, want it at %s", name, kept.Location, way.location)
		}
		for who, client := range map[string]*http.Client{"the same client": way.client, "another": http.DefaultClient} {
			if view := r.look(client, kept.Location); view.State != "delivered" {
				t.Errorf("%s: %s sees %+v", name, who, view)
			}
		}
		sent := provider.take()
		if len(sent) != 1 || sent[0].uri != "/x" || sent[0].body != "hello" || sent[0].header.Get("Authorization") != "Bearer canary-of-the-token" {
			t.Errorf("%s: sent was %+v", name, sent)
		}
	}
}

// What only reads wants its answer, and is left alone where every call is kept. So is what
// the rule says nothing of, with all that its caller prefers.
func TestCallsThatAreNotKept(t *testing.T) {
	var provider ledger
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		provider.note(r)
		w.WriteHeader(http.StatusTeapot)
	})
	for mode, methods := range map[string][]string{
		"never":      {"GET", "POST"},
		"allow":      {"GET"},
		"always":     {"GET", "HEAD", "OPTIONS", "QUERY"},
		"on_failure": {"GET", "HEAD", "OPTIONS", "QUERY"},
	} {
		r := launch(t, keeping(server.Listener.Addr().String(), mode))
		for _, method := range methods {
			prefer := "return=minimal"
			if mode == "never" {
				prefer = "respond-async, wait=3"
			}
			req, _ := http.NewRequestWithContext(t.Context(), method, r.url("/api/x"), nil)
			req.Header.Set("Prefer", prefer)
			resp, _ := do(t, http.DefaultClient, req)
			if sent := provider.take(); resp.StatusCode != http.StatusTeapot || len(sent) != 1 || sent[0].header.Get("Prefer") != prefer {
				t.Errorf("%s %s: answered %d, sent was %+v", mode, method, resp.StatusCode, sent)
			}
		}
	}
}

// A GET that takes long may be kept all the same, if its caller says that this is fine. Where
// calls are always kept, none has to.
func TestCallsThatAreKept(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "report") })
	for mode, prefer := range map[string]string{"allow": "respond-async", "on_failure": "respond-async", "always": ""} {
		r := launch(t, keeping(server.Listener.Addr().String(), mode))
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
			if method == "GET" && prefer == "" {
				continue
			}
			req, _ := http.NewRequestWithContext(t.Context(), method, r.url("/api/x"), nil)
			if prefer != "" {
				req.Header.Set("Prefer", prefer)
			}
			resp, body := do(t, http.DefaultClient, req)
			kept := isKept(t, resp, body)
			if resp.Header.Get("Preference-Applied") != prefer {
				t.Errorf("%s %s: applied is %q", mode, method, resp.Header.Get("Preference-Applied"))
			}
			if view := r.delivered(kept.Location); view.Method != method {
				t.Errorf("%s %s: the letter is %+v", mode, method, view)
			}
		}
	}
}

// Who waits for the answer gets the provider's own, as if nothing had been kept; and where
// that does not come in time, the letter.
func TestCallerWaitsForTheAnswerToALetter(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		w.Header().Set("Location", "http://"+r.Host+"/made/1")
		w.Header().Set("Preference-Applied", "return=minimal")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "made")
	})
	r := launch(t, keeping(server.Listener.Addr().String(), "allow")+keyed)
	resp, body := r.post(http.DefaultClient, r.url("/api/fast"), "x", "Prefer", "respond-async, wait=20")
	if resp.StatusCode != http.StatusCreated || body != "made" || resp.Header.Get("Location") != r.url("/api/made/1") || resp.Header.Get("Outrider-Letter") == "" ||
		resp.Header.Get("Preference-Applied") != "return=minimal" {
		t.Errorf("answered %d %v %s", resp.StatusCode, resp.Header, body)
	}
	resp, body = r.post(http.DefaultClient, r.url("/api/slow"), "x", "Prefer", "respond-async, wait=1")
	kept := isKept(t, resp, body)
	if kept.State != "sending" {
		t.Errorf("the letter is %q", kept.State)
	}
	unanswered, problem := get(t, http.DefaultClient, kept.Location+"/response")
	wantProblem(t, unanswered, problem, http.StatusNotFound, "letter-unanswered")
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, kept.Location, nil)
	sending, problem := do(t, http.DefaultClient, req)
	wantProblem(t, sending, problem, http.StatusConflict, "letter-sending")
	close(release)
	r.delivered(kept.Location)
}

// A 304 has no body, and its length is that of what the client has already. The answer of a
// letter said "content-length: 0".
func TestAnswerWithoutABodyIsGivenAsItCame(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
	})
	r := launch(t, keeping(server.Listener.Addr().String(), "allow"))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url("/api/x"), nil)
	req.Header.Set("Prefer", "respond-async, wait=20")
	waited, _ := do(t, http.DefaultClient, req)
	later, _ := get(t, http.DefaultClient, r.url("/outbox/letters/"+waited.Header.Get("Outrider-Letter")+"/response"))
	for _, resp := range []*http.Response{waited, later} {
		if length, said := resp.Header["Content-Length"]; resp.StatusCode != http.StatusNotModified || said || resp.Header.Get("ETag") != `"x"` {
			t.Errorf("answered %d with the length %q: %v", resp.StatusCode, length, resp.Header)
		}
	}
}

// A delivered letter that is forgotten has its dedup key count on. The second call was told
// that it waits, at an address where nothing is.
func TestSecondCallOfAForgottenLetterIsToldThatItWasDelivered(t *testing.T) {
	server := upstream(t, func(http.ResponseWriter, *http.Request) {})
	r := launch(t, keeping(server.Listener.Addr().String(), "always"))
	first := r.keep(t, "x", "Outrider-Dedup-Key", "k1")
	r.delivered(first.Location)
	if n, err := r.outbox.Drop(t.Context(), outbox.Filter{IDs: []string{first.ID}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if again := r.keep(t, "x", "Outrider-Dedup-Key", "k1"); !again.Duplicate || again.ID != first.ID || again.State != "delivered" {
		t.Errorf("again %+v", again)
	}
}

// The same request again is the same letter. The same key for another request is a mistake
// of its caller.
func TestSecondCallUnderOneKeyIsTheFirst(t *testing.T) {
	var provider ledger
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { provider.note(r) })
	r := launch(t, keeping(server.Listener.Addr().String(), "always")+keyed)
	first := r.keep(t, "body", "Idempotency-Key", "k1")
	again := r.keep(t, "body", "Idempotency-Key", "k1")
	if first.Duplicate || !again.Duplicate || again.ID != first.ID || again.Location != first.Location {
		t.Errorf("first %+v, again %+v", first, again)
	}
	resp, body := r.post(http.DefaultClient, r.url("/api/x"), "another body", "Idempotency-Key", "k1")
	wantProblem(t, resp, body, http.StatusUnprocessableEntity, "key-reused")
	own := r.keep(t, "one", "Outrider-Dedup-Key", "k1")
	other := r.keep(t, "two", "Outrider-Dedup-Key", "k1")
	if own.ID == first.ID || other.ID != own.ID {
		t.Errorf("by dedup key %s and %s, by idempotency key %s", own.ID, other.ID, first.ID)
	}
	r.delivered(first.Location)
	r.delivered(own.Location)
	if sent := provider.take(); len(sent) != 2 {
		t.Errorf("sent was %+v", sent)
	}
}

func (r *running) keep(t *testing.T, body string, headers ...string) keptCall {
	t.Helper()
	resp, answer := r.post(http.DefaultClient, r.url("/api/x"), body, headers...)
	return isKept(t, resp, answer)
}

// A call that is not kept leaves nothing, and is not sent: its caller is told why, and what
// would be right.
func TestCallsThatCannotBeKept(t *testing.T) {
	var provider ledger
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { provider.note(r) })
	const limits = "[outbox]\nmax_size = \"64KiB\"\nmax_body = \"16KiB\"\ncallbacks = [\"https://app.example.com/hooks/\"]\n"
	r := launch(t, limits+keeping(server.Listener.Addr().String(), "always"))
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		slug    string
		says    string
	}{
		"a credential of its own": {"x", []string{"Authorization", "Bearer canary"}, 422, "outbox-refused", "Authorization"},
		"a cookie":                {"x", []string{"Cookie", "session=canary"}, 422, "outbox-refused", "Cookie"},
		"a callback elsewhere":    {"x", []string{"Outrider-Callback", "https://evil.example/"}, 422, "outbox-refused", "outbox.callbacks"},
		"two order keys":          {"x", []string{"Outrider-Order-Key", "a", "Outrider-Order-Key", "b"}, 400, "malformed-request", "Outrider-Order-Key"},
		"a key without an end":    {"x", []string{"Outrider-Dedup-Key", strings.Repeat("k", 300)}, 400, "malformed-request", "255"},
		"a large body":            {strings.Repeat("x", 16<<10+1), nil, 413, "body-too-large", "16KiB"},
	} {
		resp, body := r.post(http.DefaultClient, r.url("/api/x"), c.body, c.headers...)
		wantProblem(t, resp, body, c.status, c.slug)
		if !strings.Contains(body, c.says) || strings.Contains(body, "canary") {
			t.Errorf("%s: it says %s", name, body)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/api/x"), io.MultiReader(strings.NewReader(strings.Repeat("x", 20<<10)))) // of no known length
	resp, body := do(t, http.DefaultClient, req)
	wantProblem(t, resp, body, http.StatusRequestEntityTooLarge, "body-too-large")
	if sent := provider.take(); len(sent) != 0 {
		t.Errorf("sent was %+v", sent)
	}
	if standing, err := r.outbox.Standing(t.Context()); err != nil || len(standing.Upstreams) != 0 {
		t.Errorf("kept is %+v, %v", standing, err)
	}
}

func TestFullOutboxSaysWhenToComeAgain(t *testing.T) {
	r := launch(t, "[outbox]\nmax_size = \"64KiB\"\nmax_body = \"16KiB\"\n"+keeping(nowhere(t), "always"))
	for range 8 {
		resp, body := r.post(http.DefaultClient, r.url("/api/x"), strings.Repeat("x", 15<<10))
		if resp.StatusCode == http.StatusAccepted {
			continue
		}
		wantProblem(t, resp, body, http.StatusServiceUnavailable, "outbox-full")
		if resp.Header.Get("Retry-After") != "30" {
			t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
		}
		return
	}
	t.Error("64 KiB hold 120 KiB")
}

// nowhere is an address that refuses connections.
func nowhere(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// What cannot be made durable is not accepted.
func TestStoreThatIsAwayKeepsNothing(t *testing.T) {
	t.Parallel()
	r := launch(t, keeping(nowhere(t), "always"))
	r.keep(t, "x")
	r.storage.close()
	resp, body := r.post(http.DefaultClient, r.url("/api/x"), "x")
	wantProblem(t, resp, body, http.StatusServiceUnavailable, "outbox-unavailable")
}

// A client that breaks its body off has not said all that it wanted to.
func TestClientThatLeavesWithinItsBodyLeavesNothing(t *testing.T) {
	r := launch(t, keeping(nowhere(t), "always"))
	for _, sent := range []string{
		"Content-Length: 100\r\n\r\nhalf",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		conn, _ := r.raw("POST /api/x HTTP/1.1\r\nHost: localhost\r\n" + sent)
		_ = conn.Close()
	}
	eventually(t, "the end of two calls", func() (bool, string) {
		return len(r.logged("call")) == 2, r.log.String()
	})
	for _, line := range r.logged("call") {
		if line["class"] != "client-gone" || line["letter"] != nil {
			t.Errorf("the line is %v", line)
		}
	}
	if standing, err := r.outbox.Standing(t.Context()); err != nil || len(standing.Upstreams) != 0 {
		t.Errorf("kept is %+v, %v", standing, err)
	}
}

func TestLetterIsTakenBackBeforeItIsSent(t *testing.T) {
	r := launch(t, keeping(nowhere(t), "always")+"retry = { attempts = 1 }\ncircuit = { consecutive = 1, open = \"60s\" }\n")
	kept := r.keep(t, "x")
	remove := func() (*http.Response, string) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, kept.Location, nil)
		return do(t, http.DefaultClient, req)
	}
	eventually(t, "a letter that waits", func() (bool, string) {
		resp, body := remove()
		return resp.StatusCode == http.StatusOK && strings.Contains(body, `"state":"cancelled"`), body
	})
	resp, body := remove()
	wantProblem(t, resp, body, http.StatusConflict, "letter-ended")
}

// The letters are for who may call base URLs, and no upstream hides them.
func TestWhoMayAskForLetters(t *testing.T) {
	r := launch(t, keeping(nowhere(t), "always"))
	kept := r.keep(t, "x")
	path := strings.TrimPrefix(kept.Location, "http://"+r.addresses[""])
	for name, c := range map[string]struct {
		method, path, host string
		header             http.Header
		status             int
		slug               string
	}{
		"a name that may be anybody's":      {"GET", path, "evil.example", nil, 421, "authority-mismatch"},
		"a page of another site":            {"DELETE", path, "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "cross-site"},
		"no such letter":                    {"GET", "/outbox/letters/01890000-0000-7000-8000-000000000000", "", nil, 404, "letter-unknown"},
		"no id":                             {"GET", "/outbox/letters/", "", nil, 404, "letter-unknown"},
		"the list, which is the operator's": {"GET", "/outbox", "", nil, 404, "letter-unknown"},
		"what there is not":                 {"GET", "/outbox/letters/x/y", "", nil, 404, "letter-unknown"},
		"what is not done to it":            {"PUT", path, "", nil, 405, "method-denied"},
		"a change of its answer":            {"DELETE", path + "/response", "", nil, 405, "method-denied"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), c.method, r.url(c.path), nil)
		req.Host = c.host
		for header, values := range c.header {
			req.Header[header] = values
		}
		resp, body := do(t, http.DefaultClient, req)
		if resp.StatusCode != c.status || slug(body) != c.slug {
			t.Errorf("%s: answered %d %s", name, resp.StatusCode, body)
		}
		// RFC 9110 section 15.5.6. It was said, and cleared away with what else there was.
		if allow := resp.Header.Get("Allow"); c.status == http.StatusMethodNotAllowed && allow == "" {
			t.Errorf("%s: answered without the methods that there are", name)
		}
	}
	head, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, kept.Location, nil)
	if resp, body := do(t, http.DefaultClient, head); resp.StatusCode != http.StatusOK || body != "" || resp.ContentLength < 100 {
		t.Errorf("HEAD: %d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestLettersAskForTheAccessKey(t *testing.T) {
	t.Setenv("ACCESS", "open sesame")
	r := launchWith(t, "access_key = \"env:ACCESS\"", keeping(nowhere(t), "always"))
	kept := r.keep(t, "x", "Outrider-Key", "open sesame")
	resp, body := get(t, http.DefaultClient, kept.Location)
	wantProblem(t, resp, body, http.StatusUnauthorized, "key-required")
}
