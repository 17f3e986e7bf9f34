package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/egress"
	"outrider/proxy/telemetry"
)

const anUpstream = "[upstream.api]\nurl = \"http://api.test/v1\"\n"

// A slowLog is an output for the log that takes nothing until it is opened.
type slowLog struct {
	open    chan struct{}
	written strings.Builder
}

func (l *slowLog) Write(p []byte) (int, error) {
	<-l.open
	return l.written.Write(p)
}

// The log and the spans of a call were written before the last of its answer, which its client
// waited for; and then, before its next call was read.
func TestAnswerDoesNotWaitForWhatIsToldOfItsCall(t *testing.T) {
	log := &slowLog{open: make(chan struct{})}
	s := memoryServer(t, anUpstream, telemetry.Settings{LogOutput: log, AccessLog: true})
	open := sync.OnceFunc(func() { close(log.open) })
	t.Cleanup(open)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(listener, "", listener.Addr().String())
	client := &http.Client{Timeout: 20 * time.Second} // which only ends a broken test
	for _, path := range []string{"/api/x", "/nobody/x"} {
		resp, err := client.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		_ = resp.Body.Close()
	}
	open()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if lines := log.written.String(); strings.Count(lines, `"msg":"call"`) != 2 {
		t.Errorf("the log says %s", lines)
	}
}

// A goneClient is one that sends a request, and takes no byte of the answer.
type goneClient struct {
	endless
	close func()
}

func (*goneClient) Write([]byte) (int, error) { return 0, errors.New("it is gone") }

func (c *goneClient) Close() error { c.close(); return nil }

// Of a client that left before a small answer the log said that all was well: what was written
// last was written when all had been told. An answer of our own is told as before: why it was
// given does not depend on who reads it.
func TestClientThatIsGoneBeforeASmallAnswerIsTold(t *testing.T) {
	for path, want := range map[string]struct {
		class   policy.Class
		status  int
		problem string
	}{
		"/api/x":    {policy.ClassClientGone, http.StatusOK, ""},
		"/nobody/x": {policy.ClassLocal, http.StatusNotFound, "unknown-upstream"},
	} {
		s := memoryServer(t, anUpstream, telemetry.Settings{LogOutput: io.Discard, Recent: 1})
		over := make(chan struct{})
		client := &goneClient{endless{request: []byte("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"), left: 1}, sync.OnceFunc(func() { close(over) })}
		s.Serve(&onlyOne{client}, "", "127.0.0.1:8080")
		<-over
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		calls := s.Telemetry.Recent(telemetry.Filter{})
		if len(calls) != 1 || calls[0].Class != want.class || calls[0].Status != want.status || calls[0].Problem != want.problem {
			t.Errorf("%s: told %+v, want %+v", path, calls, want)
		}
	}
}

// defective is an upstream whose answer has no length, and meets a defect of ours behind its
// first bytes.
type defective struct{ read bool }

func (d *defective) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: d, ContentLength: -1, Request: r}, nil
}

func (d *defective) Read(p []byte) (int, error) {
	if d.read {
		panic("a defect")
	}
	d.read = true
	return copy(p, "half of it"), nil
}

func (d *defective) Close() error { return nil }

// To a client of HTTP/1.0 the end of the connection is that of the answer, so that it took half
// of one for the whole.
func TestDefectBehindAHeadIsSeenByAnOldClient(t *testing.T) {
	s := serverTo(t, &defective{}, anUpstream, telemetry.Settings{LogOutput: io.Discard})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(listener, "", listener.Addr().String())
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/x HTTP/1.0\r\nHost: "+listener.Addr().String()+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it got %q, and then %v", got, err)
	}
	_ = conn.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// over is a transport to a network whose peers answer by a function.
func over(t *testing.T, answer func(req *http.Request, conn net.Conn)) http.RoundTripper {
	t.Helper()
	transport, err := egress.New(egress.Settings{Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer func() { _ = far.Close() }()
			for r := bufio.NewReader(far); ; {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				answer(req, far)
			}
		}()
		return near, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// The transport follows the contexts of its calls from a tenth of a second on. A clock of the
// policies that is shorter has to end its call in its own time.
func TestShortClocksAreKeptToTheMoment(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	for _, limit := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond, time.Second} {
		for setting, says := range map[string]string{"timeout": "", "attempt_timeout": "", "idle_timeout": head + "he"} {
			synctest.Test(t, func(t *testing.T) {
				stalls := over(t, func(_ *http.Request, conn net.Conn) { _, _ = io.WriteString(conn, says) })
				s := serverTo(t, stalls, anUpstream+"retry.attempts = 1\n"+setting+" = \""+limit.String()+"\"\n", telemetry.Settings{LogOutput: io.Discard})
				near, far := net.Pipe()
				s.Serve(&onlyOne{far}, "", "127.0.0.1:8080")
				began := time.Now()
				_, _ = io.WriteString(near, "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(near), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if took := time.Since(began); took != limit || (says == "") != (resp.StatusCode == http.StatusGatewayTimeout) || (says == "") != (err == nil) {
					t.Errorf("%s = %v: %s after %v, %v: %s", setting, limit, resp.Status, took, err, body)
				}
				_ = near.Close()
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Of two requests at a time the call has the answer of the one that wins when the other has
// ended: that one has to be broken off at once, however young it is.
func TestHedgedCallDoesNotWaitForItsLoser(t *testing.T) {
	const silent = -1
	for name, c := range map[string]struct {
		answers [2]time.Duration // to the two requests of the last call
		want    time.Duration
	}{
		"the second wins": {[2]time.Duration{silent, time.Millisecond}, 11 * time.Millisecond},
		"the first wins":  {[2]time.Duration{15 * time.Millisecond, silent}, 15 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int64 // of the last call
			transport := over(t, func(req *http.Request, conn net.Conn) {
				after := 10 * time.Millisecond
				if req.URL.Path == "/v1/last" {
					after = c.answers[requests.Add(1)-1]
				}
				if after != silent {
					time.Sleep(after)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			s := serverTo(t, transport, anUpstream+"hedge = true\n", telemetry.Settings{LogOutput: io.Discard})
			near, far := net.Pipe()
			s.Serve(&onlyOne{far}, "", "127.0.0.1:8080")
			heard := bufio.NewReader(near)
			call := func(path string) time.Duration {
				began := time.Now()
				_, _ = io.WriteString(near, "GET /api/"+path+" HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
				resp, err := http.ReadResponse(heard, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatal(resp, err)
				}
				return time.Since(began)
			}
			for range 20 { // until it is known how long an answer takes
				call("usual")
			}
			if took := call("last"); took != c.want || requests.Load() != 2 {
				t.Errorf("%s: after %v, of %d requests; want %v, of 2", name, took, requests.Load(), c.want)
			}
			_ = near.Close()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
