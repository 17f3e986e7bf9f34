package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// noGoroutineStays checks, after everything else of the test, that all
// goroutines which it started have ended.
func noGoroutineStays(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
}

// A call that is under way when the sidecar is told to stop gets its answer;
// whoever looks is told at once that no new ones are wanted.
func TestDrainingFinishesTheCallsUnderWay(t *testing.T) {
	noGoroutineStays(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	r := launchUnstopped(t, "", anyPorts+api(server.Listener.Addr().String()))
	if resp, _ := get(t, http.DefaultClient, r.url("/api/")); resp.StatusCode != 200 { // leaves a connection idle
		t.Fatalf("got %d", resp.StatusCode)
	}
	if status, body := r.ask("GET", "/readyz"); status != 200 {
		t.Fatalf("not ready to begin with: %d %s", status, body)
	}

	type result struct {
		status int
		body   string
		err    error
	}
	answer := make(chan result, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		resp, err := client.Get(r.url("/api/slow"))
		if err != nil {
			answer <- result{err: err}
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		answer <- result{resp.StatusCode, string(body), err}
	}()
	<-arrived

	stopped := make(chan error, 1)
	go func() { stopped <- r.stop(context.Background()) }()
	eventually(t, "503 of /readyz", func() (bool, string) {
		status, body := r.ask("GET", "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "draining"), fmt.Sprint(status, body)
	})
	if status, body := r.ask("GET", "/healthz"); status != 200 {
		t.Errorf("a draining sidecar is alive: /healthz says %d %s", status, body)
	}
	eventually(t, "the end of accepting", func() (bool, string) {
		conn, err := net.Dial("tcp", r.addresses[""])
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED), fmt.Sprint(err)
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a call under way: %v", err)
	default:
	}
	close(release)
	if got := <-answer; got.err != nil || got.status != 200 || got.body != "done" {
		t.Errorf("the call under way ended with %+v", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
	if lines := r.logged("call"); len(lines) != 2 {
		t.Errorf("the log has %d calls, want 2: the one under way was not told", len(lines))
	}
	if _, _, err := r.tryAsk("GET", "/healthz"); err == nil {
		t.Error("the admin port still answers")
	}
}

// graceOver is a grace that has passed already.
func graceOver() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
}

// Tunnels have no end of their own: they may go on during the grace, and are
// closed behind it, whatever their ends do.
func TestTunnelsEndWithTheGrace(t *testing.T) {
	noGoroutineStays(t)
	echo := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) { _, _ = io.Copy(conn, r) })
	deaf := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		// It never reads, so that what is sent to it piles up.
		_, _ = io.WriteString(conn, "x")
		<-t.Context().Done()
	})
	upgrading := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		h := head(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if strings.Contains(h, "/deaf") {
			<-t.Context().Done()
			return
		}
		_, _ = io.Copy(conn, r)
	})
	r := launchUnstopped(t, "", anyPorts+"[forward]\nallow_private = [\"127.0.0.0/8\"]\n"+api(upgrading))

	tunnel, tunnelAnswer := r.raw("CONNECT " + echo + " HTTP/1.1\r\nHost: " + echo + "\r\n\r\n")
	upgraded, upgradedAnswer := r.raw("GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	stuck, stuckAnswer := r.raw("CONNECT " + deaf + " HTTP/1.1\r\nHost: " + deaf + "\r\n\r\n")
	stuckToo, stuckTooAnswer := r.raw("GET /api/deaf HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	for _, answer := range []*bufio.Reader{tunnelAnswer, upgradedAnswer, stuckAnswer, stuckTooAnswer} {
		if h := head(answer); !strings.Contains(h, " 200 ") && !strings.Contains(h, " 101 ") {
			t.Fatalf("got %q", h)
		}
	}
	fill(stuck)
	fill(stuckToo)

	ctx, expire := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop(ctx) }()
	eventually(t, "draining", func() (bool, string) {
		status, _ := r.ask("GET", "/readyz")
		return status == 503, fmt.Sprint(status)
	})
	for name, both := range map[string]struct {
		conn   net.Conn
		answer *bufio.Reader
	}{"the tunnel": {tunnel, tunnelAnswer}, "the upgraded connection": {upgraded, upgradedAnswer}} {
		_, _ = io.WriteString(both.conn, "still here\n")
		if line, err := both.answer.ReadString('\n'); line != "still here\n" {
			t.Errorf("%s is closed within the grace: %q %v", name, line, err)
		}
	}
	expire()
	for name, answer := range map[string]*bufio.Reader{"the tunnel": tunnelAnswer, "the upgraded connection": upgradedAnswer} {
		if rest, err := io.ReadAll(answer); len(rest) > 0 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s goes on after the grace: %q %v", name, rest, err)
		}
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("stopping: %v; tunnels that the grace cuts are no failure", err)
		}
	case <-time.After(patience):
		t.Fatal("the sidecar does not end: a tunnel whose far end reads nothing holds it")
	}
}

