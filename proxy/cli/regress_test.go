package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
)

// quick is an upstream whose clocks are short.
func quick(address string) string {
	return api(address) + "attempt_timeout = \"100ms\"\nidle_timeout = \"400ms\"\n"
}

// A client that announced a body and fell silent kept its call, and the memory
// for its body, for ever: 256 of them took all that is there for replays.
func TestSilentClientIsToldSo(t *testing.T) {
	address, _ := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := launch(t, quick(address))
	_, answer := r.raw("POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 408 ") || !strings.Contains(h, "Connection: close\r\n") {
		t.Errorf("got %q, want 408 and the end of the connection", h)
	}
	if _, err := io.Copy(io.Discard, answer); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
}

// A client that paused in the middle of its upload was answered 504, and the
// pause was held against the upstream, whose circuit opened.
func TestPauseInAnUploadIsNotTheUpstreams(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		head(r)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "0\r\n" {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				return
			}
		}
	})
	const rest = "retry = { attempts = 1 }\n[upstream.api.circuit]\nmin_calls = 1\n"
	r := launch(t, api(address)+"attempt_timeout = \"100ms\"\n"+rest)
	const begin = "POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

	conn, answer := r.raw(begin)
	pause(t, 250*time.Millisecond) // longer than attempt_timeout
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Errorf("a pause was answered with %q, want 200", h)
	}

	r = launch(t, quick(address)+rest)
	_, answer = r.raw(begin)
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 408 ") {
		t.Errorf("silence was answered with %q, want 408", h)
	}
	if circuits := r.live.Load().Status()[0].Circuits; len(circuits) != 1 || circuits[0].State != "closed" {
		t.Errorf("the circuit is %+v, want closed: it was the client", circuits)
	}
}

// pause lets real time pass, which a real socket needs; nothing is decided by
// how long it takes.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// An answer may come before the end of the request. The client that does not
// send the rest kept the connection, and with it a drain, for ever.
func TestRestOfAnAnsweredUploadIsNotAwaited(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		head(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	r := launch(t, api(address))
	_, answer := r.raw("POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 413 ") || !strings.Contains(h, "Connection: close\r\n") {
		t.Errorf("got %q, want 413 and the end of the connection", h)
	}
	if _, err := io.Copy(io.Discard, answer); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
}

// A client that does not read its answer kept the connection to the upstream,
// and a turn of a limit by concurrency, for ever.
func TestClientThatDoesNotReadLosesItsAnswer(t *testing.T) {
	over := make(chan struct{})
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		defer close(over)
		head(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		for {
			if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	r := launch(t, quick(address))
	r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case <-over:
	case <-time.After(patience / 2):
		t.Error("the upstream still sends")
	}
}

// What Outrider says about a call is Outrider's alone to say.
func TestUpstreamDoesNotSpeakForOutrider(t *testing.T) {
	address, _ := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nOutrider-Attempts: 7\r\noutrider-wait: 9\r\nOutrider-Trace: forged\r\nOutrider-Letter: forged\r\n\r\n")
	r := launch(t, api(address))
	_, answer := r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if h := strings.ToLower(head(answer)); strings.Contains(h, "outrider-attempts") || strings.Contains(h, "outrider-wait") || strings.Contains(h, "forged") {
		t.Errorf("got %q", h)
	}
}

// RFC 9110 section 8.6 has no length for a 204. A client that goes by it would
// take the next answer for a body.
func TestNoContentHasNoLength(t *testing.T) {
	address, _ := answering(t, "HTTP/1.1 204 No Content\r\nContent-Length: 40\r\nX: y\r\n\r\n")
	r := launch(t, api(address))
	_, answer := r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if h := head(answer); strings.Contains(strings.ToLower(h), "content-length") || !strings.Contains(h, "X: y\r\n") {
		t.Errorf("got %q", h)
	}
}

// TRACE comes back as it went out, so with the credential in it.
func TestTraceDoesNotShowTheCredential(t *testing.T) {
	t.Setenv("REGRESS_KEY", "canary")
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		h := head(r)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(h), h)
	})
	r := launch(t, api(address)+"auth = { type = \"bearer\", token = \"env:REGRESS_KEY\" }\n")
	_, answer := r.raw("TRACE /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	all, _ := io.ReadAll(answer)
	if !strings.HasPrefix(string(all), "HTTP/1.1 403 ") || strings.Contains(string(all), "canary") {
		t.Errorf("got %q, want 403", all)
	}
}

