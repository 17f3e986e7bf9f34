package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"outrider/policy/config"
	"outrider/proxy/simulator"
	"outrider/proxy/store/postgrestest"
)

const (
	keyBefore = "canary-old-sealing-key"
	keyAfter  = "canary-new-sealing-key"
)

// invoke runs one command, and gives what it says. Nothing of it is a secret.
func invoke(t *testing.T, args ...string) (code int, out, problems string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(t.Context(), Process{Args: args, Stdout: &stdout, Stderr: &stderr})
	if said := stdout.String() + stderr.String(); strings.Contains(said, "canary") {
		t.Errorf("%q shows a secret:\n%s", args, said)
	}
	return code, stdout.String(), stderr.String()
}

// succeeds is invoke for one that does not fail.
func succeeds(t *testing.T, args ...string) (out string) {
	t.Helper()
	code, out, problems := invoke(t, args...)
	if code != exitFine {
		t.Fatalf("%q: exit code %d\n%s", args, code, problems)
	}
	return out
}

// connected is a provider with a connection whose refresh token rotates, and the path
// of a configuration for it, with settings on top.
func connected(t *testing.T, settings string) (provider *simulator.Simulator, path string) {
	t.Helper()
	provider, base := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	t.Setenv("CRM_REFRESH", provider.Grant("demo", "").RefreshToken)
	return provider, layFile(t, filepath.Join(t.TempDir(), "config.toml"), anyPorts+settings+rotating(base, "old=dies&rotate=on"))
}

// wantRefreshes asks for so many, and for no refresh token that was spent.
func wantRefreshes(t *testing.T, provider *simulator.Simulator, want int64) {
	t.Helper()
	if got := provider.Stats().Tokens; got.Refreshed != want || got.Reused != 0 || got.Killed != 0 {
		t.Errorf("%d refreshes, %d of a spent token; want %d and 0", got.Refreshed, got.Reused, want)
	}
}

// calls makes a call that has to succeed.
func (r *running) calls() {
	r.t.Helper()
	if resp, body := get(r.t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
		r.t.Fatalf("got %d %s\n%s", resp.StatusCode, body, r.log)
	}
}

// refuses makes a call that has no credential, for a reason with these parts.
func (r *running) refuses(parts ...string) {
	r.t.Helper()
	resp, body := get(r.t, http.DefaultClient, r.url("/crm/protected/x"))
	if slug(body) != "credential-unavailable" {
		r.t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			r.t.Errorf("%s says nothing of %q", body, part)
		}
	}
	r.rest()
	if strings.Contains(body+r.log.String(), "canary") {
		r.t.Errorf("a secret shows in %s\n%s", body, r.log)
	}
}

// A database server that goes away keeps nobody from the token that lives, and no
// refresh token is spent that could not be saved. It comes back by itself.
func TestCallsGoOnWhileTheStoreIsAway(t *testing.T) {
	server := postgrestest.Start(t)
	t.Setenv("DATABASE_URL", strings.Replace(server.Database(t), "outrider@", "outrider:canary-password@", 1))
	t.Setenv("STORE_KEY", keyBefore)
	provider, path := connected(t, onPostgres(t, "env:STORE_KEY"))
	r := launchFile(t, path)
	r.calls()
	if view := r.statusNow(); !strings.HasPrefix(view.Store, "postgres at /") || !strings.HasSuffix(view.Store, ", sealed with the key of the configuration") {
		t.Errorf("status says %q", view.Store)
	}
	server.Stop(t)
	r.calls()
	revoke(t, provider)
	if resp, _ := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token that was refused, and cannot be replaced: %d", resp.StatusCode)
	}
	r.refuses("postgres at /", "it cannot be reached")
	wantRefreshes(t, provider, 1)
	server.Continue(t)
	eventually(t, "a new token", func() (bool, string) {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode == 200, body
	})
	wantRefreshes(t, provider, 2)
}

