package cli

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// roots trusts the sidecar's authority, and nobody else.
func (r *running) roots() *x509.CertPool {
	r.t.Helper()
	pem, err := os.ReadFile(r.trust().Root)
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		r.t.Fatal("no certificate in the root's file")
	}
	return pool
}

// trusting is a client that uses the sidecar as its proxy, and trusts it.
func (r *running) trusting(http2 bool) *http.Client {
	transport := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: r.addresses[""]}),
		TLSClientConfig:    &tls.Config{RootCAs: r.roots()},
		ForceAttemptHTTP2:  http2,
		DisableCompression: true,
	}
	if !http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(true)
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// connect opens a connection to authority through the sidecar.
func (r *running) connect(authority string) net.Conn {
	r.t.Helper()
	conn, answer := r.raw("CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n")
	resp, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("CONNECT %s: %v %v", authority, resp, err)
	}
	if answer.Buffered() > 0 {
		r.t.Fatal("the sidecar speaks first")
	}
	return conn
}

// captured is an upstream whose calls an application makes to api.example.test.
func captured(address string) string {
	return "[upstream.api]\nurl = \"http://" + address + "\"\nhosts = [\"api.example.test\"]\nauth = { type = \"bearer\", token = \"env:KEY\" }\n"
}

// bothProtocols runs a test over HTTP/1.1 and over HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) { test(t, http2) })
	}
}

// What an application sends to https://api.example.test is a call like any
// other: credential, whole body, retries, trace.
func TestInterceptedCalls(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	var failures atomic.Int32
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		entry := got.note(r)
		switch r.URL.Path {
		case "/flaky":
			if failures.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		case "/away":
			http.Redirect(w, r, "https://elsewhere.example.test/", http.StatusFound)
			return
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s %d", entry.method, entry.uri, len(entry.body))
	})
	r := launch(t, captured(server.Listener.Addr().String())+"retry = { base = \"1ms\", cap = \"1ms\" }\n")
	bothProtocols(t, func(t *testing.T, http2 bool) {
		client := r.trusting(http2)
		failures.Store(0)
		got.take()
		request := func(method, path, body string, header http.Header) (*http.Response, string) {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, "https://api.example.test"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range header {
				req.Header[name] = values
			}
			return do(t, client, req)
		}
		large := strings.Repeat("x", 3<<20)
		for _, c := range []struct{ method, path, body, want string }{
			{"GET", "/a//b%2Fc?q=%zz", "", "GET /a//b%2Fc?q=%zz 0"},
			{"POST", "/x", "a=1", "POST /x 3"},
			{"POST", "/large", large, fmt.Sprintf("POST /large %d", len(large))},
			{"GET", "/flaky", "", "GET /flaky 0"},
		} {
			resp, body := request(c.method, c.path, c.body, http.Header{"Authorization": {"Bearer mine", "Bearer doubled"}})
			if resp.StatusCode != 200 || body != c.want || resp.ProtoMajor == 2 != http2 {
				t.Errorf("%s %s: got %s %d %q", c.method, c.path, resp.Proto, resp.StatusCode, body)
			}
			if resp.Header.Get("Outrider-Trace") == "" {
				t.Errorf("%s %s: no trace", c.method, c.path)
			}
			if attempts := resp.Header.Get("Outrider-Attempts"); c.path == "/flaky" && attempts != "2" {
				t.Errorf("%s %s: %q attempts", c.method, c.path, attempts)
			}
		}
		if resp, _ := request("GET", "/away", "", nil); resp.StatusCode != 302 || resp.Header.Get("Location") != "https://elsewhere.example.test/" {
			t.Errorf("a redirect came as %d %q", resp.StatusCode, resp.Header.Get("Location"))
		}
		if resp, body := request("GET", "/trailers", "", nil); body != "body" || resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("got %q with trailers %v", body, resp.Trailer)
		}
		for _, entry := range got.take() {
			if a := entry.header["Authorization"]; len(a) != 1 || a[0] != "Bearer sesame" {
				t.Errorf("%s got Authorization %q", entry.uri, a)
			}
		}
	})
	for _, call := range r.logged("call") {
		if call["method"] == "CONNECT" {
			t.Errorf("a connection that was opened was told as a call: %v", call)
		}
	}
}

