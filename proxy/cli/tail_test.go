package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// following runs a command that does not end by itself, and gives its lines.
func following(t *testing.T, args ...string) (next func() string, end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, Process{Args: args, Stdout: write, Stderr: write})
		_ = write.Close()
	}()
	lines := bufio.NewScanner(read)
	next = func() string {
		t.Helper()
		late := time.AfterFunc(patience, func() { _ = read.CloseWithError(context.DeadlineExceeded) })
		defer late.Stop()
		if !lines.Scan() {
			t.Fatalf("no further line: %v", lines.Err())
		}
		return lines.Text()
	}
	return next, func() int {
		cancel()
		_, _ = io.Copy(io.Discard, read)
		return <-code
	}
}

func TestTailShowsCallsAsTheyEnd(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	for _, path := range []string{"/api/one", "/api/two", "/nobody/x", "/api/three"} {
		get(t, http.DefaultClient, r.url(path))
	}
	r.rest()
	next, end := following(t, "tail", "-n", "2", "upstream:api", "--admin", r.adminAt)
	for _, path := range []string{"/two", "/three"} { // of before, those that the filter takes
		if line := next(); !strings.HasSuffix(line, "api           GET "+path) || !strings.Contains(line, "   200  ") && !strings.Contains(line, " 200  ") {
			t.Errorf("%q, want %s", line, path)
		}
	}
	get(t, http.DefaultClient, r.url("/nobody/x"))
	get(t, http.DefaultClient, r.url("/api/four"))
	if line := next(); !strings.HasSuffix(line, "GET /four") {
		t.Errorf("%q", line)
	}
	if code := end(); code != exitFine {
		t.Errorf("ended with %d", code)
	}

	next, end = following(t, "tail", "-n", "1", "--json", "--admin", r.adminAt)
	var record telemetry.Record
	if err := json.Unmarshal([]byte(next()), &record); err != nil || record.Path != "/four" || record.Status != 200 {
		t.Errorf("%+v, %v", record, err)
	}
	if code := end(); code != exitFine {
		t.Errorf("ended with %d", code)
	}
}

// Whoever watches through a restart misses nothing that the new process still knows, and
// sees nothing twice.
func TestTailGoesOnAfterARestart(t *testing.T) {
	var printed strings.Builder
	tail := &tail{w: &printed, before: 2}
	latest := func(newest uint64) []telemetry.Record { // as /api/calls lists them
		var list []telemetry.Record
		for n := newest; n > 0; n-- {
			list = append(list, telemetry.Record{Number: n, Method: "GET", Path: fmt.Sprint("/", newest, "-", n), Status: 200, Upstream: "api"})
		}
		return list
	}
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	for _, stream := range []struct {
		newest  uint64
		started time.Time
	}{{4, first}, {6, first}, {6, first}, {3, second}, {5, second}} { // it broke four times, the third by a restart
		if err := tail.print(tail.missed(latest(stream.newest), stream.started)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(printed.String()) {
		got = append(got, strings.TrimSpace(line[strings.Index(line, "/"):]))
	}
	if fmt.Sprint(got) != "[/4-3 /4-4 /6-5 /6-6 /3-1 /3-2 /3-3 /5-4 /5-5]" {
		t.Errorf("%v", got)
	}
}

// A restart was seen by numbers that are lower than before. An Outrider that had counted
// further by the time that it was asked had the first of its calls left out; and where a
// filter takes few calls, the latest that is remembered may be a failure of long ago, which
// was printed again.
func TestTailTellsARestartFromOldCalls(t *testing.T) {
	call := func(n uint64) telemetry.Record { return telemetry.Record{Number: n} }
	numbers := func(calls []telemetry.Record, last uint64) (list []uint64) {
		for _, c := range calls {
			if c.Number > last {
				list = append(list, c.Number)
			}
		}
		return list
	}
	tail := &tail{started: time.Unix(1, 0), last: 100}
	if got := numbers(tail.missed([]telemetry.Record{call(50)}, time.Unix(1, 0)), tail.last); got != nil {
		t.Errorf("printed again: %v", got)
	}
	tail.last = 2
	if got := numbers(tail.missed([]telemetry.Record{call(3), call(2), call(1)}, time.Unix(2, 0)), tail.last); fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("of another Outrider: %v", got)
	}
}

// An Outrider that went away between the beginning of a stream and the question for what
// was missed had tail end, and not ask again.
func TestTailGoesOnWhenCatchingUpFails(t *testing.T) {
	if !apart(t) {
		return
	}
	home(t, "")
	var streams atomic.Int32
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch n := streams.Load(); {
		case r.URL.Path == "/api/events":
			if streams.Add(1) == 3 {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		case n == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/api/calls":
			_ = json.NewEncoder(w).Encode([]telemetry.Record{{Number: uint64(n), Method: "GET", Path: fmt.Sprint("/", n), Upstream: "api", Status: 200}})
		default:
			_ = json.NewEncoder(w).Encode(statusView{Started: time.Unix(1, 0)})
		}
	})
	next, end := following(t, "tail", "--admin", server.Listener.Addr().String())
	for _, want := range []string{"GET /1", "it ended the stream", "503", "GET /3"} {
		if line := next(); !strings.Contains(line, want) {
			t.Errorf("%q, want %s", line, want)
		}
	}
	if code := end(); code != exitFine {
		t.Errorf("ended with %d", code)
	}
}