// A machine that comes up before its database has upstreams that need no token.
func TestStartDoesNotWaitForTheStore(t *testing.T) {
	server := postgrestest.Start(t)
	t.Setenv("DATABASE_URL", server.Database(t))
	t.Setenv("STORE_KEY", keyBefore)
	plain := upstream(t, func(http.ResponseWriter, *http.Request) {})
	_, path := connected(t, onPostgres(t, "env:STORE_KEY"))
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	r := launchData(t, "", string(document)+api(plain.Listener.Addr().String()))
	if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Errorf("an upstream without a token: %d", resp.StatusCode)
	}
	r.refuses("the store is not open", "it cannot be reached")
	if view := r.statusNow(); !strings.Contains(view.Store, "not open") || !strings.Contains(view.Store, "it cannot be reached") {
		t.Errorf("status says %q", view.Store)
	}
	server.Continue(t)
	eventually(t, "a token", func() (bool, string) {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode == 200, body
	})
}

// What is wrong with the store, and will not become right by waiting, is told at once.
func TestWrongStoreKeepsTheSidecarFromStarting(t *testing.T) {
	server := postgrestest.Start(t)
	_, path := connected(t, onPostgres(t, ""))
	for url, part := range map[string]string{
		server.URL("outrider:canary-password", "nowhere"): "store.url: opening the store: postgres at",
		"host=db password=canary":                         "store.url: must be a URL",
		"":                                                "store.url: the environment variable DATABASE_URL is not set",
	} {
		t.Setenv("DATABASE_URL", url)
		if code, _, problems := invoke(t, "run", "--config", path); code != exitUsage || !strings.Contains(problems, part) {
			t.Errorf("exit code %d, %s; want %q", code, problems, part)
		}
	}
}

func TestStoreCannotBeMovedByAReload(t *testing.T) {
	server := upstream(t, func(http.ResponseWriter, *http.Request) {})
	path := filepath.Join(t.TempDir(), "config.toml")
	rest := api(server.Listener.Addr().String())
	writeFile(t, path, anyPorts+rest)
	r := launchFile(t, path)
	writeFile(t, path, anyPorts+"store = { url = \"postgres://u@db/d\", key = \"env:K\" }\n"+rest)
	if status, body := r.ask("POST", "/reload"); status == 200 || !strings.Contains(body, "store.url: cannot be changed by a reload") || !strings.Contains(body, "store.key: cannot") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestStoreCommandShowsWhatIsThere(t *testing.T) {
	for engine, settings := range map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string { return fmt.Sprintf("state_dir = %q\n", filepath.Join(t.TempDir(), "state")) },
		"postgres": func(t *testing.T) string {
			t.Setenv("DATABASE_URL", strings.Replace(postgrestest.Start(t).Database(t), "outrider@", "outrider:canary-password@", 1))
			return onPostgres(t, "")
		},
	} {
		t.Run(engine, func(t *testing.T) {
			_, path := connected(t, settings(t))
			if code, _, problems := invoke(t, "store", "--config", path); code != exitFailed || !strings.Contains(problems, "it is made when the first token or letter is kept, or a quota that takes long to come back") {
				t.Errorf("without a store: exit code %d, %s", code, problems)
			}
			checked := succeeds(t, "check", "--config", path)
			if !strings.Contains(checked, "\ntokens are kept in ") || !strings.Contains(checked, "warning: the key that seals what is kept is in ") {
				t.Errorf("check says\n%s", checked)
			}
			r := launchFile(t, path)
			r.calls()
			if told := r.logged(r.storage.warnings()[0]); len(told) != 1 || told[0]["level"] != "WARN" {
				t.Errorf("of the key file that was made the log says %v", told)
			}
			out := succeeds(t, "store", "--config", path)
			for _, part := range []string{"place   ", "engine  " + engine + ", ", "key     ", "store.key\n", "kept    1 credential, the last one saved at ", "warning: the key that seals what is kept is in "} {
				if !strings.Contains(out, part) {
					t.Errorf("%q is missing in\n%s", part, out)
				}
			}
			var view storeView
			if err := json.Unmarshal([]byte(succeeds(t, "store", "--config", path, "--json")), &view); err != nil || view.Engine != engine || view.Slots != 1 || view.Size == 0 || view.Saved == nil {
				t.Errorf("got %+v, %v", view, err)
			}
		})
	}
}

