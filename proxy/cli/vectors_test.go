package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// A vector is one call of policy/retry/testdata/vectors.toml, through a whole sidecar.
type vector struct {
	Name, Beyond, Unplayed string

	Call struct {
		Method, Body     string
		Header           map[string]string
		Once, Overflow   bool
		Deadline, Leaves time.Duration
		Off, Vouched     bool
		Before           string
	}
	Settings struct {
		Attempts          int
		Base, Cap         string
		Statuses          []int
		Unprocessed       []int
		IdempotencyHeader string `toml:"idempotency_header"`
		MintKey           bool   `toml:"mint_key"`
		Budget            *float64
		Timeout, Rate     string
		MinCalls          int `toml:"min_calls"`
		Open, OAuth2      bool
	}
	Jitter   *float64
	Upstream []vectorStep
	Want     struct {
		Status     int
		Body       string
		RetryAfter string `toml:"retry_after"`
		Error      string
		Attempts   int
		Bodies     []string
		Keys       []string
		Echo       string
	}
	Spans []string
}

// A vectorStep is what becomes of one request.
type vectorStep struct {
	Status int
	Header map[string]string
	Body   string
	Broken bool
	Error  string
	After  time.Duration
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	var file struct{ Vector []vector }
	meta, err := toml.DecodeFile("../../policy/retry/testdata/vectors.toml", &file)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 || len(file.Vector) == 0 {
		t.Fatalf("%d vectors, and unknown keys: %v", len(file.Vector), unknown)
	}
	return file.Vector
}

// document is the vector's upstream, with further keys → values as TOML has them, which
// count more than its own. Nothing but its retries waits, unless the vector says so.
func (v *vector) document(name string, more map[string]string) string {
	s, keys := v.Settings, map[string]string{"hosts": "[]", "limit": "[]"}
	set := func(key string, said bool, value string) {
		if said {
			keys[key] = value
		}
	}
	set("timeout", s.Timeout != "", strconv.Quote(s.Timeout))
	set("limit", s.Rate != "", fmt.Sprintf("[{ rate = %q, burst = 1 }]", s.Rate))
	set("circuit.min_calls", s.MinCalls > 0, strconv.Itoa(s.MinCalls))
	set("replay_body", v.Call.Once || v.Call.Overflow, `"1B"`)
	set("retry.attempts", s.Attempts > 0, strconv.Itoa(s.Attempts))
	set("retry.base", s.Base != "", strconv.Quote(s.Base))
	set("retry.cap", s.Cap != "", strconv.Quote(s.Cap))
	set("retry.statuses", s.Statuses != nil, codesOf(s.Statuses))
	set("retry.unprocessed", s.Unprocessed != nil, codesOf(s.Unprocessed))
	set("retry.idempotency_header", s.IdempotencyHeader != "", strconv.Quote(s.IdempotencyHeader))
	set("retry.mint_key", s.MintKey, "true")
	if s.Budget != nil {
		keys["retry.budget"] = fmt.Sprint(*s.Budget)
	}
	maps.Copy(keys, more)
	document := fmt.Sprintf("[upstream.%s]\n", name)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		document += key + " = " + keys[key] + "\n"
	}
	return document
}

func codesOf(codes []int) string { return strings.ReplaceAll(fmt.Sprint(codes), " ", ", ") }

// oauth2 are the keys of an upstream whose tokens come from a place, for a client of its own.
func oauth2(tokenURL, client string) map[string]string {
	return map[string]string{
		"auth.type": `"oauth2"`, "auth.grant": `"client_credentials"`, "auth.token_url": strconv.Quote(tokenURL),
		"auth.client_id": strconv.Quote(client), "auth.client_secret": `"env:VECTOR_SECRET"`,
	}
}

