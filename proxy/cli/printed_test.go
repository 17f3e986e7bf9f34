package cli

import (
	"os"
	"os/exec"
	"testing"
)

// printed runs a test that prints a table. A benchmark has no bubble, and so the test has
// a process of its own.
func printed(b *testing.B, test string) {
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^"+test+"$")
		cmd.Env = append(os.Environ(), "OUTRIDER_TEST_PRINT=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
