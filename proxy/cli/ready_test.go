package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// In a pod, the answer of the sidecar to its startup probe starts the application,
// whose volume is a directory in ours. Kubernetes makes a directory that is not
// there yet, as its own, and then the sidecar can write nothing into it: so it must
// not be ready before it has.
func TestReadyWhenClientsCanTrustIt(t *testing.T) {
	dir := t.TempDir()
	socket := func(name string) string { return filepath.Join(dir, name) }
	path := socket("config.toml")
	document := fmt.Sprintf("listen = \"unix:%s\"\nadmin = \"unix:%s\"\nstate_dir = %q\n[upstream.a]\nurl = \"https://a.test\"\n",
		socket("l"), socket("a"), socket("state"))
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	var out logBuffer
	go func() {
		ended <- Main(ctx, Process{Args: []string{"run", "--config", path}, Stdout: &out, Stderr: &out})
	}()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket("a")) }}}
	for began := time.Now(); ; {
		resp, err := client.Get("http://localhost/readyz")
		if err == nil {
			_ = resp.Body.Close()
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("it is never ready: %v\n%s", err, out.String())
		}
	}
	for _, file := range []string{"root.pem", "bundle.pem", "truststore.p12"} {
		if _, err := os.Stat(filepath.Join(socket("state"), "trust", file)); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is ready, and there is no %s", file)
		}
	}
	stop()
	if code := <-ended; code != exitFine {
		t.Errorf("it ended with %d\n%s", code, out.String())
	}
}

// One upstream by a link-local address, whose zone no certificate can name, had the
// interception of all others refused: the local authority could not be made.
func TestHostWithAZoneIsNoConcernOfTheAuthority(t *testing.T) {
	r := launchData(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n", t.TempDir())+
		"[upstream.a]\nurl = \"https://a.test\"\n[upstream.near]\nurl = \"http://[fe80::1%25eth0]:8443\"\n")
	if root, err := r.prepareTrust(); root == "" || err != nil {
		t.Errorf("root %q: %v", root, err)
	}
}
