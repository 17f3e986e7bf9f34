package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/simulator"
	"outrider/proxy/store/postgrestest"
)

// identity is a provider with an OAuth server that rotates: a spent refresh token
// kills its family, and a refresh the access token before.
func identity(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	return provide(t, simulator.Settings{Seed: 1})
}

// provide runs a simulator until the test ends.
func provide(t testing.TB, settings simulator.Settings) (*simulator.Simulator, string) {
	t.Helper()
	sim, err := simulator.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(listener) }()
	t.Cleanup(func() {
		_ = sim.Close()
		<-served
	})
	return sim, "http://" + listener.Addr().String()
}

// rotating is an upstream with a refresh token.
func rotating(base, query string) string {
	return fmt.Sprintf(`
[upstream.crm]
url = "%[1]s"
[upstream.crm.auth]
type = "oauth2"
grant = "refresh_token"
token_url = "%[1]s/oauth/token?%[2]s"
client_id = "demo"
client_secret = "env:CRM_SECRET"
refresh_token = "env:CRM_REFRESH"
`, base, query)
}

func revoke(t *testing.T, sim *simulator.Simulator) {
	t.Helper()
	if err := sim.Control(simulator.Control{Revoke: true}); err != nil {
		t.Fatal(err)
	}
}

// The life of a connection: the first refresh token is spent once, its successors
// are kept; a token that was revoked is replaced and the call replayed; a restart
// goes on with what is kept, although the first refresh token, which the
// configuration still names, would now kill the connection.
func TestConnectionIsNeverLost(t *testing.T) {
	sim, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", sim.Grant("demo", "").RefreshToken)
	state := filepath.Join(t.TempDir(), "state")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", state) + rotating(base, "old=dies&rotate=on")

	call := func(r *running, attempts string) {
		t.Helper()
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		if resp.StatusCode != 200 || resp.Header.Get("Outrider-Attempts") != attempts {
			t.Fatalf("got %d after %q attempts: %s\n%s", resp.StatusCode, resp.Header.Get("Outrider-Attempts"), body, r.log)
		}
	}
	tokens := func(refreshed int64) {
		t.Helper()
		if got := sim.Stats().Tokens; got.Refreshed != refreshed || got.Reused != 0 || got.Killed != 0 {
			t.Fatalf("%d refreshes, %d of a spent token, want %d and 0", got.Refreshed, got.Reused, refreshed)
		}
	}
	r := launchUnstopped(t, "", document)
	call(r, "")
	call(r, "")
	tokens(1)
	revoke(t, sim)
	call(r, "2")
	tokens(2)
	r.halt()

	r = launchUnstopped(t, "", document)
	call(r, "")
	tokens(2)
	revoke(t, sim)
	call(r, "2")
	tokens(3)
	r.halt()
	for _, name := range []string{"store.db"} {
		info, err := os.Stat(filepath.Join(state, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// An upload of 3 MB whose token was revoked: it is sent once more, byte for byte, where
// replay_body keeps it; where it does not the client has the refusal, whole, and the next
// call a new token.
func TestLargeUploadWithARevokedToken(t *testing.T) {
	t.Setenv("CRM_SECRET", "demo-secret")
	const refusal = `{"error":"the token is revoked"}`
	large := strings.Repeat("0123456789abcdef", 3<<16)
	for setting, want := range map[string]string{`replay_body = "4MiB"`: "200 access-2", ``: "401 " + refusal} {
		var mu sync.Mutex
		tokens := 0
		var uploads []string
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			token, called := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			switch {
			case err != nil:
				t.Error(err)
			case !called:
				tokens++
				fmt.Fprintf(w, `{"access_token":"access-%d","expires_in":3600}`, tokens)
			default:
				uploads = append(uploads, string(body))
				if token == "access-1" {
					w.WriteHeader(http.StatusUnauthorized)
					token = refusal
				}
				fmt.Fprint(w, token)
			}
		}))
		r := launch(t, fmt.Sprintf(`
[upstream.crm]
url = "%[1]s"
%[2]s
auth = { type = "oauth2", grant = "client_credentials", token_url = "%[1]s/token", client_id = "demo", client_secret = "env:CRM_SECRET" }
`, provider.URL, setting))
		for _, want := range []string{want, "200 access-2"} {
			resp, err := http.Post(r.url("/crm/upload"), "text/plain", strings.NewReader(large))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want || err != nil {
				t.Errorf("%s: got %s, %v, want %s", setting, got, err, want)
			}
		}
		mu.Lock()
		if wanted := map[string]int{`replay_body = "4MiB"`: 3, ``: 2}[setting]; tokens != 2 || len(uploads) != wanted {
			t.Errorf("%s: %d token requests, %d uploads, want 2 and %d", setting, tokens, len(uploads), wanted)
		}
		for i, upload := range uploads {
			if upload != large {
				t.Errorf("%s: upload %d has %d bytes, or others", setting, i+1, len(upload))
			}
		}
		mu.Unlock()
		provider.Close()
	}
}

// Rules and upstreams may be added, moved and renamed while it runs: the tokens are
// found again, and a refresh token that was spent is not sent a second time. The
// variable with the first one may be gone.
func TestConnectionSurvivesItsConfiguration(t *testing.T) {
	sim, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", sim.Grant("demo", "").RefreshToken)
	state := filepath.Join(t.TempDir(), "state")
	credential := func(more string) string {
		return fmt.Sprintf(`auth = { type = "oauth2", grant = "refresh_token", token_url = "%s/oauth/token?rotate=on", client_id = "demo", client_secret = "env:CRM_SECRET", refresh_token = "env:CRM_REFRESH"%s }`, base, more) + "\n"
	}
	head := anyPorts + fmt.Sprintf("state_dir = %q\n", state)
	upstream := func(name, rest string) string {
		return fmt.Sprintf("[upstream.%s]\nurl = %q\nhosts = []\n%s", name, base, rest)
	}
	rule := func(match, more string) string {
		return fmt.Sprintf("[[upstream.crm.rule]]\nmatch = %q\n%s", match, credential(more))
	}
	for i, document := range []string{
		upstream("crm", rule("/protected/*", "")),
		upstream("crm", rule("POST /protected/*", "")+rule("/protected/*", "")),
		upstream("crm", credential(`, refresh_before = "10%"`)),
		upstream("sales", credential("")) + upstream("crm", credential("")),
		upstream("sales", credential("")) + upstream("crm", credential(`, refresh_before = "10%"`)),
	} {
		r := launchUnstopped(t, "", head+document)
		if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
			t.Fatalf("%d: got %d %s", i, resp.StatusCode, body)
		}
		if i%3 == 0 {
			revoke(t, sim)
			if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
				t.Fatalf("%d: got %d %s", i, resp.StatusCode, body)
			}
		}
		if got := sim.Stats().Tokens; got.Reused != 0 || got.Killed != 0 {
			t.Fatalf("%d: %d refresh tokens were sent that were spent", i, got.Reused)
		}
		r.halt()
		os.Unsetenv("CRM_REFRESH")
	}
}

