package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// apartVariable names the test that a process of its own is there for.
const apartVariable = "OUTRIDER_TEST_APART"

// apart has a test that mostly waits run in a process of its own, beside others of its kind:
// it has an environment to itself there, which tests that are parallel in one process share.
// It reports whether this is that process; in the other one the test is over by then.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartVariable) == t.Name() {
		return true
	}
	t.Parallel()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=0")
	command.Env = append(os.Environ(), apartVariable+"="+t.Name())
	output, err := command.CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "_test.go") {
			t.Log(strings.TrimSpace(line))
		}
	}
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, output)
	case strings.Contains(string(output), "\n--- SKIP"):
		t.Skip("it was skipped there")
	}
	return false
}
