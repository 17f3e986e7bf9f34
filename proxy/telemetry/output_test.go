package telemetry_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/telemetry"
)

// calls ends calls at once, whose paths are numbered from first on.
func (r *rig) calls(first, n int) {
	for i := range n {
		_, span := r.StartCall(httptest.NewRequest("GET", "/x", nil), "base-url")
		span.End(&telemetry.Outcome{Method: "GET", Host: "crm.test", Path: fmt.Sprint("/", first+i), Status: 200})
	}
}

// logged reads the numbers of the calls that were logged, "other" standing for other lines.
func (r *rig) logged(t *testing.T) (paths []string) {
	t.Helper()
	for line := range strings.Lines(r.log.String()) {
		var record struct{ Msg, Path string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if record.Msg != "call" {
			record.Path = "other"
		}
		paths = append(paths, record.Path)
	}
	return paths
}

func TestLinesOfFewCallsAreWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{AccessLog: true})
		for i := range 60 {
			r.calls(i, 1)
			if n := len(r.logged(t)); n != i+1 {
				t.Fatalf("after call %d there are %d lines", i+1, n)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestLinesOfManyCallsWaitATenthOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{AccessLog: true})
		r.calls(0, 20)
		if n := len(r.logged(t)); n != 10 {
			t.Errorf("%d lines at once, want 10", n)
		}
		time.Sleep(100*time.Millisecond - 1)
		synctest.Wait()
		if n := len(r.logged(t)); n != 10 {
			t.Errorf("%d lines before the tenth of a second is over, want 10", n)
		}
		time.Sleep(1)
		synctest.Wait()
		if n := len(r.logged(t)); n != 20 {
			t.Errorf("%d lines after it, want 20", n)
		}
		r.calls(20, 1)
		if n := len(r.logged(t)); n != 21 {
			t.Error("the next line is not written at once")
		}
		inOrder(t, r.logged(t))
	})
}

// A file takes more in one piece than a pipe does.
func TestMoreLinesWaitForAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		tel, err := telemetry.New(t.Context(), telemetry.Settings{AccessLog: true, LogOutput: file})
		if err != nil {
			t.Fatal(err)
		}
		defer tel.Shutdown(t.Context())
		r := &rig{Telemetry: tel}
		written := func() int {
			r.Flush()
			text, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(text), "\n")
		}
		r.calls(0, 100)
		if n := written(); n != 10 {
			t.Errorf("%d lines at once, want 10", n)
		}
		r.calls(100, 900)
		if waiting := 1000 - written(); waiting == 0 || waiting > 65536/200 {
			t.Errorf("%d lines wait, of some 250 bytes", waiting)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := written(); n != 1000 {
			t.Errorf("%d lines, want 1000", n)
		}
	})
}

// What waits goes into a pipe in one piece, so that it does not come between the lines of
// another process there.
func TestLinesThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{AccessLog: true})
		const calls = 1000
		r.calls(0, calls)
		if waiting := calls - len(r.logged(t)); waiting == 0 || waiting > 4096/200 {
			t.Errorf("%d lines wait, of some 250 bytes", waiting)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := len(r.logged(t)); n != calls {
			t.Errorf("%d lines of %d calls", n, calls)
		}
		inOrder(t, r.logged(t))
	})
}

// Whatever else is logged comes after the calls that were before it, and at once: it may be
// the last that is.
func TestNothingIsLoggedBeforeTheCallsBeforeIt(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true})
	r.calls(0, 30)
	r.Flush()
	r.Logger().Warn("a warning")
	lines := r.logged(t)
	if len(lines) != 31 || lines[30] != "other" {
		t.Fatalf("logged are %v", lines)
	}
	inOrder(t, lines[:30])
}

func TestEndWritesTheLinesThatWait(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true})
	r.calls(0, 30)
	r.Shutdown(t.Context())
	if n := len(r.logged(t)); n != 30 {
		t.Errorf("%d lines after the end, want 30", n)
	}
	r.calls(30, 20) // of those who were late
	if n := len(r.logged(t)); n != 50 {
		t.Errorf("%d lines, want each at once after the end", n)
	}
}

func TestLinesOfCallsAtOneTimeStayWhole(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r.calls(0, 300)
			r.Logger().Info("something else")
		})
	}
	all.Wait()
	r.Shutdown(t.Context())
	if n := len(r.logged(t)); n != 8*301 {
		t.Errorf("%d lines, want %d", n, 8*301)
	}
}

func inOrder(t *testing.T, paths []string) {
	t.Helper()
	for i, path := range paths {
		if path != fmt.Sprint("/", i) {
			t.Fatalf("line %d is of call %s", i, path)
		}
	}
}