// A refresh that is under way when its settings are replaced, and then everything is
// stopped, is waited for: what it brings is the only copy.
func TestRefreshOutlivesReloadAndStop(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			close(asked) // a second request breaks the test
			<-answer
			_, _ = fmt.Fprint(w, `{"access_token":"access-0001","refresh_token":"refresh-0001","expires_in":3600}`)
		case r.Header.Get("Authorization") != "Bearer access-0001":
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", "refresh-0000")
	dir := t.TempDir()
	document := func(more string) string {
		return anyPorts + fmt.Sprintf("state_dir = %q\n[upstream.crm]\nurl = %q\nauth = { type = \"oauth2\", grant = \"refresh_token\", token_url = %q, client_id = \"demo\", client_secret = \"env:CRM_SECRET\", refresh_token = \"env:CRM_REFRESH\"%s }\n",
			filepath.Join(dir, "state"), server.URL, server.URL+"/token", more)
	}
	path := layFile(t, filepath.Join(dir, "config.toml"), document(""))
	r := launchUnstopped(t, path, document(""))
	leaves, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(leaves, "GET", r.url("/crm/"), nil)
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	leave()
	<-left
	writeFile(t, path, document(`, refresh_before = "10%"`))
	if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.halt() }()
	eventually(t, "draining", func() (bool, string) { return r.draining.Load(), "" })
	close(answer)
	<-stopped

	os.Unsetenv("CRM_REFRESH")
	r = launchUnstopped(t, path, document(""))
	if resp, body := get(t, http.DefaultClient, r.url("/crm/")); resp.StatusCode != 200 {
		t.Errorf("got %d %s\n%s", resp.StatusCode, body, r.log)
	}
	r.halt()
}

// However many call at once, on however many sidecars that share a store: one token
// request, and nobody fails. With PostgreSQL each is of a machine of its own.
func TestOneRefreshForAllProcesses(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	for engine, places := range map[string][2]string{
		"SQLite":     {fmt.Sprintf("state_dir = %q\n", state), fmt.Sprintf("state_dir = %q\n", state)},
		"PostgreSQL": {onPostgres(t, ""), onPostgres(t, "")},
	} {
		t.Run(engine, func(t *testing.T) {
			sim, base := identity(t)
			t.Setenv("CRM_SECRET", "demo-secret")
			t.Setenv("CRM_REFRESH", sim.Grant("demo", "").RefreshToken)
			t.Setenv("OUTRIDER_KEY", "correct horse battery staple")
			if engine == "PostgreSQL" {
				t.Setenv("DATABASE_URL", postgrestest.Start(t).Database(t))
			}
			upstream := rotating(base, "old=dies&rotate=on")
			first, second := launchData(t, "", anyPorts+places[0]+upstream), launchData(t, "", anyPorts+places[1]+upstream)
			for round := int64(1); round <= 3; round++ {
				callAll(t, first, second)
				if got := sim.Stats().Tokens; got.Refreshed != round || got.Reused != 0 {
					t.Fatalf("round %d: %d refreshes, %d of a spent token", round, got.Refreshed, got.Reused)
				}
				revoke(t, sim)
			}
		})
	}
}

