package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"outrider/policy"
)

// A gated upstream answers when it is told to, and notes who came.
type gatedUpstream struct {
	address string
	open    chan struct{}

	mu   sync.Mutex
	came []string
}

func newGatedUpstream(t *testing.T) *gatedUpstream {
	g := &gatedUpstream{open: make(chan struct{})}
	g.address = upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.came = append(g.came, strings.TrimPrefix(r.URL.Path, "/"))
		g.mu.Unlock()
		<-g.open
	}).Listener.Addr().String()
	return g
}

func (g *gatedUpstream) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.came)
}

// waiting waits until so many are in line.
func (r *running) waiting(want policy.Line) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%+v in line", want), func() (bool, string) {
		quotas := r.upstreamNow("api").Quotas
		if len(quotas) != 1 {
			return false, "no quota"
		}
		return quotas[0].Line == want, fmt.Sprintf("%+v", quotas[0].Line)
	})
}

// What callers ask for in headers: a batch of low calls, and two who come later.
func TestHeadersGiveCallsTheirPlaceInLine(t *testing.T) {
	server := newGatedUpstream(t)
	r := launch(t, api(server.address)+`limit = { concurrency = 1 }`)
	var calls sync.WaitGroup
	send := func(name, caller, priority string) {
		calls.Go(func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url("/api/"+name), nil)
			req.Header.Set("Outrider-Caller", caller)
			req.Header.Set("Outrider-Priority", priority)
			if resp, body := do(t, http.DefaultClient, req); resp.StatusCode != 200 {
				t.Errorf("%s got %d %s", name, resp.StatusCode, body)
			}
		})
	}
	send("first", "", "")
	eventually(t, "the first call", func() (bool, string) { return len(server.names()) == 1, "none" })
	for i := range 3 {
		send(fmt.Sprint("batch", i), "batch", "low")
		r.waiting(policy.Line{Low: i + 1})
	}
	send("other", "other", "low")
	r.waiting(policy.Line{Low: 4})
	send("normal", "batch", "")
	r.waiting(policy.Line{Low: 4, Normal: 1})
	send("high", "batch", "high")
	r.waiting(policy.Line{Low: 4, Normal: 1, High: 1})

	var out, errs bytes.Buffer
	Main(t.Context(), Process{Args: []string{"status", "--admin", r.adminAt}, Stdout: &out, Stderr: &errs})
	if !strings.Contains(out.String(), "6 waiting (1 high, 1 normal, 4 low)") {
		t.Errorf("status says\n%s%s", out.String(), errs.String())
	}
	close(server.open)
	calls.Wait()
	want := []string{"first", "high", "normal", "batch0", "other", "batch1", "batch2"}
	if got := server.names(); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// Two programs that say nothing share what there is: each is a caller.
func TestProcessesAreCallers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl is not installed: apt-get install -y curl")
	}
	server := newGatedUpstream(t)
	r := launch(t, api(server.address)+`limit = { concurrency = 1 }`)
	var calls sync.WaitGroup
	send := func(name string) {
		calls.Go(func() {
			if resp, body := get(t, http.DefaultClient, r.url("/api/"+name)); resp.StatusCode != 200 {
				t.Errorf("%s got %d %s", name, resp.StatusCode, body)
			}
		})
	}
	send("first")
	eventually(t, "the first call", func() (bool, string) { return len(server.names()) == 1, "none" })
	for i := range 3 {
		send(fmt.Sprint("batch", i))
		r.waiting(policy.Line{Normal: i + 1})
	}
	other := exec.CommandContext(t.Context(), curl, "-s", r.url("/api/other")) // #nosec G204 -- a test
	other.Stderr = io.Discard
	calls.Go(func() { _ = other.Run() })
	r.waiting(policy.Line{Normal: 4})
	close(server.open)
	calls.Wait()
	want := []string{"first", "batch0", "other", "batch1", "batch2"}
	if got := server.names(); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}
