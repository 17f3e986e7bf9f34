package machine

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBusyIsAllButIdleAndWaiting(t *testing.T) {
	got, err := parseBusy("cpu  100 1 20 5000 300 2 3 4 50 60\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if want := 1300 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, broken := range []string{"", "cpu 1 2 3\n", "cpu  a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8\n"} {
		if got, err := parseBusy(broken); err == nil {
			t.Errorf("%q is %v", broken, got)
		}
	}
}

func TestMemoryIsInBytes(t *testing.T) {
	const status = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t   10 kB\n"
	if got, err := parseKibibytes(status, "VmHWM:"); err != nil || got != 12<<10 {
		t.Errorf("got %v, %v, want %v", got, err, 12<<10)
	}
	if _, err := parseKibibytes(status, "Rss:"); err == nil {
		t.Error("what is not there has no error")
	}
}

// TestProcessorTimeIsThatOfTheProcess: it is what getrusage(2) says of ourselves, which
// counts the same to the microsecond.
func TestProcessorTimeIsThatOfTheProcess(t *testing.T) {
	before := cpuOfSelf(t)
	got, err := CPU(os.Getpid())
	if after := cpuOfSelf(t); err != nil || got < before-10*time.Millisecond || got > after+10*time.Millisecond {
		t.Errorf("got %v, %v; getrusage said %v before, and %v after", got, err, before, after)
	}
	if _, err := CPU(1 << 22); err == nil {
		t.Error("a process that there cannot be has used time")
	}
}

func TestFamilyBeginsWithOneself(t *testing.T) {
	got, err := Family(os.Getpid())
	if err != nil || got[0] != os.Getpid() {
		t.Errorf("got %v, %v", got, err)
	}
}

func cpuOfSelf(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
