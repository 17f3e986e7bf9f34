package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"outrider/proxy/store"
)

// diskVariable names the directory on which the child mounts its disk.
const diskVariable = "OUTRIDER_TEST_DISK"

// TestRefreshesGoOnWhileTheDiskIsFull: a connection must not be lost, nor be without
// tokens, because a log has filled the disk at night. The disk is a real one of 2 MiB, in
// a mount namespace of the child's own.
func TestRefreshesGoOnWhileTheDiskIsFull(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBeOnASmallDisk$")
	command.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && os.Getenv("OUTRIDER_TEST_NO_SKIP") == "" {
		t.Skip("this system gives no user namespaces: sysctl -w kernel.unprivileged_userns_clone=1")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// TestBeOnASmallDisk is no test: it is that child, and does what refreshes do on a disk
// without a byte of room.
func TestBeOnASmallDisk(t *testing.T) {
	disk := os.Getenv(diskVariable)
	if disk == "" {
		return
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	const credentials = 8
	slot := func(s *store.Store, n int) *store.Slot { return s.Slot(fmt.Sprint(n % credentials)) }
	pair := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 4000) }
	opened := open(t, settings(filepath.Join(disk, "state")))
	for n := range credentials {
		if err := slot(opened, n).Save(t.Context(), pair(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fill(filepath.Join(disk, "log")); err != nil {
		t.Fatal(err)
	}
	const refreshes = 500
	for n := range refreshes {
		unlock := lock(t, slot(opened, n))
		if err := slot(opened, n).Save(t.Context(), pair(n)); err != nil {
			t.Fatalf("refresh %d: %v", n, err)
		}
		unlock()
	}
	again := open(t, settings(filepath.Join(disk, "state"))) // as after a restart
	for n := refreshes - credentials; n < refreshes; n++ {
		if kept, err := slot(again, n).Load(t.Context()); err != nil || !bytes.Equal(kept, pair(n)) {
			t.Errorf("of refresh %d: %d bytes are kept, %v", n, len(kept), err)
		}
	}
}

// fill writes a file until there is no room for a byte.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.WriteString(strings.Repeat("x", size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}
