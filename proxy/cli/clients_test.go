package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// An invocation is one call that a client is to make.
type invocation struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Body   string `json:"body"`
	Host   string `json:"host"`   // Host header in place of the URL's own; "": the URL's
	Proxy  string `json:"proxy"`  // host:port; "": none
	Tunnel bool   `json:"tunnel"` // CONNECT also for plain HTTP, as undici does
	CA     string `json:"ca"`     // file of the authority to trust
}

// A client is a program, or a library, that applications call their APIs with.
type client struct {
	name    string
	install string   // how to get it
	probe   []string // a command that succeeds where it is installed; nil: always there
	spare   bool     // nobody has to have it
	call    func(t *testing.T, in invocation) (status int, body string)
	tunnels bool // it can be told to use CONNECT for plain HTTP
	resolve bool // it finds NAME.localhost by itself; the others get it as Host
}

var testClients = []client{
	{name: "curl", install: "apt-get install -y curl", probe: []string{"curl", "--version"}, call: callCurl, resolve: true},
	{name: "requests", install: "apt-get install -y python3-requests", probe: []string{"python3", "-c", "import requests"}, call: callRequests},
	{name: "node", install: "apt-get install -y nodejs", probe: []string{"node", "-e", "fetch"}, call: callNode, tunnels: true},
	{name: "wget", install: "apt-get install -y wget", probe: []string{"wget", "--version"}, spare: true, call: callWget},
	{name: "go", call: callGo},
}

// present skips the test of a client that is not installed; where nothing may
// be skipped it fails.
func (c client) present(t *testing.T) bool {
	t.Helper()
	if c.probe == nil || exec.Command(c.probe[0], c.probe[1:]...).Run() == nil {
		return true
	}
	switch {
	case c.spare:
	case os.Getenv("OUTRIDER_TEST_NO_SKIP") != "":
		t.Fatalf("%s is not installed: %s", c.name, c.install)
	default:
		t.Skipf("%s is not installed: %s", c.name, c.install)
	}
	return false
}

// Every client reaches its API by every way in that it knows, with one request
// upstream for each of its own, the credential injected, and its body whole.
func TestClientsReachTheirAPIs(t *testing.T) {
	t.Setenv("KEY", "sesame")
	plain := &ledger{}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) { answerNoted(w, plain.note(r)) })
	inside := &ledger{}
	config, ca := certificate(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerNoted(w, inside.note(r)) }))
	secure.TLS = config
	secure.StartTLS()
	t.Cleanup(secure.Close)
	secureAt := secure.Listener.Addr().String()
	r := launch(t, fmt.Sprintf(`
[forward]
allow_private = ["127.0.0.0/8"]
[upstream.api]
url = "http://%s/v1"
hosts = ["api.example.test"]
auth = { type = "bearer", token = "env:KEY" }
[upstream.secure]
url = "https://%s"
hosts = ["secure.example.test"]
ca_file = %q
auth = { type = "bearer", token = "env:KEY" }
`, server.Listener.Addr(), secureAt, ca))
	proxy := r.addresses[""]
	_, port, _ := net.SplitHostPort(proxy)

	for _, c := range testClients {
		t.Run(c.name, func(t *testing.T) {
			if !c.present(t) {
				return
			}
			local := invocation{Method: "GET", URL: "http://127.0.0.1:" + port + "/x?q=1", Host: "api.localhost:" + port}
			if c.resolve {
				local = invocation{Method: "GET", URL: "http://api.localhost:" + port + "/x?q=1"}
			}
			ways := []struct {
				name string
				in   invocation
				uri  string // as the upstream sees it
			}{
				{"base URL", invocation{Method: "GET", URL: r.url("/api/x?q=1")}, "/v1/x?q=1"},
				{"base URL, POST", invocation{Method: "POST", URL: r.url("/api/x"), Body: "a=1&b=%2F"}, "/v1/x"},
				{"NAME.localhost", local, "/v1/x?q=1"},
				{"as a proxy", invocation{Method: "GET", URL: "http://api.example.test/v1/x?q=1", Proxy: proxy}, "/v1/x?q=1"},
				{"as a proxy, POST", invocation{Method: "POST", URL: "http://api.example.test/v1/x", Body: "a=1&b=%2F", Proxy: proxy}, "/v1/x"},
			}
			for _, way := range ways {
				t.Run(way.name, func(t *testing.T) { checkCall(t, c, plain, way.in, way.uri, "Bearer sesame") })
			}
			if c.tunnels {
				for _, method := range []string{"GET", "POST"} {
					t.Run("CONNECT to port 80, "+method, func(t *testing.T) {
						in := invocation{Method: method, URL: "http://api.example.test/v1/x", Proxy: proxy, Tunnel: true}
						if method == "POST" {
							in.Body = "a=1&b=%2F"
						}
						checkCall(t, c, plain, in, "/v1/x", "Bearer sesame")
					})
				}
			}
			for _, method := range []string{"GET", "POST"} {
				in := invocation{Method: method, URL: "https://" + secureAt + "/v1/x", Proxy: proxy, CA: ca}
				if method == "POST" {
					in.Body = "a=1&b=%2F"
				}
				t.Run("TLS to a host that no upstream names, "+method, func(t *testing.T) {
					checkCall(t, c, inside, in, "/v1/x", "")
				})
				in.URL, in.CA = "https://secure.example.test/v1/x", r.trust().Root
				t.Run("TLS to an upstream, "+method, func(t *testing.T) {
					checkCall(t, c, inside, in, "/v1/x", "Bearer sesame")
				})
			}
		})
	}
	if others := append(plain.take(), inside.take()...); len(others) > 0 {
		t.Errorf("requests that nobody made: %v", others)
	}
}

