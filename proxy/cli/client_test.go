package cli

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A user broke a rate in the file of an Outrider that ran, asked `outrider status` what it
// made of that, as docs/configuration.md shows, and was told that none answers at the default
// address: the commands had taken the whole file for unreadable, and with it its admin port.
func TestCommandsFindTheOutriderThatRefusedTheFile(t *testing.T) {
	home(t, "")
	t.Setenv("OUTRIDER_TEST_KEY", "sesame")
	path := filepath.Join(t.TempDir(), "config.toml")
	document := "access_key = \"env:OUTRIDER_TEST_KEY\"\n" + api("127.0.0.1:1")
	r := launchWith(t, "access_key = \"env:OUTRIDER_TEST_KEY\"", api("127.0.0.1:1"))

	writeFile(t, path, fmt.Sprintf("admin = %q\n", r.adminAt)+document+"\n[upstream.crm.limit]\nrate = \"5/q\"\n")
	if code, out, errs := commandLine("", "status", "--config", path); code != exitFine || !strings.Contains(out, "ready at ") {
		t.Errorf("status ends with %d:\n%s%s", code, out, errs)
	}
	// An answer that is no success is told once, not once by its status and once by its title.
	if code, _, errs := commandLine("", "explain", "GET", "/nope/x", "--config", path); code != exitFailed ||
		errs != "outrider: "+r.adminAt+" answered 422 Unprocessable Entity: there is no [upstream.nope]\n" {
		t.Errorf("explain ends with %d: %s", code, errs)
	}
}

// Where not even the syntax is right, nobody can know the address: the error says so. Who has
// named one is not told.
func TestNoAddressIsKnownOfABrokenFile(t *testing.T) {
	home(t, "")
	path := filepath.Join(t.TempDir(), "config.toml")
	writeFile(t, path, "admin = [")
	for named, want := range map[string]string{"": "the address in the configuration is not known: " + path + ":1: ", "127.0.0.1:1": "connection refused"} {
		way, err := (&commands{config: path, admin: named}).adminWay()
		if err != nil {
			t.Fatal(err)
		}
		nobody := adminWay{address: "127.0.0.1:1", unread: way.unread, transport: http.DefaultTransport}
		_, err = nobody.send(t.Context(), question{path: "/api/status"})
		if err == nil || !strings.Contains(err.Error(), want) || named != "" && way.unread != nil {
			t.Errorf("with --admin %q: %v", named, err)
		}
	}
}

// Beside an Outrider that has an access_key, every command that was not given its
// configuration asked to be shown the key in a header, and has no flag for one.
func TestCommandWithoutTheKeySaysWhereItIsFound(t *testing.T) {
	home(t, "")
	t.Setenv("OUTRIDER_TEST_KEY", "canary-sesame")
	r := launchWith(t, "access_key = \"env:OUTRIDER_TEST_KEY\"", api("127.0.0.1:1"))
	path := filepath.Join(t.TempDir(), "config.toml")
	writeFile(t, path, "access_key = \"canary-another\"\n")
	for want, args := range map[string][]string{
		"it runs with an access_key: name its configuration with --config or $OUTRIDER_CONFIG": {"status"},
		"it runs with another access_key than this configuration has":                          {"status", "--config", path},
	} {
		code, _, problems := invoke(t, append(args, "--admin", r.adminAt)...)
		if code != exitFailed || !strings.Contains(problems, r.adminAt+" answered 401 Unauthorized: "+want) {
			t.Errorf("%q ends with %d: %s", args, code, problems)
		}
	}
}

// What listened at the admin address was another program, and status said its "404 File not
// found", or that a character was invalid.
func TestAnotherProgramIsNotTakenForAnOutrider(t *testing.T) {
	home(t, "")
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusUnauthorized} {
		other := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>"))
		})
		address := other.Listener.Addr().String()
		code, _, problems := invoke(t, "status", "--admin", address)
		if code != exitFailed || !strings.Contains(problems, address+" answered ") || !strings.Contains(problems, "this does not seem to be an Outrider") {
			t.Errorf("status ends with %d: %s", code, problems)
		}
	}
}
