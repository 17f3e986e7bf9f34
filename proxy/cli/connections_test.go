package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/handover"
)

// hand sends a document to the API of connections.
func (r *running) hand(method, path, document string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.adminAt+"/api/connections"+path, strings.NewReader(document))
	if err != nil {
		r.t.Fatal(err)
	}
	if document != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// as is a call that names a connection.
func (r *running) as(connection, path string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", r.url(path), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header["Outrider-Connection"] = []string{connection}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(body)
}

// tokenEcho is an upstream that answers with the credential that it got, and a token
// endpoint that gives each refresh token a successor.
func tokenEcho(t *testing.T) (base string, refreshed func() map[string]int) {
	var mu sync.Mutex
	spent := map[string]int{} // refresh token → times
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			fmt.Fprint(w, r.Header.Get("Authorization"))
			return
		}
		token := r.FormValue("refresh_token")
		mu.Lock()
		spent[token]++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"access-of-%s","refresh_token":"next-%s","expires_in":3600}`, token, token)
	})
	return server.URL, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return spent
	}
}

// customers is an upstream whose calls have to name a connection.
func customers(base string) string {
	return fmt.Sprintf(`
[upstream.crm]
url = %[1]q
connections = "required"
[upstream.crm.auth]
type = "oauth2"
grant = "refresh_token"
token_url = "%[1]s/token"
client_id = "id"
client_secret = "env:CRM_SECRET"
[upstream.crm.connection.listed]
refresh_token = "env:CRM_LISTED"
[upstream.keys]
url = %[1]q
hosts = []
auth = { type = "bearer", token = "env:KEYS_OWN" }
[upstream.open]
url = %[1]q
hosts = []
`, base)
}

func customersEnvironment(t *testing.T) {
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_LISTED", "listed-0")
	t.Setenv("KEYS_OWN", "own-key")
}

func TestConnectionsAreHandedOverByTheAPI(t *testing.T) {
	customersEnvironment(t)
	base, refreshed := tokenEcho(t)
	r := launch(t, customers(base))
	for i, c := range []struct {
		method, path, document string
		status                 int
		part                   string
	}{
		{"GET", "/crm/acme", "", 404, "unknown-connection"},
		{"DELETE", "/crm/acme", "", 404, "unknown-connection"},
		{"PUT", "/crm/acme", `{"access_token":"access-1","refresh_token":"refresh-1","expires_in":3600}`, 201, `{"name":"acme","result":"created"}`},
		{"GET", "/crm/acme", "", 200, `{"upstream":"crm","from":"store","name":"acme","state":"none","usable":false,"obtained":`},
		{"PUT", "/crm/acme", `{"refresh_token":"refresh-2"}`, 200, `{"name":"acme","result":"replaced"}`},
		{"PUT", "/crm/acme", `{"access_token":1}`, 422, "access_token: must be text in quotes"},
		{"PUT", "/crm/acme", `{"token":"x"}`, 422, "token: is not known for type oauth2"},
		{"PUT", "/crm/a%20b", `{"access_token":"x"}`, 422, "name: the name of a connection has"},
		{"PUT", "/crm/listed", `{"access_token":"x"}`, 409, "crm.connection.listed is in the configuration"},
		{"DELETE", "/crm/listed", "", 409, "is in the configuration"},
		{"PUT", "/open/acme", `{"access_token":"x"}`, 409, "has no connections: its auth is passthrough"},
		{"POST", "/open", `[{"name":"acme","access_token":"x"}]`, 409, "has no connections: its auth is passthrough"},
		{"PUT", "/nope/acme", `{"access_token":"x"}`, 404, "unknown-upstream"},
		{"PUT", "/keys/acme", `{"token":"key-1"}`, 201, "created"},
		{"PATCH", "/crm/acme", `{}`, 405, "This address takes GET, PUT, DELETE."},
		{"DELETE", "/crm", "", 405, "This address takes GET, POST."},
		{"PUT", "/crm/acme", `{"access_token":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "65536 bytes"},
		{"GET", "/crm?limit=0", "", 400, "limit: must be a number from 1 to 1000"},
		{"GET", "/crm", "", 200, `"name":"listed","state":"none"`},
		{"GET", "/keys", "", 200, `"name":"acme"`},
	} {
		status, body := r.hand(c.method, c.path, c.document)
		if status != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%d: %s %s: %d %s", i, c.method, c.path, status, body)
		}
	}
	for _, c := range []struct {
		connection, path string
		status           int
		part             string
	}{
		{"acme", "/crm/x", 200, "Bearer access-of-refresh-2"},
		{"listed", "/crm/x", 200, "Bearer access-of-listed-0"},
		{"acme", "/keys/x", 200, "Bearer key-1"},
		{"globex", "/crm/x", 404, "unknown-connection"},
		{"", "/keys/x", 404, "unknown-connection"},
		{"acme", "/open/x", 404, "unknown-connection"},
	} {
		if resp, body := r.as(c.connection, c.path); resp.StatusCode != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%s as %q: %d %s", c.path, c.connection, resp.StatusCode, body)
		}
	}
	if resp, body := get(t, http.DefaultClient, r.url("/crm/x")); resp.StatusCode != 502 || !strings.Contains(body, "name one, with the header Outrider-Connection") {
		t.Errorf("without a connection: %d %s", resp.StatusCode, body)
	}
	if resp, body := get(t, http.DefaultClient, r.url("/keys/x")); resp.StatusCode != 200 || body != "Bearer own-key" {
		t.Errorf("without a connection: %d %s", resp.StatusCode, body)
	}
	if spent := refreshed(); len(spent) != 2 || spent["refresh-2"] != 1 || spent["listed-0"] != 1 {
		t.Errorf("refreshed %v", spent)
	}
	if status, body := r.hand("DELETE", "/crm/acme", ""); status != 204 || body != "" {
		t.Errorf("removing: %d %s", status, body)
	}
	if resp, _ := r.as("acme", "/crm/x"); resp.StatusCode != 404 {
		t.Errorf("removed, and %d", resp.StatusCode)
	}
}

