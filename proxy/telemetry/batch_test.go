package telemetry_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/telemetry"
)

// gather has the lines of its log be there as they are written, and says how many are.
func gather(t *testing.T, s telemetry.Settings) (r *rig, lines func() int) {
	t.Helper()
	r = newRig(t, s)
	r.log.of = nil // who looks at the log does not ask for the rest
	return r, func() int { return len(r.logged(t)) }
}

// To tell of calls took a third of what they cost where these are seldom, and clients whose
// calls were ready at the same time waited for it.
func TestCallsAreToldOfTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, lines := gather(t, telemetry.Settings{AccessLog: true})
		for i := range 3 {
			r.calls(i, 1)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2*time.Millisecond - 1)
		synctest.Wait()
		if n := lines(); n != 0 {
			t.Errorf("%d lines before 5 ms", n)
		}
		time.Sleep(1)
		synctest.Wait()
		if n := lines(); n != 3 {
			t.Errorf("%d lines after 5 ms, want 3", n)
		}
		inOrder(t, r.logged(t))
		r.calls(3, 1)
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		if n := lines(); n != 4 {
			t.Errorf("%d lines, want the fourth after 5 ms more", n)
		}
	})
}

// Many that have ended do not wait.
func TestManyCallsAreToldOfAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, lines := gather(t, telemetry.Settings{AccessLog: true})
		r.calls(0, 127)
		if n := lines(); n != 0 {
			t.Errorf("%d lines", n)
		}
		r.calls(127, 1)
		synctest.Wait()
		r.Logger().Info("something else") // before which the lines are written that are there
		if n := lines(); n != 129 {
			t.Errorf("%d lines, want all", n)
		}
	})
}

// A stuck log takes nothing until it is read.
type stuck struct {
	read    chan struct{} // closed: all is
	mu      sync.Mutex
	written strings.Builder
}

func (l *stuck) Write(b []byte) (int, error) {
	<-l.read
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written.Write(b)
}

// behindStuck is a rig whose log is stuck, with a call that is being told of.
func behindStuck(t *testing.T) (*rig, *stuck) {
	t.Helper()
	clearEnvironment(t)
	log := &stuck{read: make(chan struct{})}
	tel, err := telemetry.New(t.Context(), telemetry.Settings{AccessLog: true, LogOutput: log})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Telemetry: tel}
	r.calls(0, 1)
	time.Sleep(5 * time.Millisecond)
	synctest.Wait()
	return r, log
}

// wantLines ends r, and wants so many lines then.
func (l *stuck) wantLines(t *testing.T, r *rig, want int) {
	t.Helper()
	r.Shutdown(t.Context())
	if n := strings.Count(l.written.String(), "\n"); n != want {
		t.Errorf("%d lines of %d calls", n, want)
	}
}

// A log that nobody reads holds up calls when many are not told of, so that these do not fill
// the memory. Who asks how calls are waits a second for it, and no more: there may be many
// questions.
func TestLogThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := behindStuck(t)
		began := time.Now()
		for range 100 {
			r.Recent(telemetry.Filter{})
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("a hundred questions took %v, want 1 s", took)
		}

		var calls sync.WaitGroup
		ended := 0
		calls.Go(func() {
			for range 2000 {
				r.calls(0, 1)
				ended++
			}
		})
		synctest.Wait()
		if ended != 1023 {
			t.Errorf("%d calls do not wait, want 1023", ended)
		}
		close(log.read)
		calls.Wait()
		log.wantLines(t, r, 2001)
	})
}

// Nor does what is to tell of them pile up.
func TestNobodyQueuesToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := behindStuck(t)
		for range 100 {
			r.calls(0, 1)
			time.Sleep(6 * time.Millisecond)
		}
		synctest.Wait()
		if n := strings.Count(goroutines(), "telemetry.(*batch).comes("); n > 2 { // one tells, and one waits for that
			t.Errorf("%d are to tell of calls", n)
		}
		close(log.read)
		log.wantLines(t, r, 101)
	})
}

// goroutines are all that run, with their calls.
func goroutines() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// What is held is bounded by bytes, too: the bodies of calls are.
func TestBodiesAreNotHeldWhileNobodyReadsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := behindStuck(t)
		ended := 0
		go func() {
			for range 100 {
				_, span, call := r.begin("POST", "crm")
				span.End(&telemetry.Outcome{Call: call, Method: "POST", Status: 200, RequestBytes: 1 << 20})
				ended++
			}
		}()
		synctest.Wait()
		if ended != 15 {
			t.Errorf("%d MiB do not wait, want 15", ended)
		}
		close(log.read)
		synctest.Wait()
		log.wantLines(t, r, 101)
	})
}

// A call is told of later, in whatever form; the time is that of its end.
func TestLineHasTheTimeOfTheEnd(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{AccessLog: true, LogFormat: format})
			_, span, call := r.begin("GET", "crm")
			time.Sleep(time.Second)
			span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
			time.Sleep(time.Minute)
			if line := r.log.String(); !strings.Contains(line, "2000-01-01T00:00:01") {
				t.Errorf("%s: %s", format, line)
			}
		})
	}
}

// Who follows gets what ends from then on.
func TestFollowerSeesNothingOfBefore(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	r.calls(0, 1)
	follower := r.Follow(telemetry.Filter{})
	defer follower.Close()
	r.calls(1, 1)
	r.Flush()
	calls, _, err := follower.Next(t.Context(), 10)
	if err != nil || len(calls) != 1 || calls[0].Path != "/1" {
		t.Errorf("%v, %v", calls, err)
	}
}

// A defect that is met in the telling of a call is no end of the process, nor of the telling.
func TestDefectCostsOneCall(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true, Ended: func(r *telemetry.Record, _ time.Time) {
		if r.Path == "/1" {
			panic("a defect")
		}
	}})
	r.calls(0, 3)
	if n := len(r.Recent(telemetry.Filter{})); n != 2 {
		t.Errorf("%d calls are remembered, want 2", n)
	}
	if log := r.log.String(); strings.Count(log, `"msg":"call"`) != 3 || !strings.Contains(log, `"panic":"a defect"`) {
		t.Errorf("log: %s", log)
	}
	if text := r.metrics(t); !strings.Contains(text, "outrider_calls_active 0\n") {
		t.Error("the call is under way for ever")
	}
}

// The last word of a process may be a call that has just ended.
func TestShutdownTellsOfAll(t *testing.T) {
	r, lines := gather(t, telemetry.Settings{AccessLog: true})
	r.calls(0, 3)
	r.Shutdown(t.Context())
	if n := lines(); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
}
