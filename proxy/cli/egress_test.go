package cli

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A corporate is the proxy of a company: everything that it is asked for is at
// one provider. It knows what it was asked for.
type corporate struct {
	*httptest.Server
	provider string
	mu       sync.Mutex
	asked    []string // method, target, and credentials
}

func newCorporate(t *testing.T, provider string) *corporate {
	t.Helper()
	c := &corporate{provider: provider}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *corporate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
	c.mu.Unlock()
	provider, err := net.Dial("tcp", c.provider)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = provider.Close() }()
	if r.Method != http.MethodConnect {
		r.Header.Del("Proxy-Authorization")
		_ = r.Write(provider)
		resp, err := http.ReadResponse(bufio.NewReader(provider), r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	client, buffered, _ := http.NewResponseController(w).Hijack()
	defer func() { _ = client.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(provider, buffered)
		_ = provider.Close()
	}()
	_, _ = io.Copy(client, provider)
}

func (c *corporate) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// Where the way out of a company leads through a proxy, so do we: for calls, for
// tunnels, by the configuration and by the environment; an upstream may go its
// own way. The proxy's password is nobody's to see.
func TestCallsGoOutThroughAProxy(t *testing.T) {
	server := upstream(t, echoTarget)
	corp := newCorporate(t, server.Listener.Addr().String())
	address := corp.Listener.Addr().String()
	t.Setenv("CORPORATE", "http://me:canary-password@"+address)
	basic := " Basic " + base64.StdEncoding.EncodeToString([]byte("me:canary-password"))
	upstreams := "[upstream.api]\nurl = \"http://api.provider.test\"\n[upstream.own]\nurl = \"http://own.provider.test\"\nproxy = \"direct\"\nretry = { attempts = 1 }\n"

	check := func(t *testing.T, r *running, credentials string) {
		t.Helper()
		corp.take()
		resp, body := get(t, http.DefaultClient, r.url("/api/x"))
		if asked := corp.take(); resp.StatusCode != 200 || len(asked) != 1 || asked[0] != "GET http://api.provider.test/x"+credentials {
			t.Errorf("a call: %d %s; the proxy was asked %q", resp.StatusCode, body, asked)
		}
		resp, body = get(t, http.DefaultClient, r.url("/own/x"))
		if asked := corp.take(); slug(body) != "upstream-unreachable" || len(asked) != 0 {
			t.Errorf("an upstream that goes directly: %d %s; the proxy was asked %q", resp.StatusCode, body, asked)
		}
		r.rest()
		conn := r.connect("tunnelled.provider.test:443")
		_, _ = io.WriteString(conn, "GET /y HTTP/1.1\r\nHost: z\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("a tunnel: %v %v", resp, err)
		}
		if asked := corp.take(); len(asked) != 1 || asked[0] != "CONNECT tunnelled.provider.test:443"+credentials {
			t.Errorf("a tunnel: the proxy was asked %q", asked)
		}
		_, status := r.ask("GET", "/api/status")
		_, calls := r.ask("GET", "/api/calls")
		if strings.Contains(r.log.String()+status+calls, "canary-password") {
			t.Error("the proxy's password was told")
		}
	}
	t.Run("as the configuration has it", func(t *testing.T) {
		check(t, launch(t, "[egress]\nproxy = \"env:CORPORATE\"\n"+upstreams), basic)
	})
	t.Run("as the environment has it", func(t *testing.T) {
		t.Setenv("HTTP_PROXY", "http://"+address)
		t.Setenv("HTTPS_PROXY", "http://"+address)
		check(t, launch(t, upstreams), " ")
	})
}

// Somebody sets HTTP_PROXY to use Outrider, and starts Outrider in that shell.
func TestOurselvesAreNoProxyOfOurs(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launch(t, "[forward]\nallow_private = [\"127.0.0.0/8\"]\n"+captured(server.Listener.Addr().String()))
	t.Setenv("HTTP_PROXY", "http://"+r.addresses[""])
	t.Setenv("HTTPS_PROXY", "http://localhost:"+r.addresses[""][strings.LastIndexByte(r.addresses[""], ':')+1:])
	for _, target := range []string{"http://no-such-host.test/", "http://api.example.test/x"} {
		resp, body := get(t, r.proxyClient(), target)
		if strings.Contains(target, "api.") != (resp.StatusCode == 200) || strings.Contains(body, "loop") || strings.Contains(body, "address-denied") {
			t.Errorf("%s: %d %s", target, resp.StatusCode, body)
		}
	}
}

// A proxy that cannot be reached, or does not let us through, is told apart from
// a provider that is down.
func TestProxyThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	denying := upstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	for name, address := range map[string]string{"closed": closed, "wants credentials": denying.Listener.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, fmt.Sprintf("[egress]\nproxy = \"http://%s\"\n[upstream.api]\nurl = \"https://api.provider.test\"\nretry = { attempts = 1 }\n", address))
			resp, body := get(t, http.DefaultClient, r.url("/api/x"))
			if resp.StatusCode != http.StatusBadGateway || slug(body) != "proxy-failed" || !strings.Contains(body, address) {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
		})
	}
}

// A proxy's secret that is missing is an error at the start, with its key.
func TestProxyWithoutItsSecret(t *testing.T) {
	path := t.TempDir() + "/c.toml"
	writeFile(t, path, "[egress]\nproxy = \"env:NO_SUCH_PROXY\"\n[upstream.api]\nurl = \"https://api.provider.test\"\nproxy = \"env:NO_SUCH_OTHER\"\n")
	var out, errs strings.Builder
	code := Main(t.Context(), Process{Args: []string{"check", "--config", path}, Stdout: &out, Stderr: &errs})
	for _, want := range []string{"egress.proxy: the environment variable NO_SUCH_PROXY", "upstream.api.proxy: the environment variable NO_SUCH_OTHER"} {
		if code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%d, without %q: %s", code, want, errs.String())
		}
	}
}

// A reload to a proxy that cannot be used was accepted when no upstream had it, and
// every call to a host that no upstream names then failed as a defect of ours.
func TestReloadToAProxyThatCannotBeUsedIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outrider.toml")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir())
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	r := launchFile(t, path)
	if err := os.WriteFile(path, []byte(document+"[egress]\nproxy = \"env:NO_SUCH_PROXY\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, body := r.ask("POST", "/reload"); status == 200 || !strings.Contains(body, "egress.proxy") {
		t.Errorf("got %d %s", status, body)
	}
}