// A connection is opened once, and then serves call after call.
func TestInterceptedConnectionIsKept(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launch(t, captured(server.Listener.Addr().String()))
	bothProtocols(t, func(t *testing.T, http2 bool) {
		client := r.trusting(http2)
		fresh := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				fresh++
			}
		}})
		for range 5 {
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.test/x", nil)
			do(t, client, req)
		}
		if fresh != 1 {
			t.Errorf("%d connections for five calls", fresh)
		}
	})
}

// Bytes flow both ways at once inside of an HTTP/2 stream, and trailers end it, as
// gRPC needs it.
func TestInterceptedStreamIsDuplex(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("the stream came with %v", r.Header)
		}
		w.Header().Set("Trailer", "Grpc-Status")
		defer w.Header().Set("Grpc-Status", "0")
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	})
	r := launch(t, server.document("api")+"hosts = [\"api.example.test\"]\n")
	body, lines := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://api.example.test/", body)
	req.Header = http.Header{"Te": {"trailers"}, "Content-Type": {"application/grpc"}}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(lines, "one\n")
	}()
	resp, err := r.trusting(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answers := bufio.NewReader(resp.Body)
	<-sent
	for _, word := range []string{"one", "two", "three"} {
		if word != "one" {
			_, _ = io.WriteString(lines, word+"\n")
		}
		if line, err := answers.ReadString('\n'); err != nil || line != "got "+word+"\n" {
			t.Fatalf("got %q %v", line, err)
		}
	}
	_ = lines.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("then %q %v", rest, err)
	}
	if status := resp.Trailer.Get("Grpc-Status"); status != "0" {
		t.Errorf("Grpc-Status is %q", status)
	}
}

// An upload that is refused early ends its stream; other calls of the connection
// do not notice.
func TestRefusedUploadEndsItsStreamOnly(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	r := launch(t, captured(server.Listener.Addr().String()))
	client := r.trusting(true)
	get(t, client, "https://api.example.test/")
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = append(reused, info.Reused) }})
	for range 3 {
		body, end := io.Pipe()
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://api.example.test/upload", body)
		go func() {
			for {
				if _, err := end.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		_ = body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d", resp.StatusCode)
		}
		req, _ = http.NewRequestWithContext(ctx, "GET", "https://api.example.test/", nil)
		if resp, _ := do(t, client, req); resp.StatusCode != 200 {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
	for i, kept := range reused {
		if !kept {
			t.Errorf("call %d needed another connection", i)
		}
	}
}

// Protocols that begin with an upgrade work inside, WebSocket above all.
func TestInterceptedUpgrade(t *testing.T) {
	t.Setenv("KEY", "sesame")
	address := rawUpstream(t, func(conn net.Conn, br *bufio.Reader) {
		if h := head(br); !strings.Contains(h, "Authorization: Bearer sesame\r\n") {
			t.Errorf("the upgrade came without the credential: %q", h)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		_, _ = io.Copy(conn, br)
	})
	r := launch(t, captured(address))
	conn := tls.Client(r.connect("api.example.test:443"), &tls.Config{RootCAs: r.roots(), ServerName: "api.example.test"})
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: api.example.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	_, _ = io.WriteString(conn, "late")
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(answer); err != nil || string(got) != "helloearly late" {
		t.Errorf("got %q %v", got, err)
	}
}

// A client may repeat inside of its connection where that leads, as one does that
// was told to send whole URLs to its proxy.
func TestInterceptedAbsoluteForm(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RequestURI+" "+r.Header.Get("Authorization"))
	})
	r := launch(t, captured(server.Listener.Addr().String()))
	for target, want := range map[string]string{
		"https://api.example.test/a%2Fb?q": "/a%2Fb?q", "HTTPS://API.example.test:443/": "/", "https://api.example.test?q": "/?q", "https://api.example.test": "/",
	} {
		conn := tls.Client(r.connect("api.example.test:443"), &tls.Config{RootCAs: r.roots(), ServerName: "api.example.test"})
		_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != want+" Bearer sesame" {
			t.Errorf("%s: got %d %q, want %s", target, resp.StatusCode, body, want)
		}
	}
}

