package cli

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A browser whose proxy we are, and that trusts us, sends what pages of any site
// make it send. It must not go out with a credential of ours; where there is none
// to put on, it is the caller's own affair.
func TestPagesOfOtherSitesSpendNoCredential(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) { got.note(r) })
	address := server.Listener.Addr().String()
	r := launch(t, captured(address)+"[upstream.open]\nurl = \"http://"+address+"\"\nhosts = [\"open.example.test\"]\n")
	for _, c := range []struct {
		url, site string
		status    int
	}{
		{"https://api.example.test/", "cross-site", 403},
		{"http://api.example.test/", "cross-site", 403},
		{"https://api.example.test/", "same-origin", 200},
		{"https://api.example.test/", "none", 200},
		{"https://api.example.test/", "", 200},
		{"https://open.example.test/", "cross-site", 200},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", c.url, strings.NewReader("x"))
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		resp, body := do(t, r.trusting(true), req)
		if resp.StatusCode != c.status || c.status == 403 && slug(body) != "cross-site" {
			t.Errorf("%s %q: %d %s", c.url, c.site, resp.StatusCode, body)
		}
		if sent := len(got.take()); (sent == 1) != (c.status == 200) {
			t.Errorf("%s %q: %d requests were sent", c.url, c.site, sent)
		}
	}
}

// Alt-Svc invites a client to come another way the next time, over UDP maybe: that
// would lead around us. Where the client knows that it speaks with us, it stays.
func TestOpenedConnectionsHaveNoOtherWay(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Alt-Svc", `h3=":443"; ma=86400`) })
	r := launch(t, captured(server.Listener.Addr().String()))
	bothProtocols(t, func(t *testing.T, http2 bool) {
		if resp, _ := get(t, r.trusting(http2), "https://api.example.test/"); resp.Header.Get("Alt-Svc") != "" {
			t.Errorf("Alt-Svc is %q", resp.Header.Get("Alt-Svc"))
		}
	})
	if resp, _ := get(t, http.DefaultClient, r.url("/api/")); resp.Header.Get("Alt-Svc") == "" {
		t.Error("a base URL lost Alt-Svc")
	}
}

// Where the root's key is kept elsewhere, a reload that names another host cannot
// be followed. The hosts that there were go on; the new one is refused, with the
// reason.
func TestReloadWithoutTheRootsKey(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	address := server.Listener.Addr().String()
	state := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(t.TempDir(), "outrider.toml")
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", state)
	writeFile(t, path, top+captured(address))
	r := launchFile(t, path)
	if resp, _ := get(t, r.trusting(true), "https://api.example.test/"); resp.StatusCode != 200 {
		t.Fatalf("got %d", resp.StatusCode)
	}
	if err := os.Remove(filepath.Join(state, "ca", "root.key")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, top+captured(address)+"[upstream.new]\nurl = \"http://"+address+"\"\nhosts = [\"new.example.test\"]\n")
	if status, body := r.ask("POST", "/reload"); status != 200 {
		t.Fatalf("reloading: %d %s", status, body)
	}
	if resp, body := get(t, r.trusting(true), "https://api.example.test/"); resp.StatusCode != 200 {
		t.Errorf("the host that there was: %d %s", resp.StatusCode, body)
	}
	_, answer := r.raw("CONNECT new.example.test:443 HTTP/1.1\r\nHost: new.example.test:443\r\n\r\n")
	resp, err := http.ReadResponse(answer, &http.Request{Method: "GET"})
	if err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("the new host: %v %v", resp, err)
	}
	if lines := r.logged("the local certificate authority could not follow the configuration; the hosts that it was for before are opened still"); len(lines) != 1 {
		t.Errorf("it was told %d times\n%s", len(lines), r.log)
	}
}

// Only what answers is observed: names that lead nowhere would fill the list.
func TestHostsThatAreNotThereAreNotObserved(t *testing.T) {
	silent := rawUpstream(t, func(_ net.Conn, _ *bufio.Reader) {})
	r := launch(t, "[forward]\nunlisted = \"observe\"\nallow_private = [\"127.0.0.0/8\"]\n")
	for _, request := range []string{
		"CONNECT no-such-host.test:443 HTTP/1.1\r\nHost: no-such-host.test:443\r\n\r\n",
		"GET http://no-such-host.test/ HTTP/1.1\r\nHost: no-such-host.test\r\n\r\n",
		"GET http://" + silent + "/ HTTP/1.1\r\nHost: " + silent + "\r\n\r\n",
	} {
		_, answer := r.raw(request)
		if resp, err := http.ReadResponse(answer, &http.Request{Method: "GET"}); err != nil || resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%q: %v %v", request, resp, err)
		}
	}
	if seen := r.server.Capture().Observed; len(seen) > 0 {
		t.Errorf("observed %+v", seen)
	}
}
