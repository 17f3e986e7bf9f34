//go:build unix

package cli

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

// With `ulimit -n 40` and sixty connections the circuit of a provider that was well opened,
// for what was lacking here, and nobody was told of clients that could not be accepted.
func TestDescriptorsThatAreSpentAreNoFaultOfTheProvider(t *testing.T) {
	if !apart(t) {
		return
	}
	s := scripted(t, "200 ok")
	r := launch(t, api(s.address)+"retry = { attempts = 1 }\n[upstream.named]\nurl = \"http://nosuch.test\"\nretry = { attempts = 1 }\n")
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	if _, body := get(t, client, r.url("/nobody/x")); slug(body) != "unknown-upstream" { // a connection to us, and none of ours yet
		t.Fatal(body)
	}
	late, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(late) }()

	giveBack := spendDescriptors(t)
	for range 40 {
		resp, body := get(t, client, r.url("/api/x"))
		if resp.StatusCode != http.StatusServiceUnavailable || slug(body) != "sockets-exhausted" || !strings.Contains(body, "too many open files") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if _, body := get(t, client, r.url("/named/x")); slug(body) != "sockets-exhausted" {
		t.Errorf("with a name to look up: %s", body)
	}
	at := netip.MustParseAddrPort(r.addresses[""])
	if err := syscall.Connect(late, &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the line about accepting", func() (bool, string) {
		return strings.Contains(r.log.String(), `"msg":"connections cannot be accepted`), r.log.String()
	})
	giveBack()

	if resp, body := get(t, client, r.url("/api/x")); resp.StatusCode != http.StatusOK {
		t.Errorf("with descriptors again: %d %s", resp.StatusCode, body)
	}
	r.telemetry.Flush()
	log := r.log.String()
	for _, text := range []string{`"msg":"this machine can open no further connection`, `"msg":"connections cannot be accepted`} {
		if strings.Count(log, `"level":"WARN",`+text) != 1 || !strings.Contains(log, `"descriptor_limit":`) {
			t.Errorf("not once in the log: %s", text)
		}
	}
	if strings.Contains(log, "circuit changed") || !strings.Contains(log, `"error":"sockets_exhausted: `) {
		t.Errorf("log:\n%s", log)
	}
}

// spendDescriptors opens files until there can be no more of them.
func spendDescriptors(t *testing.T) (giveBack func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	lower := before
	lower.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		files = append(files, file)
	}
	giveBack = func() {
		for _, file := range files {
			_ = file.Close()
		}
		files = nil
	}
	t.Cleanup(func() {
		giveBack()
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	})
	return giveBack
}
