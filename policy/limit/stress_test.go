package limit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A talker is a real provider that says on each answer what is left of a quota of the
// call's path, and now and then of another one, or that it was too much.
type talker struct {
	mu      sync.Mutex // guards these
	windows map[string]*talked
	active  atomic.Int64
	refused atomic.Int64
}

type talked struct {
	end  time.Time
	left int
}

const perWindow = 400

func (p *talker) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.active.Add(1)
	defer p.active.Add(-1)
	name := req.URL.Path[1:2]
	if rand.IntN(50) == 0 {
		name = "x" + strconv.Itoa(rand.IntN(200))
	}
	p.mu.Lock()
	window := p.windows[name]
	if now := time.Now(); window == nil || !now.Before(window.end) {
		window = &talked{now.Truncate(time.Second).Add(time.Second), perWindow}
		p.windows[name] = window
	}
	window.left--
	left, end := window.left, window.end
	p.mu.Unlock()
	h := w.Header()
	h.Set("X-Ratelimit-Limit", strconv.Itoa(perWindow))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(max(left, 0)))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(end.Unix(), 10))
	h.Set("X-Ratelimit-Resource", name)
	switch n := rand.IntN(100); {
	case left < 0:
		p.refused.Add(1)
		w.WriteHeader(http.StatusTooManyRequests)
	case n == 0:
		h.Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	case n == 1:
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, "body")
}

// Real goroutines, connections and time, for the race detector: calls of many callers, some of
// whom go away, through reloads that change everything, scopes that become wider, and
// looks from outside. At the end nothing is left over.
func TestNothingIsLeftOverUnderStress(t *testing.T) {
	provider := &talker{windows: make(map[string]*talked)}
	server := httptest.NewServer(provider)
	defer server.Close()
	client := &http.Transport{MaxIdleConnsPerHost: 64}
	defer client.CloseIdleConnections()

	byPath := func(req *http.Request) string { return "host " + req.URL.Path[1:2] }
	byHost := func(*http.Request) string { return "host" }
	settings := func(n int) []limit.Table {
		own := claiming(limit.Settings{Learn: n%5 != 4, MaxWait: 500 * time.Millisecond, MaxQueue: 500, Style: pace.Style(n % 3), Concurrency: 20 * (n % 2)})
		extra := limit.Settings{Count: float64(500 + 100*n), Per: time.Second, Kind: pace.Kind(n % 3), MaxWait: time.Second, MaxQueue: 100, Learn: n%3 == 0}
		tables := []limit.Table{{Name: "own", Settings: own}, {Name: "extra", Settings: extra}}
		return tables[:2-n%4/3]
	}
	var live atomic.Pointer[limit.Quotas]
	reload := func(n int) {
		q, err := limit.New(settings(n), live.Load())
		if err != nil {
			t.Error(err)
			return
		}
		if n > 5 {
			q.Widen(func(string) string { return "host" })
		}
		live.Store(q)
		q.Adopt()
	}
	reload(0)
	reloads := atomic.Int64{}
	way := func() limit.Way {
		scope := byPath
		if reloads.Load() > 5 {
			scope = byHost
		}
		return limit.Way{Scope: scope, Stops: []limit.Stop{{Table: 0, Key: byPath}}}
	}

	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var all sync.WaitGroup
	var good, refusals atomic.Int64
	for i := range 60 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				call, cancel := context.WithTimeout(as(ctx, strconv.Itoa(i%7), limit.Priority(i%3-1)), time.Duration(1+rand.IntN(300))*time.Millisecond)
				req, _ := http.NewRequestWithContext(call, "GET", fmt.Sprintf("%s/%c/%d", server.URL, 'a'+rune(rand.IntN(4)), n%5), nil)
				q := live.Load()
				resp, err := q.Wrap(way())(client).RoundTrip(req)
				var refused *limit.RefusedError
				switch {
				case err == nil:
					good.Add(1)
					if rand.IntN(10) > 0 {
						io.Copy(io.Discard, resp.Body)
					}
					resp.Body.Close()
				case errors.As(err, &refused):
					refusals.Add(1)
					time.Sleep(time.Millisecond)
				}
				cancel()
			}
		})
	}
	all.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			time.Sleep(100 * time.Millisecond)
			reload(n)
			reloads.Store(int64(n))
			live.Load().Snapshot()
			req, _ := http.NewRequest("GET", server.URL+"/a/1", nil)
			live.Load().Forecast(way(), req, limit.Claim{})
			for _, problem := range live.Load().Problems() {
				t.Error(problem)
			}
		}
	})
	all.Wait()
	for _, s := range live.Load().Snapshot() {
		if s.Active != 0 || s.Waiting != 0 {
			t.Errorf("left over %+v", s)
		}
	}
	if flying := live.Load().Flying(); flying != 0 {
		t.Errorf("%d are taken to be on their way", flying)
	}
	t.Logf("%d good, %d refused here, %d there", good.Load(), refusals.Load(), provider.refused.Load())
}
