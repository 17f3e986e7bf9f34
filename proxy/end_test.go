package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy"
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
// waited for.
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
	client := &http.Client{
		Timeout:   20 * time.Second,                         // which only ends a broken test
		Transport: &http.Transport{DisableKeepAlives: true}, // one takes its next call when all is told of the last
	}
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
type goneClient struct{ endless }

func (*goneClient) Write([]byte) (int, error) { return 0, errors.New("it is gone") }

// Of a client that left before a small answer the log said that all was well: what was written
// last was written when all had been told.
func TestClientThatIsGoneBeforeASmallAnswerIsTold(t *testing.T) {
	s := memoryServer(t, anUpstream, telemetry.Settings{LogOutput: io.Discard, Recent: 1})
	client := &goneClient{endless{request: []byte("GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"), left: 1, over: make(chan struct{})}}
	s.Serve(&onlyOne{client}, "", "127.0.0.1:8080")
	<-client.over
	calls := s.Telemetry.Recent(telemetry.Filter{})
	if len(calls) != 1 || calls[0].Class != policy.ClassClientGone || calls[0].Status != http.StatusOK {
		t.Errorf("told %+v", calls)
	}
}