// An Outrider that runs goes on under a key file that was replaced, and after a
// restart nothing is lost.
func TestRekeyBesideAnOutriderThatRuns(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	provider, path := connected(t, fmt.Sprintf("state_dir = %q\n", state))
	r := launchFile(t, path)
	r.calls()
	if out := succeeds(t, "store", "rekey", "--config", path); !strings.Contains(out, "1 credential is sealed with the new key of "+filepath.Join(state, "store.key")) || !strings.Contains(out, "store.key.old") {
		t.Errorf("it says\n%s", out)
	}
	revoke(t, provider)
	r.calls()
	succeeds(t, "store", "rekey", "--config", path)
	again := launchFile(t, path)
	again.calls()
	wantRefreshes(t, provider, 2)
}

// One whose key is elsewhere keeps its token, spends no refresh token that it could
// not save, and says what is wrong; it goes on when the key is where it looks.
func TestRekeyedStoreWaitsForItsKey(t *testing.T) {
	if !apart(t) {
		return
	}
	dir := t.TempDir()
	file, next := filepath.Join(dir, "key"), filepath.Join(dir, "next")
	writeFile(t, file, keyBefore)
	writeFile(t, next, keyAfter)
	provider, path := connected(t, fmt.Sprintf("state_dir = %q\nstore.key = \"file:%s\"\n", filepath.Join(dir, "state"), file))
	r := launchFile(t, path)
	r.calls()
	out := succeeds(t, "store", "rekey", "--new-key", "file:"+next, "--config", path)
	if !strings.Contains(out, "[store] key = \"file:"+next+"\"") {
		t.Errorf("it says\n%s", out)
	}
	r.calls()
	revoke(t, provider)
	_, _ = get(t, http.DefaultClient, r.url("/crm/protected/x"))
	r.refuses("the key does not open this store")
	wantRefreshes(t, provider, 1)
	writeFile(t, file, keyAfter)
	eventually(t, "a new token", func() (bool, string) {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode == 200, body
	})
}

func TestRekeyRefusesWhatIsNoNewKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	writeFile(t, file, keyBefore)
	t.Setenv("SHORT", "canary")
	_, path := connected(t, fmt.Sprintf("state_dir = %q\nstore.key = \"file:%s\"\n", filepath.Join(dir, "state"), file))
	launchFile(t, path).calls()
	for _, c := range []struct {
		ref, part string
		code      int
	}{
		{keyAfter, "--new-key is where the key is, and not the key", exitUsage},
		{"", "the key comes from the configuration: say with --new-key", exitUsage},
		{"env:SHORT", "the new key has 6 bytes", exitFailed},
		{"env:MISSING", "MISSING is not set", exitFailed},
		{"file:" + file, "the one that it is sealed with already", exitFailed},
	} {
		if code, _, problems := invoke(t, "store", "rekey", "--new-key", c.ref, "--config", path); code != c.code || !strings.Contains(problems, c.part) {
			t.Errorf("exit code %d, %s; want %q", code, problems, c.part)
		}
	}
	succeeds(t, "store", "--config", path)
}

// A key that is to be in the keyring is made there, and found again.
func TestKeyringKeepsTheKeyWhereItIsNamed(t *testing.T) {
	keyring.MockInit()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere") // there is a session, as far as is looked
	state := filepath.Join(t.TempDir(), "state")
	provider, path := connected(t, fmt.Sprintf("state_dir = %q\n", state))
	launchFile(t, path).calls()
	succeeds(t, "store", "rekey", "--new-key", "keyring:outrider", "--config", path)
	if key, err := keyring.Get("outrider", "outrider"); err != nil || len(key) < 40 {
		t.Errorf("the keyring has %d bytes, %v", len(key), err)
	}
	if code, _, problems := invoke(t, "store", "--config", path); code != exitFailed || !strings.Contains(problems, "the key does not open this store") {
		t.Errorf("with store.key: exit code %d, %s", code, problems)
	}
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, "store.key = \"keyring:outrider\"\n"+string(document))
	launchFile(t, path).calls()
	wantRefreshes(t, provider, 1)
}

// Where there is no keyring, nothing is started that would look for one.
func TestMachineWithoutAKeyringSaysSo(t *testing.T) {
	if hasKeyring() && os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" && os.Getenv("XDG_RUNTIME_DIR") == "" {
		t.Skip("this system always has a keyring")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if _, err := newSecrets().get(config.Reference("keyring:outrider")); err == nil || !strings.Contains(err.Error(), "there is no keyring here") {
		t.Errorf("got %v", err)
	}
}
