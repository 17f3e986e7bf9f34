package cli

import (
	"flag"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain has more parallel tests run at a time than there are processors, unless -parallel
// says how many: most of their time they wait. So a test that is decided by when something
// happens, to a part of a second, is none of them.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))) // there is such a flag
	m.Run()
}

// apartVariable names the test that a process of its own is there for.
const apartVariable = "OUTRIDER_TEST_APART"

// apart has a test that mostly waits run in a process of its own, beside others of its kind:
// it has an environment to itself there, which tests that are parallel in one process share.
// It reports whether this is that process; in the other one the test is over by then.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartVariable) != t.Name() {
		t.Parallel()
	}
	return alone(t)
}

// alone is apart for a test that measures its process: no other test runs beside it.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartVariable) == t.Name() {
		return true
	}
	var left time.Duration // that process says first where it hangs
	if deadline, ok := t.Deadline(); ok {
		left = time.Until(deadline) - 5*time.Second
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+left.String())
	command.Env = append(os.Environ(), apartVariable+"="+t.Name())
	output, err := command.CombinedOutput()
	said := ""
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "_test.go") {
			said = strings.TrimSpace(line)
			t.Log(said)
		}
	}
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, output)
	case strings.Contains(string(output), "\n--- SKIP"):
		t.Skip(said) // with what to install
	}
	return false
}