// A page of another site can make a browser send requests to loopback. Without
// the access key, which it does not know, it must not spend our credentials.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	address, heads := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := launch(t, api(address))
	for _, c := range []struct{ header, want string }{
		{"Sec-Fetch-Site: cross-site", "403"},
		{"Sec-Fetch-Site: same-site", "200"}, // another port of localhost: the developer's own page
		{"Sec-Fetch-Site: none", "200"},      // typed into the address bar
		{"Origin: https://app.example.com", "200"},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: https://evil.example.com", "403"},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://localhost:3000", "200"},
		{"Connection: Upgrade\r\nUpgrade: websocket", "200"},
	} {
		_, answer := r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\n" + c.header + "\r\n\r\n")
		if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 "+c.want+" ") {
			t.Errorf("%s: got %q, want %s", c.header, h, c.want)
		}
		if c.want == "200" {
			<-heads
		}
	}
}

// A port of an upstream's own serves that upstream, and is no proxy to others.
func TestOwnPortIsNoProxy(t *testing.T) {
	own, _ := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := launch(t, api(own)+"listen = \"127.0.0.1:0\"\n[upstream.other]\nurl = \"http://other.test\"\n")
	for _, line := range []string{
		"GET http://other.test/x HTTP/1.1\r\nHost: other.test",
		"CONNECT other.test:80 HTTP/1.1\r\nHost: other.test:80",
	} {
		conn, err := net.Dial("tcp", r.addresses["api"])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, line+"\r\n\r\n")
		if h := head(bufio.NewReader(conn)); !strings.HasPrefix(h, "HTTP/1.1 421 ") {
			t.Errorf("%s: got %q, want 421", line, h)
		}
	}
	if resp, _ := get(t, http.DefaultClient, "http://"+r.addresses["api"]+"/x"); resp.StatusCode != 200 {
		t.Errorf("the upstream itself: %s", resp.Status)
	}
}

// An upgrade that comes with a body leaves it open where the body ends.
func TestUpgradeWithABodyIsAPlainCall(t *testing.T) {
	address, heads := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	r := launch(t, api(address))
	_, answer := r.raw("POST /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
		t.Errorf("got %q", h)
	}
	if h := <-heads; strings.Contains(h, "Upgrade") {
		t.Errorf("the upstream got %q", h)
	}
}

// While one command ran, for as long as it liked, no call could read a file.
func TestSlowCommandHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	gate, file := filepath.Join(dir, "gate"), filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("mkfifo", gate).Run(); err != nil {
		t.Skip("no named pipes: ", err)
	}
	s := newSecrets()
	slow := make(chan string)
	go func() {
		value, _ := s.get(config.Reference("exec:cat " + gate))
		slow <- value
	}()
	writer, err := os.OpenFile(gate, os.O_WRONLY, 0) // waits until the command reads
	if err != nil {
		t.Fatal(err)
	}
	if value, err := s.get(config.Reference("file:" + file)); err != nil || value != "here" {
		t.Errorf("the file gave %q %v", value, err)
	}
	_, _ = writer.WriteString("slow\n")
	_ = writer.Close()
	if value := <-slow; value != "slow" {
		t.Errorf("the command gave %q", value)
	}
}

// To an HTTP/1.0 client, nginx for one, the end of the connection is the end of
// the body: half a body looked whole.
func TestBrokenBodyIsAnErrorToAnOldClient(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		head(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n")
	})
	r := launch(t, api(address))
	_, answer := r.raw("GET /api/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
	if all, err := io.ReadAll(answer); err == nil {
		t.Errorf("got %q as a whole body", all)
	}
}

// A trailer that has the name of a header came with the header's value, too.
func TestTrailerOfAHeadersName(t *testing.T) {
	address, _ := answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\nX-A: head\r\n\r\n2\r\nhi\r\n0\r\nX-A: tail\r\n\r\n")
	r := launch(t, api(address))
	resp, _ := get(t, http.DefaultClient, r.url("/api/x"))
	if h, tail := resp.Header["X-A"], resp.Trailer["X-A"]; len(h) != 1 || h[0] != "head" || len(tail) != 1 || tail[0] != "tail" {
		t.Errorf("header %q, trailer %q", h, tail)
	}
}
