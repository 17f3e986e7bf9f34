package clients_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"outrider/proxy/clients"
)

// nasty are values that quoting gets wrong.
var nasty = []string{
	"", "plain", "a b", "'", "''", `"`, `\`, `\\'`, "$HOME", "$(id)", "$$(id)", "`id`", "!x", "a\nb", "\n", "%PATH%", "*", "~", "#x",
	"é ‘x’ ’", "-n", `a"b'c`, "\t", `\n`, `{a,b}`, "a;b&c|d>e",
}

// shells that say what they understood, between < and >.
var shells = map[string][]string{ // shell → how to run a script
	"sh":         {"sh", "-c"},
	"fish":       {"fish", "-c"},
	"powershell": {"pwsh", "-NoProfile", "-Command"},
}

var says = map[string]string{ // shell → a line that prints X
	"sh":         `printf '<%s>' "$X"`,
	"fish":       `printf '<%s>' "$X"`,
	"powershell": `[Console]::Out.Write("<" + $env:X + ">")`,
}

// understood is what a shell makes of a rendered value.
func understood(t *testing.T, shell, value string) string {
	t.Helper()
	script, err := clients.Render([]clients.Variable{{Name: "X", Value: value}}, shell)
	if err != nil {
		t.Fatal(err)
	}
	program := shells[shell]
	out, err := exec.Command(program[0], append(program[1:], script+says[shell])...).Output()
	if err != nil {
		t.Fatalf("%s: %q: %v", shell, script, err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(out), "<"), ">")
}

func TestShellsUnderstandWhatIsRendered(t *testing.T) {
	for shell, program := range shells {
		if _, err := exec.LookPath(program[0]); err != nil {
			continue // every machine has sh, where it matters; few have the others
		}
		for _, value := range nasty {
			if got := understood(t, shell, value); got != value {
				t.Errorf("%s: %q became %q", shell, value, got)
			}
		}
	}
}

func FuzzShUnderstands(f *testing.F) {
	for _, value := range nasty {
		f.Add(value)
	}
	if _, err := exec.LookPath("sh"); err != nil {
		f.Skip("there is no sh")
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) {
			t.Skip("no variable can have it")
		}
		if got := understood(t, "sh", value); got != value {
			t.Errorf("%q became %q", value, got)
		}
	})
}

func TestRenderings(t *testing.T) {
	variables := []clients.Variable{{Name: "A", Value: "http://x:1"}, {Name: "B", Value: `it's "$(id)"`}}
	for shell, want := range map[string]string{
		"sh":         "export A='http://x:1'\nexport B='it'\\''s \"$(id)\"'\n",
		"fish":       "set -gx A 'http://x:1'\nset -gx B 'it\\'s \"$(id)\"'\n",
		"powershell": "$env:A = 'http://x:1'\n$env:B = 'it''s \"$(id)\"'\n",
		"dotenv":     "A=http://x:1\nB=\"it's \\\"\\$(id)\\\"\"\n",
		"docker":     "A=http://x:1\nB=it's \"$(id)\"\n",
		"kubernetes": "env:\n- name: A\n  value: \"http://x:1\"\n- name: B\n  value: \"it's \\\"$$(id)\\\"\"\n",
	} {
		if got, err := clients.Render(variables, shell); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", shell, got, err, want)
		}
	}
	if _, err := clients.Render(variables, "csh"); err == nil || !strings.Contains(err.Error(), "powershell, sh") {
		t.Errorf("csh: %v", err)
	}
	if _, err := clients.Render([]clients.Variable{{Name: "A", Value: "a\nb"}}, "docker"); err == nil {
		t.Error("docker took a line end, which its format does not have")
	}
}

// A pod's value is JSON, after what Kubernetes does to dollars.
func FuzzKubernetesUnderstands(f *testing.F) {
	for _, value := range nasty {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) || strings.ToValidUTF8(value, "") != value {
			t.Skip("no manifest can have it")
		}
		text, err := clients.Render([]clients.Variable{{Name: "X", Value: value}}, "kubernetes")
		if err != nil {
			t.Fatal(err)
		}
		_, quoted, _ := strings.Cut(text, "value: ")
		var got string
		if err := json.Unmarshal([]byte(quoted), &got); err != nil {
			t.Fatal(err)
		}
		if got = strings.ReplaceAll(got, "$$", "$"); got != value {
			t.Errorf("%q became %q", value, got)
		}
	})
}
