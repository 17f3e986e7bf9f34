package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	backlogInCI = 5_000 // letters; OUTRIDER_TEST_BACKLOG says how many otherwise

	// What a start may take, and a process whatever the backlog. They leave room for a machine
	// that is busy, and for the race detector, which takes several times the memory: the log has
	// what it took.
	startWithBacklog  = 2 * time.Second
	memoryWithBacklog = 512 << 20
)

// backlogSize is how many letters there are.
func backlogSize(t *testing.T) int {
	text := os.Getenv("OUTRIDER_TEST_BACKLOG")
	if text == "" {
		return backlogInCI
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("OUTRIDER_TEST_BACKLOG = %q: must be a number of 1 or more", text)
	}
	return n
}

// memoryOf is what a process has had in memory at most, in bytes.
func memoryOf(t testing.TB, pid int) (most int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscanf(value, "%d kB", &most); err != nil {
				t.Fatal(err)
			}
		}
	}
	return most << 10
}

// However many letters wait, Outrider is ready at once, and takes no more memory. The short
// version is one of many:
//
//	OUTRIDER_TEST_BACKLOG=1000000 go test ./proxy/cli -run BacklogHoldsUpNoStart -v -timeout 2h
func TestBacklogHoldsUpNoStart(t *testing.T) {
	letters := backlogSize(t)
	upstreamTaker := &taker{}
	upstreamTaker.down.Store(true)
	server := upstream(t, upstreamTaker.ServeHTTP)
	s := newStation(t, home(t, documentTaker(filepath.Join(t.TempDir(), "state"), server.URL)))
	file := batch(t, letters)
	before := time.Now()
	succeeds(t, "outbox", "import", "--config", s.config, file)
	took := time.Since(before)
	t.Logf("%d letters were imported in %s, %.0f a second", letters, took.Round(time.Millisecond), float64(letters)/took.Seconds())

	before = time.Now()
	s.up()
	if status := s.status(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	took = time.Since(before)
	t.Logf("it was ready after %s", took.Round(time.Millisecond))
	if took > startWithBacklog {
		t.Errorf("it was ready after %s; want %s", took, startWithBacklog)
	}

	upstreamTaker.down.Store(false)
	some := int64(min(letters, 2_000))
	before = time.Now()
	eventually(t, "that letters are sent", func() (bool, string) {
		return upstreamTaker.taken.Load() > 0, s.log.String()
	})
	begun, first := time.Now(), upstreamTaker.taken.Load()
	for deadline := time.After(settling); upstreamTaker.taken.Load() < some; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("only %d letters were sent", upstreamTaker.taken.Load())
		}
	}
	rate := float64(upstreamTaker.taken.Load()-first) / time.Since(begun).Seconds()
	most := memoryOf(t, s.cmd.Process.Pid)
	t.Logf("the first was sent after %s, then %.0f a second; it had %d MiB in memory at most", begun.Sub(before).Round(time.Millisecond), rate, most>>20)
	if most > memoryWithBacklog {
		t.Errorf("it had %d MiB in memory; want %d", most>>20, memoryWithBacklog>>20)
	}
}

// status asks the admin port of the process that runs.
func (s *station) status(t testing.TB, path string) int {
	t.Helper()
	s.mu.Lock()
	url := "http://" + s.admin + path
	s.mu.Unlock()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
