package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A told is one call to a provider that says anything of its quotas, and how it ends.
type told struct {
	at     time.Duration
	path   string
	cost   int
	answer time.Duration // until it is answered
	body   time.Duration // until its body is closed, after that
	cancel time.Duration // when its client goes away; 0: never
	fails  bool          // it has no answer
	local  bool          // it is refused before it is sent
	status int
	header []string
}

func drawTold(t *rapid.T) []told {
	span := rapid.SampledFrom([]int{10, 5000, 60000}).Draw(t, "span")
	calls := make([]told, rapid.IntRange(1, 80).Draw(t, "calls"))
	for i := range calls {
		c := &calls[i]
		c.at = time.Duration(rapid.IntRange(0, span).Draw(t, "at")) * time.Millisecond
		c.path = rapid.SampledFrom([]string{"/search/code", "/user", "/repos/1", "/repos/2"}).Draw(t, "path")
		c.cost = rapid.SampledFrom([]int{1, 1, 1, 3}).Draw(t, "cost")
		c.answer = time.Duration(rapid.IntRange(0, 3000).Draw(t, "answer")) * time.Millisecond
		c.body = time.Duration(rapid.IntRange(0, 500).Draw(t, "body")) * time.Millisecond
		c.status = rapid.SampledFrom([]int{200, 200, 200, 429, 403, 503, 502}).Draw(t, "status")
		switch rapid.IntRange(0, 9).Draw(t, "ends") {
		case 0:
			c.cancel = time.Duration(rapid.IntRange(1, 20000).Draw(t, "cancel")) * time.Millisecond
		case 1:
			c.fails = true
		case 2:
			c.local = true
		}
		add := func(name string, values ...string) {
			if v := rapid.SampledFrom(append(values, "")).Draw(t, name); v != "" {
				c.header = append(c.header, name, v)
			}
		}
		add("X-Ratelimit-Limit", "10", "100", "5000")
		add("X-Ratelimit-Remaining", "0", "1", "5", "99")
		add("X-Ratelimit-Reset", "0", "1", "7", "3600")
		add("X-Ratelimit-Resource", "core", "search", "x")
		add("Ratelimit-Policy", `"a";q=10;w=5`, `"c";q=2;qu="concurrent-requests"`, "100;w=60")
		add("Ratelimit", `"a";r=0;t=3`, `"a";r=7;t=2`, `"c";r=0`)
		add("X-Ratelimit-Remaining-Tokens", "0", "500")
		add("X-Ratelimit-Reset-Tokens", "6s", "120ms")
		add("Retry-After", "0", "2", "30")
	}
	return calls
}

// Whatever a provider says, and however calls end: each call is sent or refused in time,
// nothing is left over, and nobody is held up by what is forgotten.
func TestWhateverAnswersSayNothingIsLeftOver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		calls := drawTold(rt)
		settings := limit.Settings{
			Learn: true, MaxWait: 20 * time.Second, MaxQueue: 1000, Style: pace.Style(rapid.IntRange(0, 2).Draw(rt, "style")),
			Concurrency: rapid.SampledFrom([]int{0, 0, 5}).Draw(rt, "slots"),
			Count:       rapid.SampledFrom([]float64{0, 0, 10}).Draw(rt, "count"), Per: time.Second, Kind: pace.Even,
		}
		reload := time.Duration(rapid.IntRange(0, 60).Draw(rt, "reload")) * time.Second
		synctest.Test(t, func(t *testing.T) {
			var g atomic.Pointer[group]
			g.Store(newGroup(t, settings, nil))
			start := time.Now()
			var all sync.WaitGroup
			for i, c := range calls {
				all.Go(func() { c.play(rt, &g, i, start) })
			}
			all.Go(func() {
				time.Sleep(reload)
				next := settings
				next.Learn, next.Concurrency = reload%(2*time.Second) == 0, 3
				reloaded := newGroup(t, next, g.Load())
				g.Store(reloaded)
				reloaded.Adopt()
			})
			time.Sleep(7 * time.Nanosecond) // apart from all that happens
			for range 100 {
				time.Sleep(time.Second)
				synctest.Wait()
				for _, problem := range g.Load().Problems() {
					rt.Errorf("%v: %s", time.Since(start), problem)
				}
			}
			all.Wait()
			for _, s := range g.Load().Quotas.Snapshot() {
				if s.Active != 0 || s.Waiting != 0 {
					rt.Errorf("left %+v", s)
				}
			}
			if flying := g.Load().Flying(); flying != 0 {
				rt.Errorf("%d are taken to be on their way", flying)
			}
		})
	})
}

func (c *told) play(t *rapid.T, g *atomic.Pointer[group], i int, start time.Time) {
	time.Sleep(c.at)
	ctx := as(context.Background(), strconv.Itoa(i%3), limit.Priority(i%3-1))
	if c.cancel > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		time.AfterFunc(c.cancel, cancel)
	}
	sent := false
	wire := roundTripper(func(*http.Request) (*http.Response, error) {
		sent = true
		if waited := time.Since(start) - c.at; waited > 20*time.Second {
			t.Errorf("sent after %v", waited)
		}
		if c.local {
			return nil, &limit.RefusedError{Reason: "circuit-open"}
		}
		time.Sleep(c.answer)
		if c.fails {
			return nil, errors.New("reset")
		}
		return respond(c.status, c.header...), nil
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprint("http://api.example", c.path), nil)
	resp, err := g.Load().wrapCosting(c.cost)(wire).RoundTrip(req)
	if took := time.Since(start) - c.at; !sent && took > 20*time.Second {
		t.Errorf("refused after %v: %v", took, err)
	}
	if err == nil {
		time.Sleep(c.body)
		resp.Body.Close()
	}
}