// request is the vector's call. Its body says how long it is, or outgrows what is kept
// while it is sent.
func (v *vector) request(ctx context.Context, url string) *http.Request {
	method := v.Call.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader = strings.NewReader(v.Call.Body)
	if v.Call.Overflow {
		body = io.MultiReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		panic(err) // a vector that is spelled wrong
	}
	req.Header.Set("Outrider-Caller", "vectors") // else it is found out, which takes time
	for field, value := range v.Call.Header {
		req.Header.Set(field, value)
	}
	if v.Call.Off {
		req.Header.Set("Outrider-Retry", "off")
	}
	if v.Call.Vouched {
		req.Header.Set("Outrider-Idempotent", "true")
	}
	if v.Call.Deadline > 0 {
		req.Header.Set("Outrider-Timeout", v.Call.Deadline.String())
	}
	return req
}

// A vectorAnswer is what the client got.
type vectorAnswer struct {
	status int // 0: nothing
	header http.Header
	body   string
	broken bool // the body broke off
}

// calls makes the call, and before it the one that it repeats, if any. ctx ends when the
// client leaves.
func (v *vector) calls(ctx context.Context, t *testing.T, client *http.Client, url string) (first, answer vectorAnswer) {
	t.Helper()
	req := v.request(ctx, url)
	if v.Call.Before != "" {
		first = v.call(t, client, req)
		req = v.request(ctx, url)
	}
	if v.Call.Before == "echo" {
		req.Header.Set("Idempotency-Key", first.header.Get("Idempotency-Key"))
	}
	return first, v.call(t, client, req)
}

func (v *vector) call(t *testing.T, client *http.Client, req *http.Request) vectorAnswer {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		if req.Context().Err() == nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		return vectorAnswer{}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return vectorAnswer{resp.StatusCode, resp.Header, string(body), err != nil}
}

// story takes the wanted spans apart: how the call ended, its requests on the wire, and
// why no other followed.
func (v *vector) story() (status string, requests int, gaveUp string) {
	for i, line := range v.Spans {
		switch words := strings.Fields(line); {
		case i == 0:
			status = words[1]
		case strings.HasPrefix(line, "give up "):
			_, gaveUp, _ = strings.Cut(line, ": ")
		case line[0] >= '0' && line[0] <= '9' && words[1] != "unsent":
			requests++
		}
	}
	return status, requests, gaveUp
}

// headers are what an answer says of the call, and when to come back: name → value.
func (v *vector) headers() map[string]string {
	_, requests, gaveUp := v.story()
	last := v.Upstream[len(v.Upstream)-1].Header
	says := map[string]string{"Outrider-Attempts": "", "Outrider-Retry": gaveUp, "X-Should-Retry": last["x-should-retry"]}
	if requests > 1 {
		says["Outrider-Attempts"] = strconv.Itoa(requests)
	}
	if gaveUp == "refused locally" { // our answer is about that itself
		says["Outrider-Retry"] = ""
	}
	if gaveUp == "budget" || gaveUp == "attempts" && v.Settings.Attempts != 1 {
		says["X-Should-Retry"] = "false"
	}
	if v.Want.Error == "" { // of our own answers it is not said here
		says["Retry-After"] = last["Retry-After"]
	}
	return says
}

// checkAnswer looks at what the client got, but for the body of the provider.
func (v *vector) checkAnswer(t *testing.T, got vectorAnswer) {
	t.Helper()
	status, _, _ := v.story()
	if v.Call.Leaves > 0 {
		status = "0" // what the log says is told to nobody
	}
	if broken := v.Want.Error == "broken"; strconv.Itoa(got.status) != status || got.broken != broken {
		t.Errorf("%s: answered %d, broken off %v, want %s, %v", v.Name, got.status, got.broken, status, broken)
	}
	if got.status == 0 {
		return
	}
	says := v.headers()
	for name, value := range says {
		if said := got.header.Get(name); said != value {
			t.Errorf("%s: %s is %q, want %q", v.Name, name, said, value)
		}
	}
	if v.Want.Error == "" || v.Want.Error == "broken" {
		return
	}
	var problem struct {
		NotRetried string `json:"not_retried"`
	}
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || problem.NotRetried != says["Outrider-Retry"] {
		t.Errorf("%s: our answer says %q, want %q (%v)", v.Name, problem.NotRetried, says["Outrider-Retry"], err)
	}
}
