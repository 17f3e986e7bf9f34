package cli

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A tlsUpstream is an upstream that speaks HTTP/2 where its client can.
type tlsUpstream struct {
	*httptest.Server
	ca string // file of the authority to trust
}

func http2Upstream(t *testing.T, handler http.HandlerFunc) *tlsUpstream {
	t.Helper()
	config, ca := certificate(t)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return &tlsUpstream{server, ca}
}

// document is an [upstream.NAME] for it.
func (u *tlsUpstream) document(name string) string {
	return fmt.Sprintf("[upstream.%s]\nurl = %q\nca_file = %q\n", name, u.URL, u.ca)
}

func TestHTTP2Upstream(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	next := make(chan struct{})
	var busy atomic.Int32
	server := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s came as %s", r.URL, r.Proto)
		}
		switch r.URL.Path {
		case "/events":
			for i := range 3 {
				_, _ = fmt.Fprintf(w, "event %d\n", i)
				_ = http.NewResponseController(w).Flush()
				<-next
			}
			return
		case "/busy":
			if busy.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		entry := got.note(r)
		w.Header().Set("Trailer", "X-After")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		_, _ = fmt.Fprintf(w, "%s %s %s", entry.method, entry.uri, entry.body)
		w.Header().Set("X-After", "got "+r.Trailer.Get("X-Sum"))
	})
	r := launch(t, server.document("two")+"hosts = [\"two.example.test\"]\nauth = { type = \"bearer\", token = \"env:KEY\" }\nretry = { attempts = 3, base = \"1ms\", cap = \"2ms\" }\n")

	t.Run("target, header, body, trailers", func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/two/a//b%2Fc/../d?x=%7e&&y"), io.MultiReader(strings.NewReader("some body")))
		req.Trailer = http.Header{"X-Sum": {"42"}}
		req.Header.Set("Connection", "X-Hop")
		req.Header.Set("X-Hop", "1")
		req.Header.Set("Cookie", "c=1; d=2")
		resp, body := do(t, http.DefaultClient, req)
		if want := "POST /a//b%2Fc/../d?x=%7e&&y some body"; resp.StatusCode != 200 || body != want {
			t.Errorf("got %d %q, want %q", resp.StatusCode, body, want)
		}
		if resp.Trailer.Get("X-After") != "got 42" || len(resp.Header["Set-Cookie"]) != 2 || resp.Proto != "HTTP/1.1" {
			t.Errorf("got %s with %v and trailers %v", resp.Proto, resp.Header, resp.Trailer)
		}
		header := got.take()[0].header
		if header.Get("Authorization") != "Bearer sesame" || header.Get("X-Hop") != "" || header.Get("Cookie") != "c=1; d=2" {
			t.Errorf("the upstream got %v", header)
		}
	})
	t.Run("retries", func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", r.url("/two/busy"), strings.NewReader("again"))
		resp, body := do(t, http.DefaultClient, req)
		requests := got.take()
		if resp.StatusCode != 200 || body != "PUT /busy again" || resp.Header.Get("Outrider-Attempts") != "3" || len(requests) != 3 {
			t.Errorf("got %d %q after %s, the upstream got %d", resp.StatusCode, body, resp.Header.Get("Outrider-Attempts"), len(requests))
		}
		for i, request := range requests {
			if request.body != "again" {
				t.Errorf("request %d has the body %q", i+1, request.body)
			}
		}
	})
	t.Run("streams", func(t *testing.T) {
		resp, err := http.Get(r.url("/two/events"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		events := bufio.NewReader(resp.Body)
		for i := range 3 {
			if line, err := events.ReadString('\n'); line != fmt.Sprintf("event %d\n", i) {
				t.Fatalf("event %d: %q %v", i, line, err)
			}
			next <- struct{}{}
		}
	})
	t.Run("as a proxy: plain towards us, TLS towards the upstream", func(t *testing.T) {
		resp, body := get(t, r.proxyClient(), "http://two.example.test/x?q")
		requests := got.take()
		if resp.StatusCode != 200 || body != "GET /x?q " || len(requests) != 1 || requests[0].header.Get("Authorization") != "Bearer sesame" {
			t.Errorf("got %d %q, the upstream got %v", resp.StatusCode, body, requests)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := http.Head(r.url("/two/head"))
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("got %v %v", resp, err)
		}
	})
}

// HTTP/2 has no Upgrade: a WebSocket goes to the same upstream over a connection
// of its own, which speaks HTTP/1.1.
func TestUpgradeAtAnHTTP2UpstreamIsHTTP1(t *testing.T) {
	config, ca := certificate(t)
	config.NextProtos = []string{"h2", "http/1.1"}
	address := rawUpstream(t, func(conn net.Conn, _ *bufio.Reader) {
		secure := tls.Server(conn, config)
		in := bufio.NewReader(secure)
		h := head(in)
		protocol := secure.ConnectionState().NegotiatedProtocol
		if protocol == "h2" || !strings.Contains(h, "Upgrade: websocket\r\n") {
			_, _ = fmt.Fprintf(secure, "HTTP/1.1 400 %s\r\nContent-Length: 0\r\n\r\n", protocol)
			return
		}
		_, _ = io.WriteString(secure, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := in.ReadString('\n')
		_, _ = fmt.Fprintf(secure, "%s said over %s", strings.TrimSpace(line), protocol)
		_ = secure.Close()
	})
	r := launch(t, fmt.Sprintf("[upstream.api]\nurl = \"https://%s\"\nca_file = %q\n", address, ca))
	conn, answer := r.raw("GET /api/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 101 ") {
		t.Fatalf("got %q", h)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if all, err := io.ReadAll(answer); string(all) != "hello said over http/1.1" || err != nil {
		t.Errorf("got %q %v", all, err)
	}
}