// Inside of a connection to one host nobody gets to another: with the name of a
// second upstream, or of a stranger, the credential would go astray.
func TestHostSwapIsRefused(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) { got.note(r) })
	r := launch(t, captured(server.Listener.Addr().String())+
		"[upstream.other]\nurl = \"http://"+server.Listener.Addr().String()+"\"\nhosts = [\"other.example.test\"]\n")
	open := func(t *testing.T, protocols ...string) *tls.Conn {
		conn := tls.Client(r.connect("api.example.test:443"), &tls.Config{RootCAs: r.roots(), ServerName: "api.example.test", NextProtos: protocols})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, hosts := range []string{
		"GET / HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: api.example.test:80\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: api.example.test.evil.test\r\n\r\n",
		"GET http://api.example.test/ HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
		"GET https://api.example.test:80/ HTTP/1.1\r\nHost: api.example.test:80\r\n\r\n",
		"GET http://other.example.test/ HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
		"CONNECT other.example.test:443 HTTP/1.1\r\nHost: other.example.test:443\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
	} {
		t.Run("HTTP/1.1 "+strings.TrimSpace(strings.ReplaceAll(hosts, "\r\n", " ")), func(t *testing.T) {
			conn := open(t, "http/1.1")
			_, _ = io.WriteString(conn, hosts)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("got %v %v", resp, err)
			}
		})
	}
	for _, c := range []struct{ authority, host, path string }{
		{"other.example.test", "", "/"},
		{"evil.test", "", "/"},
		{"api.example.test:8443", "", "/"},
		{"api.example.test", "other.example.test", "/"},
		{"", "other.example.test", "/"},
	} {
		t.Run("HTTP/2 "+c.authority+" "+c.host, func(t *testing.T) {
			if status := http2Status(t, open(t, "h2"), c.authority, c.host, c.path); status != "421" && status != "400" && status != "RST" {
				t.Errorf("got %s", status)
			}
		})
	}
	// A target that would be two requests, once it goes out over HTTP/1.1.
	for _, path := range []string{"/x HTTP/1.1", "/x y", "/x#y", "/%zz", "http://other.example.test/", "*"} {
		t.Run("HTTP/2 path "+path, func(t *testing.T) {
			if status := http2Status(t, open(t, "h2"), "api.example.test", "", path); status == "200" {
				t.Errorf("got %s", status)
			}
		})
	}
	if entries := got.take(); len(entries) > 0 {
		t.Errorf("the upstream was asked: %v", entries)
	}
}

// http2Status sends one request, field by field, and gives the status of its
// answer; RST for a stream that was reset.
func http2Status(t *testing.T, conn net.Conn, authority, host, path string) string {
	t.Helper()
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	block := hpackBlock(":method", "GET", ":scheme", "https", ":path", path)
	if authority != "" {
		block = hpackBlock(":method", "GET", ":scheme", "https", ":path", path, ":authority", authority)
	}
	if host != "" {
		block = append(block, hpackBlock("host", host)...)
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			return hpackValue(t, f.HeaderBlockFragment(), ":status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "RST"
		}
	}
}

