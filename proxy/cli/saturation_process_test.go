//go:build unix

package cli

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"outrider/proxy/simulator"
)

// A receipt is what one client process got.
type receipt struct {
	Statuses   map[int]int // status → answers
	Own        int         // of these, answers that Outrider made itself
	Lost       []string    // why calls had no answer
	Begin, End time.Time
}

// TestBeAClient is no test: it is a client in a process of its own. It makes so many
// calls, some at a time, when its input ends, and prints what it got.
func TestBeAClient(t *testing.T) {
	if os.Getenv("OUTRIDER_TEST_CLIENT") == "" {
		return
	}
	calls, err := strconv.Atoi(flag.Arg(1))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := json.NewEncoder(os.Stdout).Encode(fetchAll(flag.Arg(0), calls)); err != nil {
		t.Fatal(err)
	}
	os.Exit(0) // with nothing of the test's own on standard output
}

// fetchAll makes calls and counts the answers.
func fetchAll(url string, calls int) receipt {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crowd}, Timeout: patience}
	var mu sync.Mutex
	got := receipt{Statuses: make(map[int]int), Begin: time.Now()}
	next := make(chan struct{}, calls)
	for range calls {
		next <- struct{}{}
	}
	close(next)
	var running sync.WaitGroup
	for range crowd {
		running.Go(func() {
			for range next {
				resp, err := client.Get(url)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				mu.Lock()
				switch {
				case err != nil:
					got.Lost = append(got.Lost, err.Error())
				default:
					got.Statuses[resp.StatusCode]++
					if resp.Header.Get("Proxy-Status") != "" {
						got.Own++
					}
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	got.End = time.Now()
	return got
}

// A besieger is a process that makes calls.
type besieger struct {
	cmd   *exec.Cmd
	start io.Closer
	out   *bufio.Reader
}

// newBesieger starts a process that is ready to make calls.
func newBesieger(t testing.TB, url string, calls int) *besieger {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBeAClient$", "--", url, strconv.Itoa(calls))
	cmd.Env = append(os.Environ(), "OUTRIDER_TEST_CLIENT=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &besieger{cmd: cmd, start: in, out: bufio.NewReader(out)}
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("a client said %q, %v", line, err)
	}
	return c
}

// receipt waits for what the process got.
func (c *besieger) receipt(t testing.TB) (got receipt) {
	t.Helper()
	if err := json.NewDecoder(c.out).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return got
}

// besiege has so many processes make calls through one Outrider to one simulator, all
// beginning at once, and gives what they got together and what the simulator saw.
func besiege(t testing.TB, s saturation, processes, calls int) (receipt, simulator.Stats) {
	t.Helper()
	sim, base := provide(t, simulator.Settings{Seed: 1})
	_, address := begin(t, home(t, fmt.Sprintf("state_dir = %q\n[upstream.api]\nurl = %q\n%s\n", filepath.Join(t.TempDir(), "state"), base, s.document)))
	var clients []*besieger
	for range processes {
		clients = append(clients, newBesieger(t, "http://"+address+"/api"+s.target, calls/processes))
	}
	for _, c := range clients {
		_ = c.start.Close()
	}
	all := receipt{Statuses: make(map[int]int)}
	for i, c := range clients {
		got := c.receipt(t)
		for status, n := range got.Statuses {
			all.Statuses[status] += n
		}
		all.Own += got.Own
		all.Lost = append(all.Lost, got.Lost...)
		if i == 0 || got.Begin.Before(all.Begin) {
			all.Begin = got.Begin
		}
		if got.End.After(all.End) {
			all.End = got.End
		}
	}
	return all, sim.Stats()
}

// A siege is a saturation for processes and real sockets.
type siege struct {
	saturation
	calls  int // a multiple of the processes
	atOnce int // calls that pass before any time has gone by
	// sure says that no call can be refused, however late anything comes: a call goes
	// only after the answer of one before it, and after a time counted from then on.
	sure bool
}

// sieges are limits that Outrider is told of.
var sieges = []siege{
	{calls: 192, atOnce: 96, saturation: saturation{name: "window", target: "/limited/window/default?limit=96&per=500ms&dialect=none",
		document: `limit = { rate = "96/500ms", shape = "window" }`, limit: 96, per: 500 * time.Millisecond}},
	{calls: 160, atOnce: 40, saturation: saturation{name: "sliding", target: "/limited/sliding/default?limit=100&per=500ms&dialect=none",
		document: `limit = { rate = "100/500ms" }`, limit: 100, per: 500 * time.Millisecond}},
	{calls: 160, atOnce: 40, saturation: saturation{name: "bucket", target: "/limited/bucket/default?limit=100&per=500ms&burst=40&dialect=none",
		document: `limit = { rate = "100/500ms", burst = 40 }`, limit: 100, per: 500 * time.Millisecond}},
	{calls: 32, sure: true, saturation: saturation{name: "concurrency", target: "/limited/concurrency/default?limit=4&hold=100ms&dialect=none",
		document: `limit = { concurrency = 4 }`, limit: 4, per: 100 * time.Millisecond}},
}

// oneAtATime are limits that Outrider is not told of. With one call at a time none is on
// the wire when an answer says that nothing is left, or for how long nothing may come.
var oneAtATime = []siege{
	{calls: 32, sure: true, atOnce: 20, saturation: saturation{name: "ietf, one at a time", target: "/limited/window/default?limit=20&per=1s&dialect=ietf&grace=0s",
		document: `limit = { concurrency = 1 }`, limit: 20, per: time.Second}},
	{calls: 32, sure: true, atOnce: 20, saturation: saturation{name: "github, one at a time", target: "/limited/window/core?limit=20&per=1s&dialect=github&grace=0s",
		document: `limit = { concurrency = 1 }`, limit: 20, per: time.Second}},
}

// What holds on any machine, however busy: each call of each process has its one answer,
// and none is sent that nobody gets. How much of a limit is used, and how often it is
// passed by calls that came closer together than they were sent, is for the clock of
// TestConfiguredLimitIsUsedAndNeverPassed.
func TestProcessesShareOneLimit(t *testing.T) {
	if !apart(t) {
		return
	}
	for _, s := range slices.Concat(sieges, oneAtATime) {
		for _, n := range processes {
			t.Run(fmt.Sprint(s.name, "/", n), func(t *testing.T) {
				got, stats := besiege(t, s.saturation, n, s.calls)
				answers := 0
				for _, count := range got.Statuses {
					answers += count
				}
				if answers != s.calls || len(got.Lost) > 0 || got.Own > 0 {
					t.Errorf("%d calls, %d answers, of which %d are our own; lost: %q", s.calls, answers, got.Own, got.Lost)
				}
				quota := oneQuota(stats)
				if int64(got.Statuses[http.StatusOK]) != quota.Admitted || stats.Requests != quota.Admitted+quota.Throttled {
					t.Errorf("the clients got %v; of %d requests the provider let %d pass and refused %d", got.Statuses, stats.Requests, quota.Admitted, quota.Throttled)
				}
				if s.sure && (quota.Throttled > 0 || quota.Violations > 0) {
					t.Errorf("%d refusals, %d violations; want none", quota.Throttled, quota.Violations)
				}
			})
		}
	}
}

// BenchmarkProcesses prints how much of a limit is used on real sockets, and how often it
// is passed. It depends on the machine and on what else that does.
func BenchmarkProcesses(b *testing.B) {
	for b.Loop() {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "limiter\tprocesses\tused\t429 of all requests\tanswers")
		for _, s := range sieges {
			for _, n := range processes {
				got, stats := besiege(b, s.saturation, n, 4*s.calls)
				quota := oneQuota(stats)
				windows := got.End.Sub(got.Begin).Seconds() / s.per.Seconds()
				used := float64(quota.Admitted-int64(s.atOnce)) / (float64(s.limit) * windows)
				fmt.Fprintf(table, "%s\t%d\t%.1f %%\t%d of %d\t%v\n", s.name, n, 100*used, quota.Throttled, stats.Requests, got.Statuses)
			}
		}
		_ = table.Flush()
	}
}
