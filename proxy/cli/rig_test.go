package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy/config"
)

// patience is a safety net: no test is decided by it, a broken one ends by it.
const patience = 20 * time.Second

// launch runs a whole sidecar on ports of its own. document is what stands
// below the listeners.
func launch(t *testing.T, document string) *running {
	t.Helper()
	return launchWith(t, "", document)
}

// launchWith is launch, with keys of the top level.
func launchWith(t *testing.T, top, document string) *running {
	t.Helper()
	data := []byte(anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir()) + top + "\n" + document)
	file, err := config.Parse("test.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	s, err := start(t.Context(), "", data, file, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.stop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return &running{sidecar: s, t: t, log: log}
}

type running struct {
	*sidecar
	t   *testing.T
	log *logBuffer
}

// url is a base URL: r.url("/api/x").
func (r *running) url(path string) string { return "http://" + r.addresses[""] + path }

// proxyClient is a client that uses the sidecar as its proxy.
func (r *running) proxyClient() *http.Client {
	proxy := &url.URL{Scheme: "http", Host: r.addresses[""]}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableCompression: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// raw opens a connection, sends text, and gives a reader of the answer.
func (r *running) raw(text string) (net.Conn, *bufio.Reader) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addresses[""])
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// logBuffer collects the log of a sidecar.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// upstream is a server that hands every request to a function.
func upstream(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// rawUpstream is a server that sees and says bytes: each connection is handed
// to a function, which has to end by itself.
func rawUpstream(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(patience))
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

// head reads a request head, as it came.
func head(r *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// get makes a call and reads its whole answer.
func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, req)
}

func do(t *testing.T, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the body: %v", err)
	}
	return resp, string(body)
}
