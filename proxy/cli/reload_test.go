package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"outrider/policy"
)

// writeFile writes a configuration in one step: rename, as editors do.
func writeFile(t *testing.T, path, document string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// statusNow is /api/status.
func (r *running) statusNow() statusView {
	r.t.Helper()
	_, body := r.ask("GET", "/api/status")
	var view statusView
	if err := json.Unmarshal([]byte(body), &view); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return view
}

// upstreamNow is the state of one upstream.
func (r *running) upstreamNow(name string) policy.UpstreamStatus {
	r.t.Helper()
	for _, u := range r.statusNow().Upstreams {
		if u.Name == name {
			return u
		}
	}
	r.t.Fatalf("no upstream %s", name)
	return policy.UpstreamStatus{}
}

// answersAs waits until the calls of the upstream api are answered by a server.
func (r *running) answersAs(name string) {
	r.t.Helper()
	eventually(r.t, "an answer of "+name, func() (bool, string) {
		_, body := get(r.t, http.DefaultClient, r.url("/api/"))
		return body == name, body
	})
}

// named is an upstream that answers with its name, and its document.
func named(t *testing.T, name string) (document string) {
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, name) })
	return anyPorts + api(server.Listener.Addr().String())
}

func TestChangedFileIsPickedUp(t *testing.T) {
	t.Parallel()
	one, two := named(t, "one"), named(t, "two")
	for _, c := range []struct {
		name string
		// lay puts the first file down and returns its path; change replaces it.
		lay    func(t *testing.T, dir string) string
		change func(t *testing.T, dir, path string)
	}{
		{"renamed over",
			func(t *testing.T, dir string) string { return layFile(t, filepath.Join(dir, "config.toml"), one) },
			func(t *testing.T, _, path string) { writeFile(t, path, two) }},
		{"written in place",
			func(t *testing.T, dir string) string { return layFile(t, filepath.Join(dir, "config.toml"), one) },
			func(t *testing.T, _, path string) { layFile(t, path, two) }},
		{"written in small steps",
			func(t *testing.T, dir string) string { return layFile(t, filepath.Join(dir, "config.toml"), one) },
			func(t *testing.T, _, path string) {
				file, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = file.Close() }()
				for _, c := range []byte(two) {
					if _, err := file.Write([]byte{c}); err != nil {
						t.Fatal(err)
					}
				}
			}},
		{"removed and made anew",
			func(t *testing.T, dir string) string { return layFile(t, filepath.Join(dir, "config.toml"), one) },
			func(t *testing.T, _, path string) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				layFile(t, path, two)
			}},
		// A ConfigMap is a directory of links through ..data, which alone is
		// replaced: the file that is named never changes itself.
		{"a link swapped, as Kubernetes does", layMap(one), func(t *testing.T, dir, _ string) {
			layFile(t, filepath.Join(dir, "..2", "config.toml"), two)
			relink(t, "..2", filepath.Join(dir, "..data"))
			if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := c.lay(t, dir)
			r := launchFile(t, path)
			r.answersAs("one")
			c.change(t, dir, path)
			r.answersAs("two")
			if view := r.statusNow(); view.Reload == nil || view.Reload.Error != "" {
				t.Errorf("the reload is told as %+v", view.Reload)
			}
		})
	}
}

func layFile(t *testing.T, path, document string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func layMap(document string) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		layFile(t, filepath.Join(dir, "..1", "config.toml"), document)
		relink(t, "..1", filepath.Join(dir, "..data"))
		relink(t, filepath.Join("..data", "config.toml"), filepath.Join(dir, "config.toml"))
		return filepath.Join(dir, "config.toml")
	}
}

// relink points a link somewhere else, in one step.
func relink(t *testing.T, to, link string) {
	t.Helper()
	next := link + ".next"
	if err := os.Symlink(to, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, link); err != nil {
		t.Fatal(err)
	}
}

func TestReloadOnDemand(t *testing.T) {
	one, two := named(t, "one"), named(t, "two")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	r := launchData(t, path, one) // nobody watches the file
	for _, c := range []struct {
		document, answer string
	}{{one, "one"}, {two, "two"}, {two, "two"}, {one, "one"}} {
		writeFile(t, path, c.document)
		if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
			t.Fatalf("POST /reload: %d %s", status, body)
		}
		// The answer means that it has been done: no waiting here.
		if _, body := get(t, http.DefaultClient, r.url("/api/")); body != c.answer {
			t.Errorf("answered by %q, want %q", body, c.answer)
		}
	}
	if status, body := r.ask("GET", "/reload"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /reload: %d %s", status, body)
	}
}

