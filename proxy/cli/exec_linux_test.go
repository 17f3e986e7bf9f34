package cli

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

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

// TestBeACounter is no test: it is a command that counts the INT that it gets,
// until a second would long have come. A shell could not: it takes two that come
// together for one.
func TestBeACounter(_ *testing.T) {
	if os.Getenv("OUTRIDER_TEST_COUNT") == "" {
		return
	}
	interrupts := make(chan os.Signal, 8)
	signal.Notify(interrupts, os.Interrupt)
	fmt.Println("ready")
	<-interrupts
	count := 1
	for late := time.After(500 * time.Millisecond); ; {
		select {
		case <-interrupts:
			count++
		case <-late:
			fmt.Printf("INT%d\n", count)
			os.Exit(5)
		}
	}
}

// A Ctrl-C at the terminal goes to the command without us. Passed on it would
// come twice, and many programs end at once at the second.
func TestCtrlCComesOnce(t *testing.T) {
	config := home(t, "")
	master, slave := terminal(t)
	t.Setenv("OUTRIDER_TEST_COUNT", "1")
	cmd := outrider(t, "--config", config, "exec", "--", os.Args[0], "-test.run=^TestBeACounter$")
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
