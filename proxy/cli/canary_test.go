package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Everything that is secret in a call. The first six are ours to keep, the
// others pass between the application and its API, and are nobody else's.
var canaries = map[string]string{
	"bearer token":             "canary-bearer-1a2b",
	"basic user":               "canary-user-3c4d",
	"basic password":           "canary-password-5e6f",
	"basic credential":         base64.StdEncoding.EncodeToString([]byte("canary-user-3c4d:canary-password-5e6f")),
	"header credential":        "canary-header-7a8b",
	"query credential":         "canary-query-9c0d",
	"placeholder credential":   "canary-placed-3c4d",
	"client secret":            "canary-client-5e6f",
	"refresh token":            "canary-refresh-7a8b",
	"access token":             "canary-token-9c0d",
	"rotated refresh token":    "canary-rotated-1e2f",
	"secret access key":        "canary-signing-1e2f",
	"session token":            "canary-session-3a4b",
	"access key":               "canary-access-1e2f",
	"caller's authorization":   "canary-caller-3a4b",
	"caller's key":             "canary-callerkey-5c6d",
	"caller's cookie":          "canary-cookie-7e8f",
	"caller's query":           "canary-callerquery-9a0b",
	"request body":             "canary-request-1c2d",
	"response body":            "canary-response-3e4f",
	"response header":          "canary-setcookie-5a6b",
	"malformed answer":         "canary-malformed-7c8d",
	"idempotency key":          "canary-idempotency-9e0f",
	"literal in a broken file": "canary-literal-1a0b",
}

// credentials maps the kind of an upstream → its auth table, and the canaries
// that its provider may see of those that are ours.
var credentials = map[string]struct {
	auth string
	own  []string
}{
	"bearer": {`{ type = "bearer", token = "env:CANARY_BEARER" }`, []string{"bearer token"}},
	"basic":  {`{ type = "basic", username = "env:CANARY_USER", password = "env:CANARY_PASSWORD" }`, []string{"basic credential"}},
	"header": {`{ type = "header", name = "X-Api-Key", value = "env:CANARY_HEADER" }`, []string{"header credential"}},
	"query":  {`{ type = "query", name = "key", value = "env:CANARY_QUERY" }`, []string{"query credential"}},
	"open":   {`{ type = "passthrough" }`, nil},
	"oauth":  {`{ type = "oauth2", grant = "refresh_token", token_url = "TOKENS", client_id = "app", client_secret = "env:CANARY_CLIENT", refresh_token = "env:CANARY_REFRESH" }`, []string{"access token"}},
	"signed": {`{ type = "sigv4", access_key_id = "AKIDEXAMPLE", secret_access_key = "env:CANARY_SIGNING", session_token = "env:CANARY_SESSION", region = "eu-west-1", service = "execute-api" }`, []string{"session token"}},
	"placed": {`{ type = "placeholder", value = "env:CANARY_PLACED" }`, []string{"placeholder credential"}},
}

var ours = []string{"bearer token", "basic user", "basic password", "basic credential", "header credential", "query credential", "placeholder credential", "access key",
	"client secret", "refresh token", "access token", "rotated refresh token", "secret access key", "session token"}

// providers maps what an upstream does → the bytes that it answers with.
var providers = map[string]string{
	"well":      "HTTP/1.1 200 OK\r\nSet-Cookie: canary-setcookie-5a6b\r\nContent-Length: 20\r\n\r\ncanary-response-3e4f",
	"fault":     "HTTP/1.1 503 Busy canary-malformed-7c8d\r\nSet-Cookie: canary-setcookie-5a6b\r\nContent-Length: 20\r\n\r\ncanary-response-3e4f",
	"refusing":  "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"canary-setcookie-5a6b\"\r\nContent-Length: 20\r\n\r\ncanary-response-3e4f",
	"moved":     "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/?canary-setcookie-5a6b\r\nContent-Length: 0\r\n\r\n",
	"reset":     "",
	"nonsense":  "canary-malformed-7c8d\r\n\r\n",
	"badheader": "HTTP/1.1 200 OK\r\ncanary-malformed-7c8d\r\n\r\n",
	"badname":   "HTTP/1.1 200 OK\r\ncanary-malformed-7c8d canary-response-3e4f: x\r\n\r\n",
	"badlength": "HTTP/1.1 200 OK\r\nContent-Length: canary-malformed-7c8d\r\n\r\n",
	"badcoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary-malformed-7c8d\r\n\r\n",
	"badchunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary-malformed-7c8d\r\n",
	"short":     "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\ncanary-response-3e4f",
	"upgrade":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: canary-malformed-7c8d\r\n\r\n",
}

