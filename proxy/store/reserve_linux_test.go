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
	"time"

	"outrider/proxy/store"
)

// diskVariable names the directory on which the child mounts its disk.
const diskVariable = "OUTRIDER_TEST_DISK"

// TestRefreshesGoOnWhileTheDiskIsFull: a connection must not be lost, nor be without
// tokens, because a log has filled the disk at night. The disk is a real one of 2 MiB, in
// a mount namespace of the child's own.
func TestRefreshesGoOnWhileTheDiskIsFull(t *testing.T) { onASmallDisk(t, "TestBeOnASmallDisk") }

// onASmallDisk runs a test in a child with a mount namespace of its own.
func onASmallDisk(t *testing.T, test string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$")
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
// without a byte of room, also when it was started anew: a restart is what people try, and
// what Kubernetes does, and nothing at all worked after it.
func TestBeOnASmallDisk(t *testing.T) {
	disk := smallDisk(t, "2m")
	if disk == "" {
		return
	}
	dir := filepath.Join(disk, "state")
	opened, err := store.Open(t.Context(), settings(dir))
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, opened, 0, 40) // and the log is longer than what is set aside
	if err := fill(filepath.Join(disk, "log")); err != nil {
		t.Fatal(err)
	}
	crowd(t, opened)
	refresh(t, opened, 40, 400)
	again := open(t, settings(dir)) // as outrider store does, or who comes after a crash
	wantRefreshed(t, again, 400)
	crowd(t, opened)
	refresh(t, opened, 400, 500)
	if err := errors.Join(opened.Close(), again.Close()); err != nil {
		t.Fatal(err)
	}
	// What SQLite gave back when the last one closed is taken by the others at once.
	if err := fill(filepath.Join(disk, "another log")); err != nil {
		t.Fatal(err)
	}
	restarted := open(t, settings(dir))
	wantRefreshed(t, restarted, 500)
	crowd(t, restarted)
	refresh(t, restarted, 500, 600)
	wantRefreshed(t, restarted, 600)
}

// smallDisk mounts a disk of a size in such a child; elsewhere it is "".
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	disk := os.Getenv(diskVariable)
	if disk == "" {
		return ""
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestLettersFillADiskAndLeaveRoomForTokens: those that were kept are there and can be
// sent, those that were refused have left nothing, and refreshes go on.
func TestLettersFillADiskAndLeaveRoomForTokens(t *testing.T) {
	onASmallDisk(t, "TestBeOnADiskThatLettersFill")
}

// TestBeOnADiskThatLettersFill is no test: it is that child.
func TestBeOnADiskThatLettersFill(t *testing.T) {
	disk := smallDisk(t, "24m")
	if disk == "" {
		return
	}
	dir := filepath.Join(disk, "state")
	opened := open(t, settings(dir))
	o := opened.Outbox()
	refresh(t, opened, 0, credentials)
	text := strings.Repeat("x", 40<<10)
	var kept []string
	for n := 0; ; n++ {
		receipt, err := o.Keep(t.Context(), letter(fmt.Sprintf("%06d", n)), strings.NewReader(text), unbounded)
		if err != nil {
			wantRefused(t, err, "the disk is full")
			break
		}
		kept = append(kept, receipt.ID)
	}
	if len(kept) < 50 {
		t.Errorf("a disk of 24 MiB has room for %d letters of 40 KiB", len(kept))
	}
	if _, err := o.Keep(t.Context(), letter("long"), strings.NewReader(strings.Repeat("x", 8<<20)), unbounded); err == nil {
		t.Error("a letter of 8 MiB was kept on a full disk")
	}
	if err := fill(filepath.Join(disk, "log")); err != nil {
		t.Fatal(err)
	}
	refresh(t, opened, credentials, 200)
	wantTallied(t, opened)
	holder := hold(t, o)
	for range kept {
		ids := claim(t, holder, 1)
		if len(ids) != 1 {
			t.Fatal("a letter that was kept is not there")
		}
		must(t, holder.Depart(t.Context(), ids[0]))
		if body(t, o, ids[0]) != text {
			t.Errorf("the body of %s is another one", ids[0])
		}
		end := store.End{State: store.Delivered, Attempt: []byte("first"), ResponseHead: []byte("200"), Response: strings.NewReader(text)}
		if err := holder.End(t.Context(), ids[0], end); err != nil && !errors.Is(err, store.ErrUnrecorded) {
			t.Fatalf("ending %s: %v", ids[0], err)
		}
	}
	refresh(t, opened, 200, 300)
	wantRefreshed(t, opened, 300)
	wantTallied(t, opened)
	swept, err := o.Sweep(t.Context(), store.SweepSettings{})
	if err != nil || swept.Forgotten == 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	keep(t, o, letter("after"), text)
	refresh(t, opened, 300, 400)
	wantRefreshed(t, opened, 400)
}

// crowd has quotas ask for all the room that is left, many times.
func crowd(t *testing.T, s *store.Store) {
	t.Helper()
	refused := 0
	for n := range 40 {
		quotas := make([]store.Quota, 1<<(n%8))
		for i := range quotas {
			quotas[i] = daily(fmt.Sprint(n, " ", i), 1, time.Hour)
			quotas[i].State = bytes.Repeat([]byte("s"), 1000)
		}
		if s.SaveQuotas(t.Context(), quotas) != nil {
			refused++
		}
	}
	if refused < 30 {
		t.Errorf("of 40 times that quotas were saved on a full disk %d were refused", refused)
	}
}

// credentials are refreshed in turn.
const credentials = 8

func pair(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 4000) }

// refresh does what refreshes do, with the numbers from one to another.
func refresh(t *testing.T, s *store.Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		slot := s.Slot(fmt.Sprint(n % credentials))
		unlock := lock(t, slot)
		if err := slot.Save(t.Context(), pair(n)); err != nil {
			t.Fatalf("refresh %d: %v", n, err)
		}
		unlock()
	}
}

// wantRefreshed asks for the last refresh of each credential.
func wantRefreshed(t *testing.T, s *store.Store, refreshes int) {
	t.Helper()
	for n := refreshes - credentials; n < refreshes; n++ {
		if kept, err := s.Slot(fmt.Sprint(n % credentials)).Load(t.Context()); err != nil || !bytes.Equal(kept, pair(n)) {
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
