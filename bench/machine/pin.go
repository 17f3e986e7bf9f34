package machine

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// pinned is the variable by which a process knows that Pin started it.
const pinned = "OUTRIDER_BENCH_PINNED"

// Pinned reports whether this process runs on one processor already.
func Pinned() bool { return os.Getenv(pinned) != "" }

// Pin starts this program anew, in its own place, on one processor: threads that run
// already could not be moved together. It needs taskset(1).
func Pin(core int) error {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(core), self}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), pinned+"=yes")) //nolint:gosec // we are ourselves
}

// Everywhere is the command that has all processors, however few we are pinned to.
func Everywhere(command ...string) []string {
	if !Pinned() {
		return command
	}
	return append([]string{"taskset", "-c", fmt.Sprintf("0-%d", Cores()-1)}, command...)
}
