package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a terminal of our own: what is written into master are its keys.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// A Ctrl-C at the terminal goes to the command without us. Passed on it would
// come twice, and many programs end at once at the second.
func TestCtrlCComesOnce(t *testing.T) {
	config := home(t, "")
	master, slave := terminal(t)
	// Each INT is a line; the command ends a while after the first, when a second
	// would long have come.
	cmd := outrider(t, "--config", config, "exec", "--", "sh", "-c",
		`n=0; trap 'n=$((n+1)); echo INT$n' INT; echo ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.3; sleep 0.3; exit 5`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	screen := bufio.NewScanner(master)
	var lines []string
	for screen.Scan() { // ends when nobody has the terminal any more
		line := strings.TrimPrefix(strings.TrimSpace(screen.Text()), "^C")
		lines = append(lines, line)
		if line == "ready" {
			if _, err := master.WriteString("\x03"); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if got := strings.Join(lines, " "); got != "ready INT1" || cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("the terminal shows %q; ended with %v", got, cmd.ProcessState)
	}
}