// onPostgres is a configuration with a state directory of its own, and the store in
// the database that DATABASE_URL names. key is a reference to its key; "" for none.
func onPostgres(t *testing.T, key string) string {
	t.Helper()
	return fmt.Sprintf("state_dir = %q\nstore = { url = \"env:DATABASE_URL\", key = %q }\n", filepath.Join(t.TempDir(), "state"), key)
}

// callAll has 40 callers at each sidecar, all at once; no call may fail.
func callAll(t *testing.T, sidecars ...*running) {
	t.Helper()
	var calls sync.WaitGroup
	for range 40 {
		for _, r := range sidecars {
			calls.Go(func() {
				if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
					t.Errorf("got %d %s", resp.StatusCode, body)
				}
			})
		}
	}
	calls.Wait()
}

// A grant that is dead is said to be, with what to do; nothing is sent to the API,
// and the token endpoint is not asked again and again.
func TestDeadGrant(t *testing.T) {
	sim, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", "revoked-canary")
	r := launch(t, rotating(base, ""))
	for range 5 {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		if resp.StatusCode != http.StatusBadGateway || slug(body) != "credential-unavailable" || !strings.Contains(body, "invalid_grant") || strings.Contains(body, "canary") {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
	}
	stats := sim.Stats()
	if asked, called := stats.Paths["/oauth/token"], stats.Paths["/protected/x"]; asked != 1 || called != 0 {
		t.Errorf("%d token requests and %d calls", asked, called)
	}
	r.rest()
	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"status", "--admin", r.adminAt}, Stdout: &out, Stderr: &errs}); code != 0 {
		t.Errorf("status: %d %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "dead") || strings.Contains(out.String()+r.log.String(), "canary") {
		t.Errorf("status says\n%s", out.String())
	}
	out.Reset()
	if code := Main(t.Context(), Process{Args: []string{"explain", "--admin", r.adminAt, "GET", "/crm/protected/x"}, Stdout: &out, Stderr: &errs}); code != 0 ||
		!strings.Contains(out.String(), "→ refused with 502 credential-unavailable until ") || !strings.Contains(out.String(), "oauth2, dead, next in ") {
		t.Errorf("explain says\n%s%s", out.String(), errs.String())
	}
	if _, metrics := r.ask("GET", "/metrics"); !strings.Contains(metrics, `outrider_refreshes_total{result="dead",upstream="crm"} 1`) {
		t.Error("the metrics do not count it")
	}
}

// The grant of machines: no refresh token, one token request.
func TestClientCredentials(t *testing.T) {
	sim, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	for _, how := range []string{"auto", "basic", "body"} {
		t.Run(how, func(t *testing.T) {
			before := sim.Stats().Tokens.Issued
			query := ""
			if how == "body" {
				query = "?client_auth=body"
			}
			r := launch(t, fmt.Sprintf("[upstream.crm]\nurl = %q\n[upstream.crm.auth]\ntype = \"oauth2\"\ngrant = \"client_credentials\"\ntoken_url = %q\nclient_id = \"demo\"\nclient_secret = \"env:CRM_SECRET\"\nclient_auth = %q\n",
				base, base+"/oauth/token"+query, how))
			for range 3 {
				if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
					t.Fatalf("got %d %s", resp.StatusCode, body)
				}
			}
			if issued := sim.Stats().Tokens.Issued - before; issued != 1 {
				t.Errorf("%d tokens were issued", issued)
			}
		})
	}
}

// A secret in a file, and one that a command prints, may have changed when the
// provider refuses it: it is read again, and the call sent once more. What is the
// same as before is not tried again.
func TestRefusedSecretIsReadAgain(t *testing.T) {
	right := "first-secret"
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+right {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, "no")
		}
	})
	dir := t.TempDir()
	script, secret := filepath.Join(dir, "print"), filepath.Join(dir, "secret")
	writeFile(t, secret, right)
	writeFile(t, script, "#!/bin/sh\ncat "+secret+"\n")
	if err := os.Chmod(script, 0o700); err != nil { //nolint:gosec // G302: it has to be run
		t.Fatal(err)
	}
	r := launch(t, api(server.Listener.Addr().String())+"auth = { type = \"bearer\", token = \"exec:"+script+"\" }\n")
	call := func(status int, attempts string) {
		t.Helper()
		resp, _ := get(t, http.DefaultClient, r.url("/api/x"))
		if resp.StatusCode != status || resp.Header.Get("Outrider-Attempts") != attempts {
			t.Errorf("got %d after %q attempts, want %d after %q", resp.StatusCode, resp.Header.Get("Outrider-Attempts"), status, attempts)
		}
	}
	call(200, "")
	right = "second-secret"
	call(401, "") // the command was run within the last second
	r.secrets.mu.Lock()
	for _, s := range r.secrets.values {
		s.read = s.read.Add(-fileFresh)
	}
	r.secrets.mu.Unlock()
	writeFile(t, secret, right)
	call(200, "2")
	call(200, "")
}
