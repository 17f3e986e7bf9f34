//go:build unix

package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outrider/proxy/store/postgrestest"
)

// spends makes five calls that are answered, and then one that is refused because the
// hour is spent. It gives when another may be sent.
func spends(t *testing.T, url string) time.Time {
	t.Helper()
	for i := range 5 {
		if resp, body := get(t, http.DefaultClient, url); resp.StatusCode != http.StatusOK {
			t.Fatalf("call %d: %d %s", i, resp.StatusCode, body)
		}
	}
	return wantSpent(t, url)
}

// wantSpent makes a call that is refused because the hour is spent. It gives when another
// may be sent.
func wantSpent(t *testing.T, url string) time.Time {
	t.Helper()
	before := time.Now()
	resp, body := get(t, http.DefaultClient, url)
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusTooManyRequests || err != nil || resp.Header.Get("Proxy-Status") == "" {
		t.Fatalf("got %d, Retry-After %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	return before.Add(time.Duration(seconds) * time.Second)
}

// wantSameTime compares two times that were told in whole seconds, rounded up.
func wantSameTime(t *testing.T, got, want time.Time) {
	t.Helper()
	if apart := got.Sub(want).Abs(); apart > 2*time.Second {
		t.Errorf("after the restart a call may be sent at %s, before it was %s", got, want)
	}
}

// A day that is spent is not fresh because we are started again: not after an orderly
// end, and not after a crash, if it comes later than the next look at the quotas. So it is
// with what the configuration says, and with what only answers told.
func TestSpentHourIsSpentInTheNextProcess(t *testing.T) {
	if !apart(t) {
		return
	}
	for name, test := range map[string]struct {
		limit, path string
		end         func(t *testing.T, state, config string, sidecar *os.Process)
	}{
		"configured, SIGTERM": {fiveAnHour, "/crm/status/200", terminate},
		"configured, SIGKILL": {fiveAnHour, "/crm/status/200", killWhenKept},
		"learned, SIGTERM":    {`{ max_wait = "1s" }`, "/crm/limited/window/core?limit=5&per=1h&dialect=github", terminate},
	} {
		t.Run(name, func(t *testing.T) {
			sim, base := identity(t)
			state := filepath.Join(t.TempDir(), "state")
			config := home(t, fmt.Sprintf("state_dir = %q\n[upstream.crm]\nurl = %q\nlimit = %s\n", state, base, test.limit))
			cmd, address := begin(t, config)
			told := spends(t, "http://"+address+test.path)
			test.end(t, state, config, cmd.Process)
			_, address = begin(t, config)
			wantSameTime(t, wantSpent(t, "http://"+address+test.path), told)
			if stats := sim.Stats(); stats.Throttled != 0 {
				t.Errorf("the provider refused %d calls", stats.Throttled)
			}
		})
	}
}

const fiveAnHour = `{ rate = "5/h", shape = "window", max_wait = "1s" }`

func terminate(_ *testing.T, _, _ string, sidecar *os.Process) {
	_ = sidecar.Signal(syscall.SIGTERM)
	_, _ = sidecar.Wait()
}

// killWhenKept crashes the sidecar when it has kept a quota.
func killWhenKept(t *testing.T, state, config string, sidecar *os.Process) {
	eventually(t, "a quota in the store", func() (bool, string) {
		if _, err := os.Stat(filepath.Join(state, "store.db")); err != nil {
			return false, err.Error()
		}
		_, out, problems := invoke(t, "store", "--config", config)
		return strings.Contains(out, "1 quota\n"), out + problems
	})
	_ = sidecar.Kill()
	_, _ = sidecar.Wait()
}

// A machine takes over from another with what both keep in one database.
func TestSpentHourIsSpentOnTheNextMachine(t *testing.T) {
	t.Setenv("DATABASE_URL", postgrestest.Start(t).Database(t))
	t.Setenv("STORE_KEY", keyBefore)
	_, base := identity(t)
	document := fmt.Sprintf("[upstream.crm]\nurl = %q\nlimit = %s\n", base, fiveAnHour)
	cmd, address := begin(t, home(t, onPostgres(t, "env:STORE_KEY")+document))
	told := spends(t, "http://"+address+"/crm/status/200")
	terminate(t, "", "", cmd.Process)
	_, address = begin(t, home(t, onPostgres(t, "env:STORE_KEY")+document))
	wantSameTime(t, wantSpent(t, "http://"+address+"/crm/status/200"), told)
}

// Who has no quota that takes long to come back needs no state directory.
func TestShortQuotaMakesNoStore(t *testing.T) {
	_, base := identity(t)
	state := filepath.Join(t.TempDir(), "state")
	cmd, address := begin(t, home(t, fmt.Sprintf("state_dir = %q\n[forward]\nintercept = false\n[upstream.crm]\nurl = %q\nlimit = { rate = \"5/s\" }\n", state, base)))
	if resp, body := get(t, http.DefaultClient, "http://"+address+"/crm/status/200"); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	terminate(t, "", "", cmd.Process)
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a state directory: %v", err)
	}
}