// A file that is not good changes nothing, and everybody can read why.
func TestBadFileKeepsTheLastGoodOne(t *testing.T) {
	t.Parallel()
	one := named(t, "one")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	for _, c := range []struct{ name, document, key string }{
		{"an unknown key", one + "timeuot = \"5s\"\n", "upstream.api.timeuot"},
		{"a wrong value", one + "timeout = \"-5s\"\n", "upstream.api.timeout"},
		{"a duration without a unit", one + "timeout = 5\n", "upstream.api.timeout"},
		{"a secret that is not there", one + "auth = { type = \"bearer\", token = \"env:OUTRIDER_TEST_NOT_SET\" }\n", "upstream.api.auth.token"},
		{"a certificate that is not there", one + "ca_file = \"/nowhere/ca.pem\"\n", "upstream.api.ca_file"},
		{"no TOML", one + "[[[\n", "config.toml:"},
		{"an upstream without an address", anyPorts + "[upstream.api]\n", "upstream.api.url"},
		{"nothing at all", "", "listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeFile(t, path, one)
			r := launchFile(t, path)
			writeFile(t, path, c.document)
			eventually(t, "the error", func() (bool, string) {
				reload := r.statusNow().Reload
				if reload == nil {
					return false, "no reload"
				}
				return strings.Contains(reload.Error, c.key), reload.Error
			})
			lines := r.logged("the configuration was not reloaded; the last good one stays")
			if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["error"]), c.key) {
				t.Errorf("the log does not say once that %s is wrong: %v", c.key, lines)
			}
			if status, body := r.ask("POST", "/reload"); status < 400 || !strings.Contains(body, c.key) {
				t.Errorf("POST /reload: %d %s", status, body)
			}
			r.answersAs("one")

			// What was wrong is forgotten with the next good file, also when it
			// is the one that is live.
			writeFile(t, path, one)
			eventually(t, "the good file", func() (bool, string) {
				reload := r.statusNow().Reload
				return reload != nil && reload.Error == "", fmt.Sprintf("%+v", reload)
			})
		})
	}
}

