//go:build unix

package cli

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childSignals are the signals that are for the command and not for us. Those
// that stop and continue are left to do so: with us they stop and continue the
// whole process group, the command too.
var childSignals = []os.Signal{
	syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH,
}

// reachesChildren reports whether a signal has reached the command without us.
//
// The command is in our process group. A terminal sends the signals of its keys,
// and of its size, to all of its foreground group, so that a Ctrl-C which we
// passed on would come twice, and programs end at once at the second. Nothing
// says where a signal came from; but if our group is in the foreground it is the
// terminal, save for somebody who sends SIGINT by hand to this one process. Whoever
// supervises programs does that without a terminal, or with SIGTERM.
func reachesChildren(s os.Signal) bool {
	switch s {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH:
		return inForeground()
	}
	return false
}

// inForeground reports whether our process group has the terminal.
func inForeground() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false // there is no controlling terminal
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// exitCode is that of a process, or 128 and the number of the signal that ended
// it, as shells have it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
