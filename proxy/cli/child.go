package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// exitStatus ends us with the exit code of the command that we ran. All that is
// to say has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// childGrace is how long output that is not passed as it is, but copied, may be
// kept open by what the command leaves behind.
const childGrace = 5 * time.Second

// runChild runs a command to its end, and hands signals to it. Its exit code is
// the error, if it is not 0.
func (c *commands) runChild(child *exec.Cmd, signals <-chan os.Signal) error {
	child.WaitDelay = childGrace
	if err := child.Start(); err != nil {
		return c.notStarted(child.Args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if !reachesChildren(s) {
				_ = child.Process.Signal(s) // it may be gone already
			}
		case err := <-ended:
			return childStatus(child, err)
		}
	}
}

func childStatus(child *exec.Cmd, err error) error {
	if child.ProcessState == nil {
		return err
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	if code := exitCode(child.ProcessState); code != 0 {
		return exitStatus(code)
	}
	return nil
}
