//go:build unix

package cli

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/clients"
)

// env prints what exec sets, so that a shell which reads it is where the command
// of exec would be.
func TestEnvIsWhatExecSets(t *testing.T) {
	config := home(t, "")
	r := launchFile(t, config)
	code, script, stderr := commandLine("", "--config", config, "--admin", r.adminAt, "env", "--shell", "sh")
	if code != 0 || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	inShell, err := exec.Command("sh", "-c", script+"env").Output()
	if err != nil {
		t.Fatal(err)
	}
	code, inExec, stderr := commandLine("", "--config", config, "--admin", r.adminAt, "exec", "--", "sh", "-c", "env")
	if code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	if a, b := sortedLines(string(inShell)), sortedLines(inExec); !slices.Equal(a, b) {
		t.Errorf("env prints\n%s\nexec sets\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

func sortedLines(text string) []string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "_=") })
	slices.Sort(lines)
	return lines
}

// env says who reads what, shows the access key where it is needed, and says when
// nobody listens yet.
func TestEnvPrints(t *testing.T) {
	config := home(t, "access_key = \"env:THE_KEY\"\n[upstream.x]\nurl = \"http://x.test\"\nauth = { type = \"bearer\", token = \"env:X_KEY\" }\n")
	t.Setenv("THE_KEY", "a b@c")
	t.Setenv("X_KEY", "secret")
	code, out, stderr := commandLine("", "--config", config, "--json", "env", "--placeholders")
	var list []clients.Variable
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || !strings.HasPrefix(stderr, "outrider: nothing answers yet") {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	got := make(map[string]string)
	for _, v := range list {
		got[v.Name] = v.Value
		if v.Readers == "" {
			t.Errorf("nobody reads %s", v.Name)
		}
	}
	if got["http_proxy"] != "http://outrider:a%20b%40c@127.0.0.1:0" || got["X_KEY"] != "outrider-placeholder-x" || got["THE_KEY"] != "" {
		t.Errorf("got %v", got)
	}
	if code, _, stderr := commandLine("", "--config", config, "env", "--shell", "csh"); code != 2 || !strings.Contains(stderr, "no such shell") {
		t.Errorf("csh: %d %s", code, stderr)
	}
}
