//go:build unix

package cli

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A taker is an upstream that counts, and does nothing else. While it is down it refuses.
type taker struct {
	down  atomic.Bool
	taken atomic.Int64
}

func (u *taker) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if u.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	u.taken.Add(1)
	w.WriteHeader(http.StatusNoContent)
}

// documentTaker is an upstream for each mode of the outbox.
func documentTaker(state, url string) string {
	const upstream = `[upstream.%s]
url = %q
hosts = []
outbox = %q
auth = { type = "none" }
retry = { attempts = 1, idempotency_header = "Idempotency-Key", mint_key = true }
circuit = { open = "1s", open_max = "1s" }
`
	return fmt.Sprintf("state_dir = %q\n[telemetry]\naccess_log = false\n[outbox]\nmax_size = \"64GiB\"\n", state) +
		fmt.Sprintf(upstream, "kept", url, "always") + fmt.Sprintf(upstream, "plain", url, "never")
}

// BenchmarkOutbox measures what a client of Outrider sees: calls that are kept, durably, by
// one client and by 64, beside calls that are passed on; and how fast letters are sent to an
// upstream that takes them at once.
//
//	go test ./proxy/cli -run '^$' -bench Outbox
func BenchmarkOutbox(b *testing.B) {
	for _, mode := range []string{"plain", "kept"} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprint(mode, "/", clients), func(b *testing.B) {
				s, _ := benchedStation(b, mode == "kept")
				s.up()
				b.ResetTimer()
				callAtOnce(b, s.url("/"+mode+"/orders"), clients, b.N)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
	b.Run("drain", func(b *testing.B) {
		const letters = 5_000
		var sending time.Duration
		for b.Loop() {
			s, u := benchedStation(b, false)
			file := batch(b, letters)
			if code, _, problems := commandLine("", "outbox", "import", "--config", s.config, file); code != exitFine {
				b.Fatal(problems)
			}
			s.up()
			begun := time.Now()
			for u.taken.Load() < letters {
				<-time.After(time.Millisecond)
			}
			sending += time.Since(begun)
		}
		b.ReportMetric(float64(b.N)*letters/sending.Seconds(), "letters/s")
	})
}

// benchedStation is one in front of an upstream that is down, or not. Nothing runs yet.
func benchedStation(b *testing.B, down bool) (*station, *taker) {
	b.Helper()
	u := &taker{}
	u.down.Store(down)
	server := httptest.NewServer(u)
	b.Cleanup(server.Close)
	return newStation(b, home(b, documentTaker(filepath.Join(b.TempDir(), "state"), server.URL))), u
}

// callAtOnce makes calls, so many at a time.
func callAtOnce(b *testing.B, url string, clients, calls int) {
	b.Helper()
	body := strings.Repeat("x", 1<<10)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: patience}
	defer client.CloseIdleConnections()
	var left atomic.Int64
	left.Store(int64(calls))
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := client.Post(url, "text/plain", strings.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode >= http.StatusMultipleChoices {
					b.Errorf("got %s", resp.Status)
				}
			}
		})
	}
	running.Wait()
}

// batch writes a file of calls.
func batch(t testing.TB, letters int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "batch.ndjson")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewWriter(file)
	for n := range letters {
		_, _ = fmt.Fprintf(lines, "{\"upstream\":\"kept\",\"path\":\"/orders/%d\",\"json\":{\"order\":%d,\"note\":%q}}\n", n, n, strings.Repeat("x", 200))
	}
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
