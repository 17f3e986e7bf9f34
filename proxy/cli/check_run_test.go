package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unset has the test alone say what is in the environment.
func unset(t *testing.T, prefixes ...string) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "") // which is put back at the end
				if err := os.Unsetenv(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// refusedAlike has check and run refuse the same configuration, with the same words.
func refusedAlike(t *testing.T, path string, parts ...string) {
	t.Helper()
	for _, command := range []string{"check", "run"} {
		code, out, problems := invoke(t, command, "--config", path)
		if code != exitUsage || out != "" {
			t.Errorf("%s ends with %d: %s", command, code, out)
		}
		for _, part := range parts {
			if !strings.Contains(problems, part) {
				t.Errorf("%s does not say %q: %s", command, part, problems)
			}
		}
	}
}

// `outrider check` said that all was well with a store that `outrider run` did not start on.
// It looks at it now as far as it can leave it as it is, whoever has it open.
func TestCheckLooksAtTheStoreThatRunWouldOpen(t *testing.T) {
	unset(t, "OUTRIDER_KEY", "OTEL_")
	state := filepath.Join(t.TempDir(), "state")
	_, path := connected(t, fmt.Sprintf("state_dir = %q\n", state))
	succeeds(t, "check", "--config", path)
	if _, err := os.Stat(state); err == nil {
		t.Fatal("check has made a store")
	}
	launchFile(t, path).calls()
	key := filepath.Join(state, "store.key")
	if out := succeeds(t, "check", "--config", path); !strings.Contains(out, "sealed with the key of "+key) {
		t.Errorf("while it runs, it says\n%s", out)
	}

	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refusedAlike(t, path, "state_dir: opening the store: ", "mode 0644")
	t.Setenv("OUTRIDER_KEY", "canary-another-key")
	refusedAlike(t, path, "OUTRIDER_KEY: opening the store: the key does not open this store",
		"set OUTRIDER_KEY to the one that sealed it, or unset it where that is in store.key")
	t.Setenv("OUTRIDER_KEY", "short")
	refusedAlike(t, path, "OUTRIDER_KEY: ", "has 5 bytes: it must have at least 16")

	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTHER", "canary-another-key")
	writeFile(t, path, "store.key = \"env:OTHER\"\n"+string(document))
	refusedAlike(t, path, "store.key: opening the store: the key does not open this store", "set [store] key to the one that sealed it")
	// All that is wrong is told at once, and nothing twice.
	t.Setenv("OTHER", "short")
	writeFile(t, path, "store.key = \"env:OTHER\"\nalerts.notify = [\"nowhere\"]\n"+string(document))
	_, _, problems := invoke(t, "check", "--config", path)
	if !strings.Contains(problems, "alerts.notify[0]: ") || strings.Count(problems, "has 5 bytes") != 1 {
		t.Errorf("it says %s", problems)
	}
}

// The variables of OpenTelemetry are a part of what run reads, and run ended over them.
func TestCheckReadsTheVariablesOfOpenTelemetry(t *testing.T) {
	unset(t, "OUTRIDER_KEY", "OTEL_")
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), anyPorts+fmt.Sprintf("state_dir = %q\n", t.TempDir()))
	succeeds(t, "check", "--config", path)
	t.Setenv("OTEL_TRACES_SAMPLER", "bogus")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318")
	refusedAlike(t, path, "OTEL_TRACES_SAMPLER=bogus: must be", "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL like")
}

// The first refresh token may be gone from the environment once its successor is kept. Where
// none is, every call was going to be refused, and check said nothing of it.
func TestCheckWarnsOfACredentialThatHasNoToken(t *testing.T) {
	provider, path := connected(t, fmt.Sprintf("state_dir = %q\n", filepath.Join(t.TempDir(), "state")))
	seed := os.Getenv("CRM_REFRESH")
	const warning = "warning: upstream.crm.auth.refresh_token: the environment variable CRM_REFRESH is not set, and no token is kept"
	t.Setenv("CRM_REFRESH", "")
	if out := succeeds(t, "check", "--config", path); !strings.Contains(out, warning) {
		t.Errorf("with nothing kept it says\n%s", out)
	}
	t.Setenv("CRM_REFRESH", seed)
	r := launchFile(t, path)
	if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	wantRefreshes(t, provider, 1)
	t.Setenv("CRM_REFRESH", "")
	if out := succeeds(t, "check", "--config", path); strings.Contains(out, "refresh_token:") {
		t.Errorf("with a token kept it says\n%s", out)
	}
}
