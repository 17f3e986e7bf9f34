package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diskVariable names the directory on which a child mounts its disk.
const diskVariable = "OUTRIDER_TEST_DISK"

// elsewhere runs a test that is none in a process that has its mounts for itself, as the
// user that we are or, within a namespace, as root.
func elsewhere(t *testing.T, test string, within bool) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	command.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if within {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && os.Getenv("OUTRIDER_TEST_NO_SKIP") == "" {
		t.Skip("this system gives us no mounts of our own: sysctl -w kernel.unprivileged_userns_clone=1, or run it as root")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "_test.go") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// Where the disk is full a call is told that it is not kept. What was kept is still there,
// after a crash too, and is sent; and when it has been, there is room again.
func TestFullDiskLosesNoLetter(t *testing.T) {
	if apart(t) {
		elsewhere(t, "TestBeOnAFullDisk", true)
	}
}

// TestBeOnAFullDisk is no test: it is that child, on a disk of 4 MiB.
func TestBeOnAFullDisk(t *testing.T) {
	disk := os.Getenv(diskVariable)
	if disk == "" {
		return
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	d := newDepot(t, filepath.Join(disk, "state"))
	d.up()
	d.callUntilRefused(t, 10)
	fillDisk(t, filepath.Join(disk, "log"))
	d.callUntilRefused(t, 10)
	d.wantRefusing(t)
	d.wantKept(t)
	d.kill()
	fillDisk(t, filepath.Join(disk, "another log"))
	d.up()
	d.callUntilRefused(t, 10)
	d.wantKept(t)
	t.Logf("%d calls were kept on a disk of 4 MiB, %d were not", len(d.kept), d.told)
	d.outage("off")
	d.wantDelivered(t)
	if !d.call(t, 4<<10) {
		t.Error("what was delivered has made no room")
	}
	d.wantDelivered(t)
}

// wantRefusing looks whether the operator is told that letters are refused: in the log, once,
// and by who asks how the outbox stands.
func (d *depot) wantRefusing(t *testing.T) {
	t.Helper()
	if n := strings.Count(d.log.String(), `"level":"WARN","msg":"letters are refused`); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	var out strings.Builder
	c := &commands{Process: Process{Stdout: &out, Stderr: io.Discard}, admin: d.admin}
	if err := c.outbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "WARNING: letters are refused: ") || !strings.Contains(text, "the disk is full") {
		t.Errorf("outbox says %q", text)
	}
}

// fillDisk writes a file until there is no room for a byte.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for size := 64 << 10; size > 0; {
		if _, err := file.WriteString(strings.Repeat("x", size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that fails is made read-only by the system, under everybody who writes to it. Then
// calls are told that they are not kept, and no letter is sent, since nobody could note that
// it was. When the disk has been mended, all that was promised is there.
func TestReadOnlyDiskLosesNoLetter(t *testing.T) {
	if !apart(t) {
		return
	}
	if os.Getuid() != 0 && os.Getenv("OUTRIDER_TEST_NO_SKIP") == "" {
		t.Skip("only root makes a disk fail: sudo go test ./proxy/cli -run ReadOnlyDisk")
	}
	elsewhere(t, "TestBeOnADiskThatFails", false)
}

// TestBeOnADiskThatFails is no test: it is that child.
func TestBeOnADiskThatFails(t *testing.T) {
	place := os.Getenv(diskVariable)
	if place == "" {
		return
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	image, disk := filepath.Join(place, "image"), filepath.Join(place, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	execute(t, "truncate", "--size=32M", image)
	execute(t, "mke2fs", "-q", "-t", "ext4", image)
	mount := func() { execute(t, "mount", "-o", "loop,errors=remount-ro", image, disk) }
	mount()
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	d := newDepot(t, filepath.Join(disk, "state"))
	d.up()
	for range 100 {
		if !d.call(t, 4<<10) {
			t.Fatal("it is not kept on a disk that is well")
		}
	}
	device := strings.TrimSpace(execute(t, "findmnt", "--noheadings", "--output", "SOURCE", disk))
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	d.callUntilRefused(t, 10)
	if d.told != 10 {
		t.Errorf("%d calls were kept on a disk that is read-only", len(d.kept)-100)
	}
	before := d.sim.Stats().Requests
	d.outage("off")
	d.wantKept(t)
	<-time.After(3 * time.Second) // in which the circuit lets a probe through
	if got := d.sim.Stats().Requests - before; got != 0 {
		t.Errorf("%d letters were sent, and nobody could note it", got)
	}
	d.kill()
	d.begin()
	select {
	case <-d.ended:
		if told := lastLines(d.log.String(), 1); !strings.Contains(told, "read-only file system") {
			t.Errorf("it does not start, and says %q", told)
		}
	case <-d.ready:
		t.Error("it starts on a disk on which it can keep nothing")
		d.kill()
	}
	execute(t, "umount", disk)
	execute(t, "sh", "-c", `e2fsck -p "$1" || [ $? -le 2 ]`, "sh", image)
	mount()
	d.up()
	d.wantKept(t)
	d.wantDelivered(t)
}

// execute runs a program, and gives what it prints.
func execute(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q (apt-get install e2fsprogs mount): %v\n%s", name, args, err, output)
	}
	return string(output)
}