// A host of ours that cannot be opened is refused, and people are told why: left
// alone, its calls would go out without credential, quota and trace.
func TestWhatCannotBeOpenedIsRefused(t *testing.T) {
	t.Setenv("KEY", "sesame")
	var reached atomic.Int32
	server := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	r := launch(t, captured(server.Listener.Addr().String()))
	hello := func(config *tls.Config) func(net.Conn) {
		return func(conn net.Conn) {
			_ = tls.Client(conn, config).HandshakeContext(t.Context())
		}
	}
	for _, c := range []struct {
		name, reason string
		client       func(conn net.Conn)
	}{
		{"a client that does not trust us", "client-refused-ca", hello(&tls.Config{ServerName: "api.example.test", RootCAs: x509.NewCertPool()})},
		{"another name inside", "other-name", hello(&tls.Config{ServerName: "other.example.test", RootCAs: r.roots()})},
		{"a protocol that is not HTTP", "handshake", hello(&tls.Config{ServerName: "api.example.test", RootCAs: r.roots(), NextProtos: []string{"imap"}})},
		{"a client that hides the name", "encrypted-hello", hello(encryptedHello(t, r.roots()))},
		{"neither TLS nor HTTP", "not-tls", func(conn net.Conn) { _, _ = io.WriteString(conn, "\x00\x01\x02\x03") }},
		{"a handshake that breaks off", "client-left", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "\x16\x03\x01")
			_ = conn.(*net.TCPConn).CloseWrite()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := r.connect("api.example.test:443")
			c.client(conn)
			_, _ = io.Copy(io.Discard, conn) // to its end
			_ = conn.Close()
			eventually(t, "the refusal in the calls", func() (bool, string) {
				_, calls := r.ask("GET", "/api/calls")
				return strings.Contains(calls, `"error":"`+c.reason+":"), calls
			})
			_, metrics := r.ask("GET", "/metrics")
			if want := fmt.Sprintf(`outrider_interceptions_total{result=%q,upstream="api"} 1`, c.reason); !strings.Contains(metrics, want) {
				t.Errorf("no %s in the metrics", want)
			}
			told := false
			for _, line := range r.logged("a connection could not be opened, and was refused") {
				told = told || line["reason"] == c.reason && line["host"] == "api.example.test:443"
			}
			if !told {
				t.Errorf("the log does not say so:\n%s", r.log)
			}
		})
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the upstream was reached %d times", n)
	}
}

// encryptedHello is a client with Encrypted Client Hello: outside, it shows the
// public name of its provider.
func encryptedHello(t *testing.T, roots *x509.CertPool) *tls.Config {
	t.Helper()
	return &tls.Config{ServerName: "api.example.test", RootCAs: roots, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigList(t, "public.example.test")}
}

// With intercept = false the bytes pass as they are, to the provider's own
// certificate; there is nothing to put a credential on.
func TestInterceptionCanBeSwitchedOff(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	config, ca := certificate(t)
	address := tlsServer(t, config, func(w http.ResponseWriter, r *http.Request) { got.note(r) })
	upstreamOf := "[upstream.api]\nurl = \"https://" + address + "\"\nauth = { type = \"bearer\", token = \"env:KEY\" }\n"
	for name, document := range map[string]string{
		"for an upstream": upstreamOf + "intercept = false\n",
		"for all":         "[forward]\nintercept = false\n" + upstreamOf,
	} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, document)
			pem, _ := os.ReadFile(ca)
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			client := r.trusting(false)
			client.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
			if resp, _ := get(t, client, "https://"+address+"/x"); resp.StatusCode != 200 {
				t.Fatalf("got %d", resp.StatusCode)
			}
			entries := got.take()
			if len(entries) != 1 || entries[0].header.Get("Authorization") != "" {
				t.Errorf("the upstream got %v", entries)
			}
		})
	}
}

