package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// socketClient speaks HTTP over a Unix socket.
func socketClient(t *testing.T, path string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// socketDir is short enough for the path of a socket, which t.TempDir is not
// everywhere.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outrider")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// All ways in work over sockets as they do over ports: base URLs, proxy requests,
// CONNECT, an upstream's own, and the admin port with the commands that ask it.
func TestListenersMayBeSockets(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	dir := socketDir(t)
	listen, admin, own := filepath.Join(dir, "o.sock"), filepath.Join(dir, "a.sock"), filepath.Join(dir, "u.sock")
	document := fmt.Sprintf("listen = \"unix:%s\"\nadmin = \"unix:%s\"\nstate_dir = %q\n", listen, admin, filepath.Join(dir, "state")) +
		captured(server.Listener.Addr().String()) + "listen = \"unix:" + own + "\"\n"
	r := launchUnstopped(t, "", document)

	for _, c := range []struct{ socket, url string }{
		{listen, "http://localhost/api/x"},
		{listen, "http://any.name.at.all/api/x"}, // nobody's DNS leads to a socket
		{own, "http://localhost/x"},
	} {
		resp, body := get(t, socketClient(t, c.socket), c.url)
		if resp.StatusCode != 200 || !strings.HasSuffix(body, "auth=Bearer sesame") || !strings.HasPrefix(body, "GET /x ") {
			t.Errorf("%s at %s: %d %s", c.url, c.socket, resp.StatusCode, body)
		}
	}
	for _, request := range []string{
		"GET http://api.example.test/x HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n",
		"CONNECT api.example.test:80 HTTP/1.1\r\nHost: api.example.test:80\r\n\r\nGET /x HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n",
	} {
		conn, err := net.Dial("unix", listen)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request)
		answer, _ := io.ReadAll(conn)
		if !bytes.Contains(answer, []byte("auth=Bearer sesame")) {
			t.Errorf("%q got %q", request, answer)
		}
	}

	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"status", "--admin", "unix:" + admin}, Stdout: &out, Stderr: &errs}); code != 0 {
		t.Errorf("status: %d %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "ready at unix:"+listen) {
		t.Errorf("status says %s", out.String())
	}

	for _, path := range []string{listen, admin, own} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != socketMode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	if err := r.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.sock")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Letters are reached at a socket by any name, and by the one that their call had.
func TestLettersAtASocket(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
	dir := socketDir(t)
	listen, own := filepath.Join(dir, "o.sock"), filepath.Join(dir, "u.sock")
	r := launchData(t, "", fmt.Sprintf("listen = \"unix:%s\"\nadmin = \"127.0.0.1:0\"\nstate_dir = %q\n", listen, filepath.Join(dir, "state"))+
		keeping(server.Listener.Addr().String(), "always")+"listen = \"unix:"+own+"\"\n")
	for _, c := range []struct{ socket, url, at string }{
		{listen, "http://localhost/api/x", "http://localhost/outbox/letters/"},
		{listen, "http://any.name/api/x", "http://any.name/outbox/letters/"},
		{listen, "http://api.localhost/x", "http://localhost/outbox/letters/"},
		{own, "http://any.name/x", "http://localhost/outbox/letters/"},
	} {
		resp, body := r.post(socketClient(t, c.socket), c.url, "x")
		kept := isKept(t, resp, body)
		if kept.Location != c.at+kept.ID {
			t.Errorf("%s at %s: it is said to be at %s", c.url, c.socket, kept.Location)
		}
		if view := r.look(socketClient(t, listen), kept.Location); view.State != "delivered" {
			t.Errorf("%s at %s: the letter is %+v", c.url, c.socket, view)
		}
		if resp, body := get(t, socketClient(t, listen), kept.Location+"/response"); resp.StatusCode != 200 || body != "done" {
			t.Errorf("%s at %s: the answer is %d %s", c.url, c.socket, resp.StatusCode, body)
		}
	}
}

// What a process left that was killed is no obstacle. What somebody answers at,
// or what is no socket, is.
func TestSocketThatIsThereAlready(t *testing.T) {
	dir := socketDir(t)
	stale := filepath.Join(dir, "stale.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
	again, err := listenAt("unix:" + stale)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if _, err := listenAt("unix:" + stale); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second listener: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenAt("unix:" + file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Error("the file is gone")
	}
}

// A socket that is busy was taken for one that a process left behind, and removed:
// to connect to it fails for a moment, and so it does where we have no right to.
func TestSocketThatIsBusyStays(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a full queue refuses connections, too")
	}
	path := filepath.Join(socketDir(t), "busy.sock")
	busy, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(busy) }()
	if err := errors.Join(syscall.Bind(busy, &syscall.SockaddrUnix{Name: path}), syscall.Listen(busy, 0)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // more than its queue takes
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			defer func() { _ = conn.Close() }()
		}
	}
	if listener, err := listenAt("unix:" + path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v %v", listener, err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the socket is gone")
	}
}

// check told base URLs such as http://unix:/run/outrider.sock/api/…, which nobody
// can call.
func TestCheckTellsHowToCallASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outrider.toml")
	document := "listen = \"unix:/run/outrider.sock\"\n[upstream.api]\nurl = \"https://api.example.test\"\n"
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"check", "--config", path}, Stdout: &out, Stderr: &errs}); code != 0 {
		t.Fatalf("%d %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "http://localhost/api/…, at unix:/run/outrider.sock\n") {
		t.Errorf("got %s", out.String())
	}
}