// A stream that ended because the access key was changed was asked for with the old key again
// and again, and refused.
func TestTailGoesOnWithANewKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	writeFile(t, file, "first")
	config := home(t, fmt.Sprintf("access_key = %q\n", "file:"+file))
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch key := r.Header.Get("Outrider-Key"); {
		case r.URL.Path == "/api/events" && key == "first":
			writeFile(t, file, "second")
		case r.URL.Path == "/api/events":
			fmt.Fprintf(w, "event: calls\ndata: {\"calls\":[{\"number\":2,\"method\":\"GET\",\"path\":\"/%s\"}]}\n\n", key)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case r.URL.Path == "/api/calls":
			_ = json.NewEncoder(w).Encode([]telemetry.Record{})
		default:
			_ = json.NewEncoder(w).Encode(statusView{Started: time.Unix(1, 0)})
		}
	})
	next, end := following(t, "tail", "--config", config, "--admin", server.Listener.Addr().String())
	for _, want := range []string{"it ended the stream", "GET /second"} {
		if line := next(); !strings.Contains(line, want) {
			t.Errorf("%q, want %s", line, want)
		}
	}
	if code := end(); code != exitFine {
		t.Errorf("ended with %d", code)
	}
}

func TestTailRefuses(t *testing.T) {
	home(t, "")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"tail", ">5"}, exitUsage, `">5": must be > and a duration, such as >500ms`},
		{[]string{"tail", "-n", "-1"}, exitUsage, "--before -1: must be 0 or more"},
		{[]string{"tail", "--admin", "127.0.0.1:1"}, exitFailed, "no Outrider answers at 127.0.0.1:1"},
	} {
		if code, _, errs := commandLine("", c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%q ended with %d: %s", c.args, code, errs)
		}
	}
}

func TestCallLines(t *testing.T) {
	at := time.Date(2026, 11, 26, 20, 9, 13, 123e6, time.Local)
	for _, c := range []struct {
		record telemetry.Record
		want   string
	}{
		{telemetry.Record{Method: "GET", Upstream: "crm", Path: "/v1", Status: 200, Attempts: 1, DurationMS: 3.456},
			"20:09:13.123   200    3.5ms  crm           GET /v1"},
		{telemetry.Record{Method: "POST", Upstream: "crm", Status: 429, Attempts: 3, WaitedMS: 1250, DurationMS: 12345, Problem: "queue-timeout"},
			"20:09:13.123   429    12.3s  crm           POST /  (queue-timeout, 3 attempts, waited 1.25s)"},
		{telemetry.Record{Method: "CONNECT", Form: "connect", Host: "x.test:443", Status: 200, DurationMS: 20},
			"20:09:13.123   200     20ms  (tunnel)      CONNECT x.test:443"},
		{telemetry.Record{Method: "GET", Host: "x.test", Path: "/\x1b[2Ja", Class: policy.ClassClientGone, DurationMS: 20},
			"20:09:13.123  gone     20ms  (none)        GET x.test/?[2Ja"},
		{telemetry.Record{Method: "GET", Upstream: "crm", Path: "/a", Error: "reset", Stale: "status 503", Connection: "acme", DurationMS: 20},
			"20:09:13.123  none     20ms  crm           GET /a  (for acme, an old answer: status 503, reset)"},
	} {
		c.record.Time = at
		if got := callLine(false, &c.record); got != c.want {
			t.Errorf("%q\nwant %q", got, c.want)
		}
	}
}