// A reload that somebody asked for while there was no file failed; the file that is live was
// put back, and nothing took the error away.
func TestFileThatIsBackEndsTheError(t *testing.T) {
	t.Parallel()
	one := named(t, "one")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	r := launchFile(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if status, body := r.ask("POST", "/reload"); status < 400 {
		t.Errorf("POST /reload: %d %s", status, body)
	}
	writeFile(t, path, one)
	eventually(t, "the file", func() (bool, string) {
		reload := r.statusNow().Reload
		return reload != nil && reload.Error == "", fmt.Sprintf("%+v", reload)
	})
}

// check must find what run would stumble over, files and all.
func TestCheckRefusesWhatRunRefuses(t *testing.T) {
	for _, c := range []struct{ line, key string }{
		{"ca_file = \"/nowhere/ca.pem\"", "upstream.api.ca_file: open /nowhere/ca.pem"},
		{"client_cert = \"/nowhere/cert.pem\"\nclient_key = \"/nowhere/key.pem\"", "upstream.api.client_cert: reading /nowhere/cert.pem with the key in /nowhere/key.pem: open"},
		{"auth = { type = \"bearer\", token = \"file:/nowhere/token\" }", "upstream.api.auth.token: "},
	} {
		if out := checkOutput(t, api("127.0.0.1:1")+c.line, false); !strings.Contains(out, c.key) || strings.Contains(out, "is valid") {
			t.Errorf("%s: check says %s", c.line, out)
		}
	}
}

func TestWhatOnlyARestartCanChangeIsRefusedByName(t *testing.T) {
	one := named(t, "one")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	r := launchFile(t, path)
	for _, c := range []struct{ document, key string }{
		{strings.Replace(one, "listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"", 1), "listen: "},
		{strings.Replace(one, "admin = \"127.0.0.1:0\"", "admin = \"127.0.0.1:1\"", 1), "admin: "},
		{"state_dir = \"/tmp\"\n" + one, "state_dir: "},
		{"access_key = \"canary\"\n" + one, "access_key: "},
		{one + "listen = \"127.0.0.1:0\"\n", "upstream.api.listen: "},
		{one + "[telemetry]\nsample = 0.5\n", "telemetry: "},
	} {
		writeFile(t, path, c.document)
		status, body := r.ask("POST", "/reload")
		if status != http.StatusConflict || !strings.Contains(body, c.key) || strings.Contains(body, "canary") {
			t.Errorf("%s got %d %s", c.key, status, body)
		}
	}
	r.answersAs("one")
}

// A reload neither refills a quota nor closes an open circuit.
func TestReloadKeepsQuotaAndCircuit(t *testing.T) {
	server := upstream(t, echoTarget)
	document := anyPorts + api(server.Listener.Addr().String()) + `
limit = { rate = "4/h", burst = 4, max_wait = "1s" }
[upstream.down]
url = "http://` + closedPort(t) + `"
retry = { attempts = 1 }
circuit = { consecutive = 2, open = "1h", open_max = "1h" }
`
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), document)
	r := launchFile(t, path)
	for range 2 {
		get(t, http.DefaultClient, r.url("/api/"))
		get(t, http.DefaultClient, r.url("/down/"))
	}
	for i, next := range []string{
		document + "timeout = \"7s\"\n",
		strings.Replace(document, "max_wait = \"1s\"", "max_wait = \"2s\"", 1),
		strings.Replace(document, "consecutive = 2", "consecutive = 3", 1),
		document + "[upstream.more]\nurl = \"http://127.0.0.1:1\"\n",
	} {
		writeFile(t, path, next)
		if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
			t.Fatalf("reload %d: %d %s", i, status, body)
		}
		if tokens := r.upstreamNow("api").Quotas[0].Tokens; tokens < 2 || tokens >= 3 {
			t.Errorf("after reload %d the quota has %v turns, want the 2 that were left", i, tokens)
		}
		if circuits := r.upstreamNow("down").Circuits; len(circuits) != 1 || circuits[0].State != "open" {
			t.Errorf("after reload %d the circuits are %v, want one, open", i, circuits)
		}
		if resp, body := get(t, http.DefaultClient, r.url("/down/")); resp.StatusCode != 503 || slug(body) != "circuit-open" {
			t.Errorf("after reload %d: %d %s", i, resp.StatusCode, body)
		}
	}
	for i, want := range []int{200, 200, 429} {
		if resp, body := get(t, http.DefaultClient, r.url("/api/")); resp.StatusCode != want {
			t.Errorf("call %d after the reloads: %d %s, want %d", i+1, resp.StatusCode, body, want)
		}
	}
}

// Calls under way end as they began, whatever the file says meanwhile.
func TestCallsUnderWayOutliveAReload(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = fmt.Fprint(w, "one")
	})
	one := anyPorts + api(server.Listener.Addr().String())
	two := named(t, "two")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	r := launchFile(t, path)
	const calls = 8
	answers := make(chan string, calls)
	for range calls {
		go func() {
			resp, err := http.Get(r.url("/api/slow"))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer func() { _ = resp.Body.Close() }()
			answers <- resp.Status
		}()
	}
	for range calls {
		<-arrived
	}
	for _, document := range []string{two, anyPorts, two} { // changed, removed, back again
		writeFile(t, path, document)
		if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	if _, body := get(t, http.DefaultClient, r.url("/api/slow")); body != "two" {
		t.Errorf("a new call is answered by %q, want two", body)
	}
	close(release)
	for range calls {
		if answer := <-answers; answer != "200 OK" {
			t.Errorf("a call under way ended with %s", answer)
		}
	}
}

// Many reloads under load lose no call.
func TestReloadsUnderLoadLoseNoCall(t *testing.T) {
	one, two := named(t, "one"), named(t, "two")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), one)
	r := launchData(t, path, one)
	stop, failures := make(chan struct{}), make(chan string, 100)
	done := make(chan int)
	for range 4 {
		go func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					done <- n
					return
				default:
				}
				resp, err := client.Get(r.url("/api/"))
				if err != nil {
					failures <- err.Error()
					continue
				}
				if resp.StatusCode != 200 {
					failures <- strconv.Itoa(resp.StatusCode)
				}
				_ = resp.Body.Close()
			}
		}()
	}
	for i := range 60 {
		writeFile(t, path, []string{two, one}[i%2])
		if status, body := r.ask("POST", "/reload"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
	}
	close(stop)
	calls := 0
	for range 4 {
		calls += <-done
	}
	close(failures)
	for failure := range failures {
		t.Errorf("a call ended with %s", failure)
	}
	if calls == 0 {
		t.Error("no call was made")
	}
}
