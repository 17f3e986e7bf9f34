//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBeOutrider is no test: it is the command line, for tests that need it in
// a process of its own.
func TestBeOutrider(_ *testing.T) {
	if os.Getenv("OUTRIDER_TEST_BE") == "" {
		return
	}
	os.Exit(Main(context.Background(), Process{Args: flag.Args(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}

// outrider is a command line in a process of its own, without a terminal.
func outrider(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-test.run=^TestBeOutrider$", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "OUTRIDER_TEST_BE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// home gives a test places of its own for state and configuration, on free ports.
func home(t testing.TB, document string) (config string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"OUTRIDER_ADMIN", "OUTRIDER_CONFIG", "SSL_CERT_FILE", "no_proxy", "NO_PROXY"} {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_STATE_HOME", dir)
	config = filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte(anyPorts+document), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// command runs a command line here.
func commandLine(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(context.Background(), Process{Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

// What the command reads, writes and ends with is as without us.
func TestExecIsTheCommand(t *testing.T) {
	config := home(t, "")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo no one made this executable"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args        []string
		code        int
		out, stderr string
	}{
		{[]string{"--", "sh", "-c", "cat; echo err >&2; exit 3"}, 3, "input", "err\n"},
		{[]string{"--", "true"}, 0, "", ""},
		{[]string{"echo", "-n", "--json", "--", "$x"}, 0, "--json -- $x", ""},
		{[]string{"--", "sh", "-c", "kill -KILL $$"}, 137, "", ""},
		{[]string{"--", "sh", "-c", "kill -TERM $$"}, 143, "", ""},
		{[]string{"--", "outrider-no-such-command"}, 127, "", "outrider: exec: outrider-no-such-command: not found\n"},
		{[]string{"--", "/no/such/command"}, 127, "", "outrider: exec: /no/such/command: not found\n"},
		{[]string{"--", script}, 126, "", "outrider: exec: " + script + ": cannot be run (permission denied)\n"},
		{nil, 2, "", "outrider: requires at least 1 arg(s), only received 0; usage: outrider exec [flags] -- COMMAND [ARGUMENT]...\n"},
	} {
		code, out, stderr := commandLine("input", append([]string{"--config", config, "exec"}, c.args...)...)
		if code != c.code || out != c.out || stderr != c.stderr {
			t.Errorf("%q: %d %q %q, want %d %q %q", c.args, code, out, stderr, c.code, c.out, c.stderr)
		}
	}
}

// The descriptors themselves are handed over: a program sees whether it has a
// terminal, and two programs can share an offset.
func TestExecHandsDescriptorsOver(t *testing.T) {
	config := home(t, "")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, _ := file.Stat()
	cmd := outrider(t, "--config", config, "exec", "--", "stat", "-L", "-c", "%i", "/dev/stdin", "/dev/fd/1", "/dev/fd/2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, file
	if err := cmd.Run(); err != nil {
		t.Skipf("there is no stat that tells inodes: %v", err)
	}
	data, _ := os.ReadFile(file.Name())
	inode := fmt.Sprintf("%d\n", info.Sys().(*syscall.Stat_t).Ino)
	if string(data) != inode+inode+inode {
		t.Errorf("got %q, want three times %q", data, inode)
	}
}

// Every signal that is for the command reaches it, once.
func TestExecPassesSignals(t *testing.T) {
	config := home(t, "")
	for name, signal := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
		"INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "WINCH": syscall.SIGWINCH,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := outrider(t, "--config", config, "exec", "--", "sh", "-c",
				"trap 'echo got; exit 7' "+name+"; echo ready; while :; do sleep 0.05; done")
			lines, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			output := bufio.NewReader(lines)
			if line, _ := output.ReadString('\n'); line != "ready\n" {
				t.Fatalf("got %q", line)
			}
			_ = cmd.Process.Signal(signal)
			rest, _ := io.ReadAll(output)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 7 || string(rest) != "got\n" {
				t.Errorf("ended with %d %q", code, rest)
			}
		})
	}
}

// proxyOf is the proxy that a command is told, by its own word.
func proxyOf(t *testing.T, args ...string) (proxy, stderr string) {
	t.Helper()
	code, out, stderr := commandLine("", append(args, "--", "sh", "-c", `printf %s "$http_proxy"`)...)
	if code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	return out, stderr
}

// The Outrider that runs is used, and no other is started. What is odd about it is
// told.
func TestExecUsesTheOneThatRuns(t *testing.T) {
	config := home(t, "")
	r := launchFile(t, config)
	exec := []string{"--config", config, "--admin", r.adminAt, "exec"}
	if proxy, stderr := proxyOf(t, exec...); proxy != "http://"+r.addresses[""] || stderr != "" {
		t.Errorf("the command is told %s, not %s; %s", proxy, r.addresses[""], stderr)
	}
	other := filepath.Join(t.TempDir(), "other.toml")
	if err := os.WriteFile(other, []byte(anyPorts), 0o600); err != nil {
		t.Fatal(err)
	}
	exec[1] = other
	want := "outrider: the Outrider that runs has another configuration: " + config + ", and not " + other + "\n"
	if proxy, stderr := proxyOf(t, exec...); proxy != "http://"+r.addresses[""] || stderr != want {
		t.Errorf("the command is told %s, not %s; %s", proxy, r.addresses[""], stderr)
	}
}

// A program went out by an Outrider with another configuration than the one that was to fence
// it in, and a note was all that said so.
func TestExecIsRefusedUnderAnotherConfiguration(t *testing.T) {
	config := home(t, "")
	r := launchFile(t, config)
	sealed := filepath.Join(t.TempDir(), "sealed.toml")
	document := fmt.Sprintf("listen = \"127.0.0.1:0\"\nadmin = %q\n[forward]\nunlisted = \"deny\"\n", r.adminAt)
	if err := os.WriteFile(sealed, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := commandLine("", "--config", sealed, "exec", "--", "echo", "it runs")
	if code != 2 || out != "" || !strings.Contains(stderr, config) || !strings.Contains(stderr, sealed) {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}

// An Outrider that was started for one command goes away with it: it serves that
// command, and what that starts, and nobody else.
func TestExecLeavesTheOneOfAnotherCommand(t *testing.T) {
	config := home(t, "")
	r := launchFile(t, config)
	r.forCommand.Store(true)
	document := fmt.Sprintf("listen = \"127.0.0.1:0\"\nadmin = %q\n", r.adminAt)
	if err := os.WriteFile(config, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	if proxy, stderr := proxyOf(t, "--config", config, "exec"); proxy == "http://"+r.addresses[""] || stderr != "" {
		t.Errorf("the command is told %s; %s", proxy, stderr)
	}
	t.Setenv(adminVariable, r.adminAt)
	if proxy, _ := proxyOf(t, "--config", config, "exec"); proxy != "http://"+r.addresses[""] {
		t.Errorf("a command of the command is told %s", proxy)
	}
}

// Whoever has the configured addresses, if it is no Outrider, is left alone.
func TestExecEvadesPortsThatAreTaken(t *testing.T) {
	home(t, "")
	var addresses []string
	for range 3 {
		other := upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		addresses = append(addresses, other.Listener.Addr().String())
	}
	taken := addresses[0]
	config := filepath.Join(t.TempDir(), "taken.toml")
	document := fmt.Sprintf("listen = %q\nadmin = %q\n[upstream.x]\nurl = \"http://x.test\"\nlisten = %q\n", taken, addresses[1], addresses[2])
	if err := os.WriteFile(config, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, stderr := proxyOf(t, "--config", config, "exec")
	if proxy == "http://"+taken || !strings.HasPrefix(proxy, "http://127.0.0.1:") || !strings.HasPrefix(stderr, "outrider: "+taken+" is taken: ") {
		t.Errorf("the command is told %s; %s", proxy, stderr)
	}
}

// A socket serves who can use one; for a command there is a port.
func TestExecNeedsAPort(t *testing.T) {
	config := home(t, "")
	socket := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(config, []byte("listen = \"unix:"+socket+"\"\nadmin = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, stderr := proxyOf(t, "--config", config, "exec")
	if !strings.HasPrefix(proxy, "http://127.0.0.1:") || !strings.HasPrefix(stderr, "outrider: unix:"+socket+" is a socket") {
		t.Errorf("the command is told %s; %s", proxy, stderr)
	}
	if code, _, stderr := commandLine("", "--config", config, "env"); code != 2 || !strings.Contains(stderr, "Unix socket") {
		t.Errorf("env: %d %s", code, stderr)
	}
}

// A program that was started with placeholders never has the key, and its calls
// have it all the same. Neither has it what is Outrider's own.
func TestExecKeepsKeysFromTheProgram(t *testing.T) {
	var authorization string
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { authorization = r.Header.Get("Authorization") })
	config := home(t, listed(server.Listener.Addr().String())+"auth = { type = \"bearer\", token = \"env:API_KEY\" }\n"+
		"[upstream.unset]\nurl = \"http://unset.test\"\nauth = { type = \"header\", name = \"x\", value = \"env:USER_AGENT\" }\n")
	for name, value := range map[string]string{"API_KEY": "sesame", "USER_AGENT": "x", "OUTRIDER_KEY": "sealing", "OUTRIDER_TEST_BE": "1"} {
		t.Setenv(name, value)
	}
	code, out, stderr := commandLine("", "--config", config, "exec", "--placeholders", "--", "env")
	if code != 0 || !strings.Contains(out, "API_KEY=outrider-placeholder-api\n") || !strings.Contains(out, "USER_AGENT=outrider-placeholder-unset\n") ||
		strings.Contains(out, "sesame") || strings.Contains(out, "OUTRIDER_KEY") {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	code, _, stderr = commandLine("", "--config", config, "exec", "--placeholders", "--",
		os.Args[0], "-test.run=^TestBeOutrider$", "--", "doctor", "--call", "http://"+apiHost+"/v1/x")
	if code != 0 || authorization != "Bearer sesame" {
		t.Errorf("%d %q %s", code, authorization, stderr)
	}
}

const apiHost = "api.example.test"

// listed is an upstream that proxy clients know as apiHost.
func listed(address string) string { return api(address) + "hosts = [\"" + apiHost + "\"]\n" }

// The sidecar's own log stays out of the command's output: warnings on stderr,
// and all of it in the file that was asked for.
func TestExecKeepsTheLogApart(t *testing.T) {
	config := home(t, listed("127.0.0.1:1")) // where nobody listens
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("OUTRIDER_TEST_BE", "1")
	call := []string{"--", os.Args[0], "-test.run=^TestBeOutrider$", "--", "doctor", "--call", "http://" + apiHost + "/v1/x"}
	code, out, stderr := commandLine("", append([]string{"--config", config, "exec", "--log", log}, call...)...)
	if code != 1 || out != "" || strings.Contains(stderr, `"level":"INFO"`) {
		t.Errorf("%d %q %q", code, out, stderr)
	}
	data, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(data, []byte(`"msg":"call"`)) {
		t.Errorf("the log is %q %v", data, err)
	}
}

func TestWarningsAreToldAndAllIsKept(t *testing.T) {
	var told, all bytes.Buffer
	w := warnings{to: &told, all: &all}
	for _, record := range []string{
		`{"time":"t","level":"INFO","msg":"\"level\":\"WARN\""}`, `{"time":"t","level":"WARN","msg":"w"}`,
		`time=t level=INFO msg=x`, `time=t level=ERROR msg=e`,
	} {
		_, _ = io.WriteString(&w, record+"\n")
	}
	if strings.Count(all.String(), "\n") != 4 || strings.Count(told.String(), "\n") != 2 || !strings.Contains(told.String(), "msg=e") {
		t.Errorf("told %q", told.String())
	}
}