// answerNoted tells the client what its upstream got.
func answerNoted(w http.ResponseWriter, got asked) {
	w.Header().Set("X-Upstream", "yes")
	_, _ = fmt.Fprintf(w, "%s %s %s", got.method, got.uri, got.body)
}

func checkCall(t *testing.T, c client, l *ledger, in invocation, uri, authorization string) {
	t.Helper()
	l.take()
	status, body := c.call(t, in)
	want := strings.Join([]string{in.Method, uri, in.Body}, " ")
	if status != http.StatusOK || body != want {
		t.Errorf("the client got %d %q, want 200 %q", status, body, want)
	}
	got := l.take()
	if len(got) != 1 {
		t.Fatalf("the upstream got %d requests, want 1: %v", len(got), got)
	}
	header := got[0].header
	if values := header["Authorization"]; strings.Join(values, ",") != authorization {
		t.Errorf("Authorization is %q, want %q", values, authorization)
	}
	if authorization == "" { // through a tunnel come the client's own headers, wget's Proxy-Connection too
		return
	}
	for name := range header {
		switch {
		case strings.HasPrefix(name, "Outrider-"), strings.HasPrefix(name, "Proxy-"), name == "Upgrade", name == "Http2-Settings",
			name == "Via", strings.HasPrefix(name, "X-Forwarded"), strings.HasPrefix(name, "Forwarded"):
			t.Errorf("the upstream got %s: %q", name, header[name])
		}
	}
}