// received is what arrived at an upstream, by the first part of its path.
type received struct {
	mu   sync.Mutex
	text map[string]string // "bearer" → heads and bodies
}

func (r *received) serve(answer string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		h := head(in)
		var body []byte
		if _, rest, ok := strings.Cut(h, "Content-Length: "); ok {
			var n int
			_, _ = fmt.Sscanf(rest, "%d", &n)
			body = make([]byte, n)
			_, _ = io.ReadFull(in, body)
		}
		kind := "?"
		if fields := strings.Fields(h); len(fields) > 1 {
			kind, _, _ = strings.Cut(strings.TrimPrefix(fields[1], "/"), "/")
		}
		r.mu.Lock()
		r.text[kind] += h + string(body)
		r.mu.Unlock()
		_, _ = io.WriteString(conn, answer)
	}
}

func TestNoSecretIsToldAndNoneGoesElsewhere(t *testing.T) {
	for name, value := range map[string]string{
		"CANARY_BEARER": "bearer token", "CANARY_USER": "basic user", "CANARY_PASSWORD": "basic password",
		"CANARY_HEADER": "header credential", "CANARY_QUERY": "query credential", "CANARY_ACCESS": "access key",
		"CANARY_PLACED": "placeholder credential", "CANARY_CLIENT": "client secret", "CANARY_REFRESH": "refresh token",
		"CANARY_SIGNING": "secret access key", "CANARY_SESSION": "session token",
	} {
		t.Setenv(name, canaries[value])
	}
	collector := receive(t)
	got := &received{text: map[string]string{}}
	bases := map[string]string{} // provider → where it listens
	for name, answer := range providers {
		bases[name] = "http://" + rawUpstream(t, got.serve(answer))
	}
	bases["plaintext"] = "https://" + rawUpstream(t, func(conn net.Conn, in *bufio.Reader) {
		hello := make([]byte, 4<<10)
		n, _ := in.Read(hello)
		got.mu.Lock()
		got.text["?"] += string(hello[:n])
		got.mu.Unlock()
		_, _ = io.WriteString(conn, "HTTP/1.1 400 canary-malformed-7c8d\r\n\r\n")
	})
	config, _ := certificate(t)
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.TLS = config
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	bases["untrusted"] = untrusted.URL
	bases["refused"] = "http://" + closedPort(t)
	bases["nowhere"] = "http://nowhere.invalid"
	unlisted := rawUpstream(t, got.serve(providers["well"]))

	tokens := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"canary-token-9c0d","token_type":"bearer","expires_in":3600,"refresh_token":"canary-rotated-1e2f"}`)
	}).URL + "/token"
	state := filepath.Join(t.TempDir(), "state")
	document := anyPorts + fmt.Sprintf(`