// The API has the guards of the admin port, and takes no form that a page could send.
func TestConnectionsAPIIsGuarded(t *testing.T) {
	customersEnvironment(t)
	t.Setenv("OUR_KEY", "access-key-1")
	base, _ := tokenEcho(t)
	open, locked := launch(t, customers(base)), launchWith(t, `access_key = "env:OUR_KEY"`, customers(base))
	const document = `{"token":"key-1"}`
	for name, c := range map[string]struct {
		r      *running
		header []string
		status int
	}{
		"another site":     {open, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a form":           {open, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"plain text":       {open, []string{"Content-Type", "text/plain"}, 415},
		"without the key":  {locked, nil, 401},
		"with another key": {locked, []string{"Outrider-Key", "access-key-2"}, 401},
		"with the key":     {locked, []string{"Outrider-Key", "access-key-1"}, 201},
		"in its charset":   {open, []string{"Content-Type", "application/json; charset=utf-8"}, 201},
	} {
		if status, body := c.r.hand("PUT", "/keys/acme", document, c.header...); status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _ := locked.hand("GET", "", ""); status != 401 {
		t.Errorf("the list without the key: %d", status)
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	customersEnvironment(t)
	base, _ := tokenEcho(t)
	r := launch(t, customers(base))
	const lines = "application/x-ndjson"
	for _, c := range []struct {
		kind, documents string
		status          int
		part            string
	}{
		{lines, "{\"name\":\"a\",\"token\":\"1\"}\n\n{\"name\":\"b\",\"token\":2}\n{\"name\":\"a\",\"token\":\"3\"}\n", 422, "Nothing was stored. 2: token: must be text in quotes; 3: name: is that of 1 already"},
		{"application/json", `{"name":"a","token":"1"}`, 422, "it must be a list of JSON"},
		{"application/json", `[{"name":"a","token":"1"},{"token":"2"}]`, 422, "2: name: is missing"},
		{lines, "{\"name\":\"a\",\"token\":\"1\"}\n{\"name\":\"b\",\"token\":\"2\"}", 200, "{\"name\":\"a\",\"result\":\"created\"}\n{\"name\":\"b\",\"result\":\"created\"}\n"},
		{"application/json", `[{"name":"a","token":"3"}]`, 200, "{\"name\":\"a\",\"result\":\"replaced\"}\n"},
	} {
		if status, body := r.hand("POST", "/keys", c.documents, "Content-Type", c.kind); status != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%s: %d %s", c.documents, status, body)
		}
	}
	for name, want := range map[string]string{"a": "Bearer 3", "b": "Bearer 2"} {
		if resp, body := r.as(name, "/keys/x"); resp.StatusCode != 200 || body != want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	_, body := r.hand("GET", "?limit=2", "")
	var page handover.Page
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Connections) != 2 || page.Next != "keys/a" {
		t.Errorf("the first page: %s", body)
	}
	if _, body = r.hand("GET", "?limit=2&after="+page.Next, ""); !strings.Contains(body, `"name":"b"`) || strings.Contains(body, "next") {
		t.Errorf("the last page: %s", body)
	}
}

// Two that share a store: what one is given, or loses, the other follows.
func TestConnectionsAreShared(t *testing.T) {
	customersEnvironment(t)
	base, refreshed := tokenEcho(t)
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(t.TempDir(), "state")) + customers(base)
	first, second := launchData(t, "", document), launchData(t, "", document)
	first.hand("PUT", "/crm/acme", `{"refresh_token":"refresh-1"}`)
	var calls sync.WaitGroup
	for range 20 {
		for _, r := range []*running{first, second} {
			calls.Go(func() {
				if resp, body := r.as("acme", "/crm/x"); resp.StatusCode != 200 || body != "Bearer access-of-refresh-1" {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			})
		}
	}
	calls.Wait()
	if spent := refreshed(); spent["refresh-1"] != 1 || len(spent) != 1 {
		t.Errorf("refreshed %v", spent)
	}
}

// The commands do the same with a running Outrider, and on the store where none runs.
func TestConnectionsCommands(t *testing.T) {
	customersEnvironment(t)
	base, _ := tokenEcho(t)
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(dir, "state")) + customers(base)
	path := layFile(t, filepath.Join(dir, "config.toml"), document)
	admin := []string{}
	outrider := func(input string, args ...string) (int, string) {
		var out bytes.Buffer
		code := Main(t.Context(), Process{Args: append(append([]string{"connections"}, args...), append(admin, "--config", path)...),
			Stdin: strings.NewReader(input), Stdout: &out, Stderr: &out})
		return code, out.String()
	}
	check := func(input string, args string, code int, part string) {
		t.Helper()
		if got, out := outrider(input, strings.Fields(args)...); got != code || !strings.Contains(out, part) || strings.Contains(out, "canary") {
			t.Errorf("%s: %d %s", args, got, out)
		}
	}
	t.Setenv("OUTRIDER_ADMIN", closedPort(t)) // none runs
	check("", "list keys", 0, "no connections; outrider connections add UPSTREAM NAME")
	check(`{"token":"canary-1"}`, "add keys acme", 0, "connection acme of keys: created")
	check(`[{"name":"acme","token":"canary-2"},{"name":"globex","token":"canary-3"}]`, "add keys", 0, "connections of keys: 1 created, 1 replaced")
	check(`{"tokn":"canary-2"}`, "add keys acme", 1, "store answered 422 Unprocessable Entity")
	check("", "add keys", 1, "there is nothing in it")
	check("", "list", 0, "keys  globex  store          not used yet, handed over ")
	check("", "", 2, "what? outrider connections list, add or remove")
	check("", "list keys/acme", 2, `"keys/acme" is not the name of an upstream`) // never ended: one connection has a "next", too
	check("", "remove keys a/b", 2, `"a/b": the name of a connection has`)

	r := launchUnstopped(t, path, document)
	admin = []string{"--admin", r.adminAt}
	if resp, body := r.as("acme", "/keys/x"); body != "Bearer canary-2" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	check("", "list keys", 0, "keys  acme    store  live")
	check("{\"name\":\"a\",\"token\":\"canary\"}\n{\"name\":\"b\",\"token\":\"canary\"}\n", "add keys", 0, "connections of keys: 2 created, 0 replaced")
	check("", "remove keys acme", 0, "connection acme of keys: removed")
	check("", "remove keys acme", 1, "there is no connection")
	if resp, _ := r.as("acme", "/keys/x"); resp.StatusCode != 404 {
		t.Errorf("removed, and %d", resp.StatusCode)
	}
	r.halt()
	check("", "list keys", 1, "no Outrider answers at")
}

// What was handed over is seen by its provider, and by nobody else.
func TestHandedOverSecretsAreNotTold(t *testing.T) {
	t.Setenv("CRM_SECRET", "canary-client-1")
	t.Setenv("CRM_LISTED", "canary-listed-1")
	t.Setenv("KEYS_OWN", "canary-own-1")
	collector := receive(t)
	base, _ := tokenEcho(t)
	state := filepath.Join(t.TempDir(), "state")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n[telemetry]\nendpoint = %q\nlog_level = \"debug\"\n", state, collector.url) + customers(base)
	r := launchUnstopped(t, "", document)
	var told strings.Builder
	tell := func(_ int, body string) { told.WriteString(body) }
	tell(r.hand("PUT", "/crm/acme", `{"access_token":"canary-access-1","refresh_token":"canary-refresh-1","expires_in":3600}`))
	tell(r.hand("PUT", "/crm/bad", `{"access_token":"canary-bad-1","expires_in":"canary-in-1"}`))
	tell(r.hand("PUT", "/keys/acme", `{"token":"canary-key-1"}`))
	tell(r.hand("POST", "/keys", `[{"name":"b","token":"canary-key-2"},{"name":"canary name","Canary-4":"canary-key-3"}]`))
	for _, call := range []struct{ connection, path string }{{"acme", "/crm/x"}, {"acme", "/keys/x"}, {"b", "/keys/x"}} {
		r.as(call.connection, call.path)
	}
	r.as("acme", "/crm/x")
	r.rest()
	for _, path := range []string{"/", "/api/status", "/api/calls", "/metrics", "/api/connections", "/api/connections/crm/acme", "/api/explain?url=/crm/x&connection=acme"} {
		tell(r.ask("GET", path))
	}
	tell(r.hand("DELETE", "/keys/acme", ""))
	r.halt()
	told.WriteString(r.log.String())
	collector.mu.Lock()
	fmt.Fprintf(&told, "%+v", collector.all)
	collector.mu.Unlock()
	for _, name := range []string{"store.db", "store.db-wal"} {
		data, err := os.ReadFile(filepath.Join(state, name))
		if err != nil && name == "store.db" {
			t.Fatal(err)
		}
		told.Write(data)
	}
	if i := strings.Index(told.String(), "canary"); i >= 0 {
		t.Errorf("told: …%q…", told.String()[max(0, i-200):min(told.Len(), i+100)])
	}
	if !strings.Contains(told.String(), "a connection was created") || !strings.Contains(told.String(), `"connection":"acme"`) || !strings.Contains(told.String(), "outrider.connection") {
		t.Errorf("log and spans do not name the connection:\n%s", r.log)
	}
}