// command runs a client with the proxy variables of an invocation, in both
// cases, as `outrider env` prints them, and gives what it wrote.
func command(t *testing.T, in invocation, extra []string, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	for _, pair := range os.Environ() {
		if key, _, _ := strings.Cut(pair, "="); !strings.HasSuffix(strings.ToLower(key), "_proxy") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	if in.Proxy != "" {
		for _, key := range []string{"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"} {
			cmd.Env = append(cmd.Env, key+"=http://"+in.Proxy)
		}
	}
	cmd.Env = append(cmd.Env, extra...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// lastLine takes the status off, which the programs below write behind the body.
func lastLine(t *testing.T, out string) (status int, body string) {
	t.Helper()
	body, line, found := cutLast(out, "\n")
	status, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !found {
		t.Fatalf("no status behind %q", out)
	}
	return status, body
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func callCurl(t *testing.T, in invocation) (int, string) {
	args := []string{"--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"}
	if in.Body != "" {
		args = append(args, "--data-binary", in.Body)
	}
	if in.CA != "" {
		args = append(args, "--cacert", in.CA)
	}
	out, _ := command(t, in, nil, "curl", append(args, in.URL)...)
	return lastLine(t, out)
}

const requestsScript = `
import json, sys, requests
a = json.loads(sys.argv[1])
r = requests.request(a["method"], a["url"], data=a["body"].encode() or None, timeout=20,
                     headers={"Host": a["host"]} if a["host"] else None, verify=a["ca"] or True)
sys.stdout.write(r.text + "\n" + str(r.status_code))
`

func callRequests(t *testing.T, in invocation) (int, string) {
	out, _ := command(t, in, nil, "python3", "-c", requestsScript, arguments(t, in))
	return lastLine(t, out)
}

func arguments(t *testing.T, in invocation) string {
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// nodeScript uses fetch where fetch can be told all of it. Its version 20 knows
// no proxy, so the rest is what the agents of undici, axios and jsforce send.
const nodeScript = `
const http = require('http'), https = require('https'), tls = require('tls');
const a = JSON.parse(process.argv[1]);
const done = (status, body) => process.stdout.write(body + '\n' + status);
const url = new URL(a.url);
const headers = {Host: a.host || url.host};
if (a.body) headers['Content-Length'] = Buffer.byteLength(a.body);
const send = (options) => http.request({method: a.method, headers, ...options}, (res) => {
  let body = '';
  res.setEncoding('utf8').on('data', (s) => body += s).on('end', () => done(res.statusCode, body));
}).end(a.body || undefined);
const [proxyHost, proxyPort] = a.proxy.split(':');
if (!a.proxy && !a.host) {
  fetch(a.url, {method: a.method, body: a.body || undefined}).then(async (r) => done(r.status, await r.text()));
} else if (!a.proxy) {
  send({host: url.hostname, port: url.port, path: url.pathname + url.search});
} else if (url.protocol === 'http:' && !a.tunnel) {
  send({host: proxyHost, port: proxyPort, path: a.url});
} else {
  const target = url.hostname + ':' + (url.port || (url.protocol === 'https:' ? 443 : 80));
  http.request({host: proxyHost, port: proxyPort, method: 'CONNECT', path: target, headers: {Host: target}})
    .on('connect', (res, socket) => {
      if (res.statusCode !== 200) return done(res.statusCode, 'CONNECT');
      const through = url.protocol === 'https:' ? tls.connect({socket, host: url.hostname}) : socket;
      const path = url.pathname + url.search;
      send({createConnection: () => through, path});
    }).end();
}
`

func callNode(t *testing.T, in invocation) (int, string) {
	var extra []string
	if in.CA != "" {
		extra = []string{"NODE_EXTRA_CA_CERTS=" + in.CA}
	}
	out, _ := command(t, in, extra, "node", "-e", nodeScript, arguments(t, in))
	return lastLine(t, out)
}

var wgetStatus = regexp.MustCompile(`HTTP/1\.1 (\d{3})`)

func callWget(t *testing.T, in invocation) (int, string) {
	args := []string{"--no-verbose", "--server-response", "--tries=1", "--timeout=20", "--output-document=-"}
	if in.Body != "" {
		args = append(args, "--post-data="+in.Body)
	}
	if in.CA != "" {
		args = append(args, "--ca-certificate="+in.CA)
	}
	if in.Host != "" {
		args = append(args, "--header=Host: "+in.Host)
	}
	out, errs := command(t, in, nil, "wget", append(args, in.URL)...)
	statuses := wgetStatus.FindAllStringSubmatch(errs, -1)
	if len(statuses) == 0 {
		t.Fatalf("wget reported no status: %s", errs)
	}
	status, _ := strconv.Atoi(statuses[len(statuses)-1][1])
	return status, out
}

func callGo(t *testing.T, in invocation) (int, string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if in.Proxy != "" {
		transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: in.Proxy})
	}
	if in.CA != "" {
		pem, err := os.ReadFile(in.CA)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatal(errors.New("no certificate in " + in.CA))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	var body io.Reader
	if in.Body != "" {
		body = strings.NewReader(in.Body)
	}
	req, err := http.NewRequestWithContext(t.Context(), in.Method, in.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = in.Host
	resp, got := do(t, &http.Client{Transport: transport, Timeout: patience}, req)
	return resp.StatusCode, got
}