state_dir = %q
access_key = "env:CANARY_ACCESS"
[forward]
allow_private = ["127.0.0.0/8"]
[telemetry]
log_level = "debug"
logs = true
endpoint = %q
`, state, collector.url)
	for _, kind := range slices.Sorted(maps.Keys(credentials)) {
		for _, provider := range slices.Sorted(maps.Keys(bases)) {
			document += fmt.Sprintf("[upstream.%[1]s-%[2]s]\nurl = \"%[3]s/%[4]s/%[5]s\"\nhosts = [\"%[1]s.%[2]s.test\"]\nauth = %[6]s\nretry = { attempts = 2, base = \"1ms\", cap = \"2ms\", idempotency_header = \"Idempotency-Key\" }\n",
				kind, provider, bases[provider], kind, provider, strings.ReplaceAll(credentials[kind].auth, "TOKENS", tokens))
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	r := launchUnstopped(t, path, document)
	told := map[string]string{} // place → text
	tailed := map[string]func() string{
		"outrider tail": r.tailing(path), "outrider tail --json": r.tailing(path, "--json"), // which has all that the event "calls" has
	}

	// Every upstream, by base URL and as a proxy, with everything that is secret.
	direct := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	proxied := &http.Client{Timeout: patience, CheckRedirect: direct.CheckRedirect, Transport: &http.Transport{
		DisableKeepAlives: true, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.addresses[""], User: url.UserPassword("x", canaries["access key"])})}}
	opened := r.trusting(false)
	opened.Transport.(*http.Transport).Proxy = proxied.Transport.(*http.Transport).Proxy
	opened.Transport.(*http.Transport).DisableKeepAlives = true
	for kind := range credentials {
		for _, provider := range slices.Sorted(maps.Keys(bases)) {
			for _, method := range []string{"GET", "POST"} {
				place := "own answer for " + method + " " + kind + "-" + provider
				told[place] += callSecretly(t, direct, method, r.url("/"+kind+"-"+provider+"/x"))
				told[place] += callSecretly(t, proxied, method, "http://"+kind+"."+provider+".test/"+kind+"/x")
				told[place] += callSecretly(t, opened, method, "https://"+kind+"."+provider+".test/"+kind+"/x")
			}
		}
	}
	_ = callSecretly(t, proxied, "GET", "https://bearer.well.test/x") // it does not trust us
	told["own answer for an unlisted host"] = callSecretly(t, proxied, "POST", "http://"+unlisted+"/unlisted/x")
	told["own answer for a host that is not there"] = callSecretly(t, proxied, "POST", "http://nowhere.invalid/x")
	told["own answer for an unknown upstream"] = callSecretly(t, direct, "POST", r.url("/nope/x"))
	for name, text := range map[string]string{
		"wrong key":       "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOutrider-Key: canary-caller-3a4b\r\n\r\n",
		"malformed":       "GET / HTTP/1.1\r\nHost: x\r\ncanary-caller-3a4b\r\n\r\n",
		"malformed value": "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: canary-caller-3a4b\x01\r\n\r\n",
		"user in a URL":   "GET http://canary-caller-3a4b:canary-callerkey-5c6d@x.test/ HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n",
	} {
		_, answer := r.raw(text)
		data, _ := io.ReadAll(io.LimitReader(answer, 4<<10))
		told["own answer, "+name] = string(data)
	}

	// What people and machines look at.
	r.rest()
	for _, page := range []string{"/metrics", "/api/status", "/api/calls", "/api/plan",
		"/api/explain?method=POST&url=" + url.QueryEscape("http://bearer.well.test/x?token=canary-callerquery-9a0b")} {
		name, _, _ := strings.Cut(page, "?")
		told[name] = r.askWithKey("GET", page, canaries["access key"])
	}
	told["outrider top"] = topOf(t, told["/api/status"], told["/api/calls"])
	for _, command := range []string{"status", "alerts", "observed"} {
		_, out, errs := commandLine("", command, "--config", path, "--admin", r.adminAt)
		told["outrider "+command] = out + errs
	}
	for command, end := range tailed {
		told[command] = end()
	}
	told["/metrics without the key"] = r.askWithKey("GET", "/metrics", "canary-caller-3a4b")
	broken := strings.Replace(document, `token = "env:CANARY_BEARER"`, `token = "canary-literal-1a0b", tokens = "canary-literal-1a0b"`, 1)
	broken = strings.Replace(broken, `value = "env:CANARY_QUERY"`, `value = ["canary-literal-1a0b"]`, 1)
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	told["/reload"] = r.askWithKey("POST", "/reload", canaries["access key"])
	if !strings.Contains(told["/reload"], "auth.tokens") {
		t.Errorf("the broken file was taken, or is not explained: %s", told["/reload"])
	}
	told["/api/status after a broken file"] = r.askWithKey("GET", "/api/status", canaries["access key"])
	r.halt()
	told["the log"] = r.log.String()
	told["spans"], told["exported log"] = collector.text(), collector.log()
	files := 0
	_ = filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			told["state files"] += string(data)
			files++
		}
		return err
	})
	if files < 3 {
		t.Errorf("%d state files: TLS was not opened", files)
	}
	for name, file := range map[string]string{"check": document, "check of a broken file": broken,
		"check of literals": strings.ReplaceAll(document, "env:CANARY_BEARER", "canary-bearer-1a2b")} {
		for _, asJSON := range []bool{false, true} {
			told[fmt.Sprintf("%s, json=%v", name, asJSON)] = checkOutput(t, file, asJSON)
		}
	}

	for place, text := range told {
		for what, canary := range canaries {
			if i := strings.Index(text, canary); i >= 0 {
				t.Errorf("%s has the %s: …%s…", place, what, text[max(0, i-120):min(len(text), i+80)])
			}
		}
	}
	for _, place := range []string{"the log", "spans", "exported log", "/api/calls", "/api/status", "/api/plan", "outrider top",
		"outrider status", "outrider tail", "outrider tail --json", "check, json=false"} {
		if !strings.Contains(told[place], "-well") {
			t.Errorf("%s says nothing at all: %.300s", place, told[place])
		}
	}
	if !strings.Contains(told["outrider alerts"], "Circuit of ") {
		t.Errorf("outrider alerts says nothing at all: %s", told["outrider alerts"])
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	for kind, text := range got.text {
		for _, what := range ours {
			own := slices.Contains(credentials[kind].own, what)
			if has := strings.Contains(text, canaries[what]); has != own {
				t.Errorf("the upstreams of %q: %s there: %v, want %v", kind, what, has, own)
			}
		}
	}
	for _, kind := range []string{"bearer", "basic"} {
		if strings.Contains(got.text[kind], "canary-caller-3a4b") {
			t.Errorf("the caller's own Authorization went out beside that of %s", kind)
		}
	}
	for _, kind := range append(slices.Collect(maps.Keys(credentials)), "unlisted") {
		if got.text[kind] == "" {
			t.Errorf("nothing arrived for %q", kind)
		}
	}
}

// callSecretly makes a call that is full of secrets, and gives the answer if it
// was one of our own making.
func callSecretly(t *testing.T, client *http.Client, method, target string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target+"?token=canary-callerquery-9a0b&canary-callerquery-9a0b", strings.NewReader("canary-request-1c2d"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer canary-caller-3a4b", "X-Placed": "outrider-placeholder-placed-well", "X-Api-Key": "canary-callerkey-5c6d", "Cookie": "canary-cookie-7e8f",
		"Idempotency-Key": "canary-idempotency-9e0f", "Outrider-Key": canaries["access key"],
	} {
		req.Header.Set(name, value)
	}
	if strings.Contains(target, "upgrade") {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "canary-malformed-7c8d")
	}
	resp, err := client.Do(req)
	if err != nil {
		return "" // broken off, as the upstream's answer was
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Proxy-Status") == "" {
		return ""
	}
	var answer bytes.Buffer
	_ = resp.Header.Write(&answer)
	_, _ = io.Copy(&answer, resp.Body)
	return answer.String()
}

func (r *running) askWithKey(method, path, key string) string {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.adminAt+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Outrider-Key", key)
	_, body := do(r.t, &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}, req)
	return body
}

// tailing follows the calls, and gives what was printed of them when it is ended.
func (r *running) tailing(config string, args ...string) (end func() string) {
	ctx, cancel := context.WithCancel(r.t.Context())
	out := &logBuffer{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Main(ctx, Process{Args: append([]string{"tail", "--config", config, "--admin", r.adminAt, "-n", "1000"}, args...), Stdout: out, Stderr: out})
	}()
	return func() string {
		eventually(r.t, "the last call", func() (bool, string) {
			text := out.String()
			return strings.Contains(text, "/nope/"), text
		})
		cancel()
		<-ended
		return out.String()
	}
}

// topOf is what outrider top shows of a state and of calls.
func topOf(t *testing.T, status, calls string) string {
	t.Helper()
	s := screen{width: 1000, height: 2000}
	if err := errors.Join(json.Unmarshal([]byte(status), &s.status), json.Unmarshal([]byte(calls), &s.calls)); err != nil {
		t.Fatal(err)
	}
	return strings.Join(s.lines(), "\n")
}

// text is all spans in words.
func (c *receiver) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.all)
}

// log is all exported lines.
func (c *receiver) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.lines)
}

// checkOutput is everything that `outrider check` prints of a document.
func checkOutput(t *testing.T, document string, json bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args := []string{"check", "--config", path}
	if json {
		args = append(args, "--json")
	}
	Main(t.Context(), Process{Args: args, Stdout: &out, Stderr: &out})
	return out.String()
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
