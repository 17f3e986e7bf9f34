//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/clients"
)

// openTestWard is a ward with the test itself as the client in Go.
func openTestWard(t *testing.T, config string) *ward {
	t.Helper()
	t.Setenv("OUTRIDER_TEST_BE", "1")
	c := &commands{Process: Process{Stderr: t.Output()}, config: config}
	w, err := c.openWard(t.Context(), []string{os.Args[0], "-test.run=^TestBeOutrider$", "--", "doctor", "--call"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// Every client that is installed reaches Outrider by http:// and https://, told
// by its environment alone.
func TestDoctorFindsEveryClientHealthy(t *testing.T) {
	w := openTestWard(t, home(t, ""))
	found := w.examine(t.Context(), clients.Probes())
	for _, f := range found.Clients {
		if !f.healthy() {
			t.Errorf("%s: %v; said %q", f.Client, f.Calls, f.Said)
		}
	}
	if w.notes != nil {
		t.Errorf("notes: %q", w.notes)
	}
	if len(found.Missing) > 0 && os.Getenv("OUTRIDER_TEST_NO_SKIP") != "" {
		t.Errorf("not installed: %q; .ci/run names the packages", found.Missing)
	}
}

// A doctor that finds fault says what it is, from what arrived and not from what
// the client says, and what helps.
func TestDoctorFindsFault(t *testing.T) {
	if !apart(t) {
		return
	}
	config := home(t, "")
	curl := clients.Probes()[0]
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed: apt-get install -y curl")
	}
	with := func(options ...string) clients.Probe {
		p := curl
		p.Call = slices.Concat(p.Call[:1], options, p.Call[1:])
		return p
	}
	other := filepath.Join(t.TempDir(), "other.pem")
	_, ca := certificate(t)
	if err := os.Rename(ca, other); err != nil {
		t.Fatal(err)
	}
	lying := curl
	lying.Call = []string{"sh", "-c", "echo arrived"}
	broken := curl
	broken.Call = []string{"/no/such/program"}
	for name, c := range map[string]struct {
		probe       clients.Probe
		http, https string
		fix         string
	}{
		"it went direct":      {with("--noproxy", "*"), wentDirect, wentDirect, curl.Direct},
		"it refused the CA":   {with("--cacert", other), arrived, refusedCA, curl.Refused},
		"it only says so":     {lying, wentDirect, wentDirect, curl.Direct},
		"it cannot be run":    {broken, failed + "fork/exec /no/such/program: no such file or directory", failed, ""},
		"it is not installed": {clients.Probe{Programs: []string{"outrider-no-such-client"}}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := openTestWard(t, config).probe(t.Context(), c.probe)
			if f == nil {
				f = &finding{}
			}
			if f.Calls["http"] != c.http || !strings.HasPrefix(f.Calls["https"], c.https) || c.fix != "" && f.Fix != c.fix {
				t.Errorf("found %+v", f)
			}
		})
	}
}

// The certificate authority is the real one, and the issuer of the real
// configuration stays what it is.
func TestDoctorDisturbsNobody(t *testing.T) {
	config := home(t, listed("127.0.0.1:1"))
	r := launchFile(t, config)
	issuer := func() string { return readFile(t, filepath.Join(r.status().StateDir, "ca", "issuer.pem")) }
	if _, err := r.prepareTrust(); err != nil {
		t.Fatal(err)
	}
	before := issuer()
	w := openTestWard(t, config)
	probes := slices.DeleteFunc(clients.Probes(), func(p clients.Probe) bool { return p.Programs != nil })
	if found := w.examine(t.Context(), probes); !found.Healthy || len(found.Clients) != 1 {
		t.Errorf("found %+v", found)
	}
	if issuer() != before {
		t.Error("there is another issuer")
	}
	if root := readFile(t, filepath.Join(w.dir, "state", "ca", "root.pem")); root != readFile(t, r.trust().Root) {
		t.Error("the root is not the real one")
	}
}

// A root's key that is kept elsewhere is no fault; the doctor says that it had to
// take another one.
func TestDoctorDoesWithoutTheRootsKey(t *testing.T) {
	config := home(t, "")
	r := launchFile(t, config)
	r.trust()
	if err := os.Remove(filepath.Join(r.status().StateDir, "ca", "root.key")); err != nil {
		t.Fatal(err)
	}
	w := openTestWard(t, config)
	probes := slices.DeleteFunc(clients.Probes(), func(p clients.Probe) bool { return p.Programs != nil })
	if found := w.examine(t.Context(), probes); !found.Healthy || len(found.Notes) != 1 {
		t.Errorf("found %+v", found)
	}
}

// What a client says may show the URL of its proxy, with the access key.
func TestDoctorShowsNoKey(t *testing.T) {
	config := home(t, "access_key = \"env:THE_KEY\"\n")
	t.Setenv("THE_KEY", "se same")
	w := openTestWard(t, config)
	e := w.run(t.Context(), []string{"sh", "-c", `echo "$http_proxy and se same"`})
	if !strings.HasSuffix(e.said, "and REDACTED") || strings.Contains(e.said, "se%20same") {
		t.Errorf("it said %q", e.said)
	}
	probes := slices.DeleteFunc(clients.Probes(), func(p clients.Probe) bool { return p.Programs != nil })
	if found := w.examine(t.Context(), probes); !found.Healthy {
		t.Errorf("found %+v", found)
	}
}

func TestDoctorPrints(t *testing.T) {
	e := examination{
		Clients: []finding{
			{Client: "curl", Calls: map[string]string{"http": arrived, "https": arrived}},
			{Client: "a client", Calls: map[string]string{"http": wentDirect, "https": refusedCA}, Said: "alas", Fix: "do this", Note: "by the way"},
		},
		Missing: []string{"x", "y"}, Notes: []string{"n"},
	}
	var out bytes.Buffer
	printExamination(&out, e)
	want := "client    http://      https://\n" +
		"curl      arrived      arrived\n" +
		"a client  went direct  refused the CA     by the way\n" +
		"          said: alas\n" +
		"          → do this\n" +
		"not installed: x, y\nnote: n\n"
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
	data, err := json.Marshal(e)
	if err != nil || !bytes.Contains(data, []byte(`"calls":{"http":"went direct","https":"refused the CA"}`)) {
		t.Errorf("%s %v", data, err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