// Where there is no place for the authority, calls through CONNECT are refused
// with the reason; base URLs need none, and go on.
func TestNoPlaceForTheAuthority(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := launchData(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n", taken)+captured(server.Listener.Addr().String()))
	_, answer := r.raw("CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n")
	resp, err := http.ReadResponse(answer, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadGateway || slug(string(body)) != "interception-unavailable" || !strings.Contains(string(body), taken) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Errorf("a base URL answers %d", resp.StatusCode)
	}
	if _, metrics := r.ask("GET", "/metrics"); !strings.Contains(metrics, `outrider_interceptions_total{result="unavailable",upstream="api"} 1`) {
		t.Error("it is not counted with the others that were not opened")
	}
	if told := r.logged("a connection could not be opened, and was refused"); len(told) != 1 || !strings.Contains(fmt.Sprint(told[0]["detail"]), taken) {
		t.Errorf("the log says %v", told)
	}
}

// Every name below a wildcard has a certificate of its own, and one that is not
// below it has none.
func TestWildcardUpstream(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launch(t, strings.Replace(captured(server.Listener.Addr().String()), "api.example.test", "*.shops.test", 1))
	client := r.trusting(true)
	for i := range 20 {
		if resp, body := get(t, client, fmt.Sprintf("https://shop-%d.shops.test/x", i)); resp.StatusCode != 200 {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
	}
}

// A reload that names another host opens that one, too, under the same root.
func TestReloadOpensNewHosts(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	address := server.Listener.Addr().String()
	path := filepath.Join(t.TempDir(), "outrider.toml")
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir())
	write := func(document string) {
		if err := os.WriteFile(path, []byte(top+document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(captured(address))
	r := launchFile(t, path)
	client := r.trusting(true)
	if resp, _ := get(t, client, "https://api.example.test/"); resp.StatusCode != 200 {
		t.Fatalf("got %d", resp.StatusCode)
	}
	write(captured(address) + "[upstream.new]\nurl = \"http://" + address + "\"\nhosts = [\"new.example.test\"]\n")
	if status, body := r.ask("POST", "/reload"); status != 200 {
		t.Fatalf("reloading: %d %s", status, body)
	}
	for _, host := range []string{"api.example.test", "new.example.test"} {
		if resp, body := get(t, client, "https://"+host+"/"); resp.StatusCode != 200 {
			t.Errorf("%s: got %d %s", host, resp.StatusCode, body)
		}
	}
	write("")
	if status, body := r.ask("POST", "/reload"); status != 200 {
		t.Fatalf("reloading: %d %s", status, body)
	}
	// The connection to a host that is no longer named is open still. It said that
	// forward.unlisted was "deny", which it is not, and stayed open.
	resp, body := get(t, client, "https://api.example.test/")
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "any longer") || strings.Contains(body, "deny") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if resp, err := client.Get("https://api.example.test/"); err == nil { //nolint:noctx // it does not get far
		_ = resp.Body.Close()
		t.Errorf("another call on the same connection: %d", resp.StatusCode)
	}
}

// With intercept = false from a reload on, a connection that is open serves one
// more call. A client that keeps it would have gone on under our certificate for as
// long as it liked.
func TestReloadEndsOpenedConnections(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	path := filepath.Join(t.TempDir(), "outrider.toml")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir()) + captured(server.Listener.Addr().String())
	write := func(document string) {
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(document)
	r := launchFile(t, path)
	bothProtocols(t, func(t *testing.T, http2 bool) {
		client := r.trusting(http2)
		for i, intercept := range []bool{true, false} {
			write(document + fmt.Sprintf("intercept = %t\n", intercept))
			if status, body := r.ask("POST", "/reload"); status != 200 {
				t.Fatalf("reloading: %d %s", status, body)
			}
			if resp, body := get(t, client, "https://api.example.test/"); resp.StatusCode != 200 {
				t.Errorf("call %d: %d %s", i, resp.StatusCode, body)
			}
		}
		// The next connection is passed through, to where there is no such host.
		if resp, err := client.Get("https://api.example.test/"); err == nil { //nolint:noctx // it does not get far
			_ = resp.Body.Close()
			t.Errorf("the connection is still in use: %d", resp.StatusCode)
		}
	})
}

// A connection that its client opens and does not need, and one that we break off
// because we end, are no failures: they were told as clients that do not speak
// HTTP, and as handshakes that cannot be served.
func TestUnusedConnectionsAreNoFailures(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n", t.TempDir())+captured(server.Listener.Addr().String()))
	reset := r.connect("api.example.test:443")
	_ = reset.(*net.TCPConn).SetLinger(0)
	_ = reset.Close()
	eventually(t, "the end of the first", func() (bool, string) {
		n := r.server.Capture().Tunnels
		return n == 0, fmt.Sprint(n)
	})
	_ = r.connect("api.example.test:443")
	halfway := r.connect("api.example.test:443")
	_, _ = io.WriteString(halfway, "\x16\x03\x01\x01")
	if err := r.stop(t.Context()); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if told := r.logged("a connection could not be opened, and was refused"); len(told) > 0 {
		t.Errorf("the log says %v", told)
	}
}

// Connections by CONNECT are bounded, whatever becomes of them; one that ends
// makes room for another, and none leaves anything behind.
func TestConnectFlood(t *testing.T) {
	noGoroutineStays(t)
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	silent := rawUpstream(t, func(conn net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, conn) })
	r := launch(t, "[forward]\nmax_tunnels = 8\nallow_private = [\"127.0.0.0/8\"]\n"+captured(server.Listener.Addr().String()))
	var open []net.Conn
	for i := range 8 {
		authority := silent
		if i%2 == 0 {
			authority = "api.example.test:443"
		}
		open = append(open, r.connect(authority))
	}
	refused := func() int {
		_, answer := r.raw("CONNECT " + silent + " HTTP/1.1\r\nHost: " + silent + "\r\n\r\n")
		resp, err := http.ReadResponse(answer, &http.Request{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
			t.Error("refused without Retry-After")
		}
		return resp.StatusCode
	}
	var flood sync.WaitGroup
	for range 100 {
		flood.Go(func() {
			if status := refused(); status != http.StatusServiceUnavailable {
				t.Errorf("got %d", status)
			}
		})
	}
	flood.Wait()
	for _, conn := range open {
		_ = conn.Close()
	}
	eventually(t, "room for another connection", func() (bool, string) {
		n := r.server.Capture().Tunnels
		return n == 0, fmt.Sprint(n)
	})
	_ = r.connect(silent).Close()
	if resp, _ := get(t, r.trusting(true), "https://api.example.test/"); resp.StatusCode != 200 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// Connections that are open, idle, half-way through their handshake, or not used
// at all, do not hold up the end.
func TestDrainingEndsOpenedConnections(t *testing.T) {
	noGoroutineStays(t)
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n", t.TempDir())+captured(server.Listener.Addr().String()))
	bothProtocols(t, func(t *testing.T, http2 bool) { get(t, r.trusting(http2), "https://api.example.test/") })
	get(t, r.trusting(true), "https://api.example.test/")
	unused := r.connect("api.example.test:443")
	halfway := r.connect("api.example.test:443")
	_, _ = io.WriteString(halfway, "\x16\x03\x01\x01")
	if err := r.stop(t.Context()); err != nil {
		t.Errorf("stopping: %v", err)
	}
	for _, conn := range []net.Conn{unused, halfway} {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection is open still")
		}
	}
}

// tlsServer serves HTTP/1.1 under a certificate.
func tlsServer(t *testing.T, config *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// The access key guards the way in, and is asked for once for each connection.
func TestInterceptionAsksForTheKey(t *testing.T) {
	t.Setenv("KEY", "sesame")
	t.Setenv("ACCESS", "open")
	server := upstream(t, echoTarget)
	r := launchWith(t, `access_key = "env:ACCESS"`, captured(server.Listener.Addr().String()))
	_, answer := r.raw("CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n")
	if resp, err := http.ReadResponse(answer, &http.Request{Method: "GET"}); err != nil || resp.StatusCode != http.StatusProxyAuthRequired {
		t.Errorf("without a key: %v %v", resp, err)
	}
	client := r.trusting(true)
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.addresses[""], User: url.UserPassword("outrider", "open")})
	if resp, body := get(t, client, "https://api.example.test/x"); resp.StatusCode != 200 || strings.Contains(body, "open") {
		t.Errorf("with the key: %d %s", resp.StatusCode, body)
	}
}

// "observe" passes hosts through that no upstream names, and lists them.
func TestObservedHosts(t *testing.T) {
	config, ca := certificate(t)
	secure := tlsServer(t, config, echoTarget)
	plain := upstream(t, echoTarget).Listener.Addr().String()
	r := launch(t, "[forward]\nunlisted = \"observe\"\nallow_private = [\"127.0.0.0/8\"]\n")
	pem, _ := os.ReadFile(ca)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := r.trusting(false)
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
	for range 2 {
		get(t, client, "https://"+secure+"/x")
		get(t, client, "http://"+plain+"/x")
	}
	seen := r.server.Capture().Observed
	if len(seen) != 2 || seen[0].Host != plain || seen[0].Scheme != "http" || seen[0].Calls != 2 ||
		seen[1].Host != secure || seen[1].Scheme != "https" || seen[1].Calls != 1 {
		t.Errorf("observed %+v", seen)
	}
	_, status := r.ask("GET", "/api/status")
	if !bytes.Contains([]byte(status), []byte(secure)) {
		t.Errorf("the status does not list them: %s", status)
	}
}