// fill writes until nothing more is taken.
func fill(conn net.Conn) {
	block := make([]byte, 1<<20)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// A call whose upstream never answers does not outlive the grace, also when its
// client is in the middle of a body and nobody reads from it.
func TestCallsEndWithTheGrace(t *testing.T) {
	for name, request := range map[string]string{
		"without a body": "GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"with a body that goes on": "POST /api/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" +
			strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			noGoroutineStays(t)
			arrived := make(chan struct{})
			address := rawUpstream(t, func(_ net.Conn, r *bufio.Reader) {
				head(r)
				close(arrived)
				<-t.Context().Done()
			})
			r := launchUnstopped(t, "", anyPorts+api(address))
			conn, answer := r.raw("")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(conn, request) // more than all buffers take
			}()
			<-arrived
			ctx, cancel := graceOver()
			defer cancel()
			if err := r.stop(ctx); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "1 call was broken off: context deadline exceeded" {
				t.Errorf("stopping: %v, want that the grace was over", err)
			}
			if rest, err := io.ReadAll(answer); len(rest) > 0 && !strings.HasPrefix(string(rest), "HTTP/1.1 5") {
				t.Errorf("the client got %q %v", rest, err)
			}
			// It was told as one whose client had left.
			if lines := r.logged("call"); len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]), "class:broken-off") || !strings.Contains(fmt.Sprint(lines[0]), "status:0") {
				t.Errorf("the log has the calls %v, want the one that was broken off", lines)
			}
			<-sent
		})
	}
}

// So does an answer that streams, and the process says of how many calls
// it was, and why.
func TestStreamsAreBrokenOffByUs(t *testing.T) {
	noGoroutineStays(t)
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	r := launchUnstopped(t, "", anyPorts+api(server.Listener.Addr().String()))
	for range 2 {
		_, answer := r.raw("GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
		for line := ""; line != "begun\n"; {
			var err error
			if line, err = answer.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("terminated signal received"))
	if err := r.stop(ctx); err == nil || err.Error() != "2 calls were broken off: terminated signal received" {
		t.Errorf("stopping: %v", err)
	}
	lines := r.logged("call")
	if len(lines) != 2 {
		t.Errorf("the log has the calls %v", lines)
	}
	for _, line := range lines {
		if text := fmt.Sprint(line); !strings.Contains(text, "class:broken-off") || !strings.Contains(text, "status:200") {
			t.Errorf("the log says %s", text)
		}
	}
	if text := r.log.String(); strings.Contains(text, "token request") {
		t.Errorf("there is no token: %s", text)
	}
}

// Connections on which nothing happens, outside and inside of a CONNECT, and
// connections to an HTTP/2 upstream, are given up at once.
func TestIdleConnectionsDoNotHoldTheEndUp(t *testing.T) {
	noGoroutineStays(t)
	server := upstream(t, echoTarget)
	h2 := http2Upstream(t, echoTarget)
	r := launchUnstopped(t, "", anyPorts+api(server.Listener.Addr().String())+"hosts = [\"api.example.test\"]\n"+h2.document("two"))
	outer, outerAnswer := r.raw("GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\nGET /two/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	inner, innerAnswer := r.raw("CONNECT api.example.test:80 HTTP/1.1\r\nHost: api.example.test:80\r\n\r\nGET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n")
	if h := head(innerAnswer); !strings.Contains(h, " 200 ") {
		t.Fatalf("CONNECT: %q", h)
	}
	for _, answer := range []*bufio.Reader{outerAnswer, outerAnswer, innerAnswer} {
		resp, err := http.ReadResponse(answer, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	r.halt()
	for name, conn := range map[string]net.Conn{"outer": outer, "inner": inner} {
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("the %s connection is still open", name)
		}
	}
}
