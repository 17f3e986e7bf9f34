//go:build linux

package login_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"outrider/proxy/login"
)

// Without a desktop no browser is looked for: one of text would take the terminal.
func TestBrowserNeedsADesktop(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if err := login.Browse("https://login.test/"); err == nil {
		t.Error("a browser was opened")
	}
}

func TestBrowserGetsTheURLAsItIs(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen") // a pipe, so that reading it waits for the opener
	if err := syscall.Mkfifo(seen, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nprintf %s \"$1\" > " + seen + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DISPLAY", ":0")
	const want = "https://login.test/?a=b&c=$(id)%20'x'"
	if err := login.Browse(want); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(seen); err != nil || string(got) != want {
		t.Errorf("it got %q, %v", got, err)
	}
}
