//go:build unix

package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// settling is a safety net, as patience is: letters that failed are sent again after
// seconds, and those of a sender that died on another machine after half a minute.
const settling = 5 * time.Minute

// A station is an Outrider in a process of its own that ends in any way, and is started
// again on the same configuration.
type station struct {
	t      testing.TB
	config string
	log    *logBuffer // of all its processes

	cmd   *exec.Cmd
	ready chan struct{} // closed when the process is ready
	ended chan struct{} // closed when it has ended

	mu             sync.Mutex
	address, admin string // of the process that runs, once it is ready
}

func newStation(t testing.TB, config string) *station {
	s := &station{t: t, config: config, log: &logBuffer{}}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the end of its log:\n%s", lastLines(s.log.String(), 30))
		}
	})
	return s
}

// begin starts a process, and does not wait for it.
func (s *station) begin() {
	s.t.Helper()
	s.cmd = exec.CommandContext(s.t.Context(), os.Args[0], "-test.run=^TestBeOutrider$", "--", "run", "--config", s.config)
	s.cmd.Env = append(os.Environ(), "OUTRIDER_TEST_BE=1")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ready, s.ended = make(chan struct{}), make(chan struct{})
	go s.watch(s.cmd, log, s.ready, s.ended)
}

// watch reads the log of a process to its end.
func (s *station) watch(cmd *exec.Cmd, log io.Reader, ready, ended chan<- struct{}) {
	defer close(ended)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		fmt.Fprintln(s.log, lines.Text())
		var line struct{ Msg, Listen, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "outrider is ready" {
			s.mu.Lock()
			s.address, s.admin = line.Listen, line.Admin
			s.mu.Unlock()
			close(ready)
		}
	}
	_ = cmd.Wait() // how it ended is for who asked it to
}

// up starts a process, and waits until it is ready.
func (s *station) up() {
	s.t.Helper()
	s.begin()
	select {
	case <-s.ready:
	case <-s.ended:
		s.t.Fatalf("it ended before it was ready:\n%s", lastLines(s.log.String(), 10))
	}
}

// runs reports whether there is a process.
func (s *station) runs() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash does.
func (s *station) kill() {
	s.signal(syscall.SIGKILL)
	s.wait()
}

// end ends the process as an operator does.
func (s *station) end() {
	s.signal(syscall.SIGTERM)
	s.wait()
}

func (s *station) signal(signal os.Signal) {
	if s.runs() {
		_ = s.cmd.Process.Signal(signal)
	}
}

// wait waits for the end of the process, if there is one.
func (s *station) wait() {
	if s.cmd != nil {
		<-s.ended
	}
}

// url is a base URL of the process that runs.
func (s *station) url(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "http://" + s.address + path
}

// letter asks for a letter; nil: there is no such one.
func (s *station) letter(t testing.TB, id string) *outbox.View {
	t.Helper()
	var view outbox.View
	if !s.fetch(t, "/outbox/letters/"+id, &view) {
		return nil
	}
	return &view
}

// fetch reads JSON, and reports whether there was any.
func (s *station) fetch(t testing.TB, path string, into any) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.fetchBy(t, req, into)
}

func (s *station) fetchBy(t testing.TB, req *http.Request, into any) bool {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotFound {
		return false
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s: %s, %v", req.URL.Path, resp.Status, err)
	}
	return true
}

// quiet waits until a store has no letter in some states.
func quiet(t testing.TB, settings store.Settings, of ...string) {
	t.Helper()
	settings.Existing = true
	opened, err := store.Open(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	deadline := time.NewTimer(settling)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		counts, err := opened.Outbox().Counts(t.Context())
		left := slices.DeleteFunc(counts, func(c store.Count) bool { return c.Letters == 0 || !slices.Contains(of, c.State) })
		if err == nil && len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("the outbox does not come to rest: %v, %v", left, err)
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
