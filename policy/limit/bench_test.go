package limit_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// open is a provider that costs nothing: always the same answer.
func open() http.RoundTripper {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	return roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
}

// ample allows more than a benchmark can send.
var ample = limit.Settings{Count: 1e9, Per: time.Second, Burst: 1e9, MaxWait: time.Minute, MaxQueue: 1e6, Learn: true}

func TestCallThatNeedNotWaitDoesNotAllocate(t *testing.T) {
	for _, test := range []struct {
		concurrency int
		want        float64
	}{{0, 0}, {1000, 1}} { // with slots, the wrapper of the body
		s := ample
		s.Concurrency = test.concurrency
		body := http.NoBody
		resp := &http.Response{StatusCode: 200}
		rt := newGroup(t, s, nil).Wrap(byHost)(roundTripper(func(*http.Request) (*http.Response, error) {
			resp.Body = body
			return resp, nil
		}))
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://api.example/", nil)
		got := testing.AllocsPerRun(1000, func() {
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
		if got != test.want {
			t.Errorf("with concurrency %d: %v allocations for each call, want %v", test.concurrency, got, test.want)
		}
	}
}

// three is quotas of three tables, and a way through all of them.
func three(t testing.TB, s limit.Settings) (*limit.Quotas, limit.Way) {
	groups := newGroups(t, s, s, s)
	way := limit.Way{Scope: byHost}
	for _, g := range groups {
		way.Stops = append(way.Stops, limit.Stop{Table: g.table, Key: byHost})
	}
	return groups[0].Quotas, way
}

func TestCallThatNeedNotWaitForSeveralQuotasDoesNotAllocate(t *testing.T) {
	q, way := three(t, ample)
	rt := q.Wrap(way)(open())
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://api.example/", nil)
	if got := testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) }); got != 0 {
		t.Errorf("%v allocations for each call", got)
	}
}

// BenchmarkSeveral is what a call pays that passes three quotas and need not wait.
func BenchmarkSeveral(b *testing.B) {
	q, way := three(b, ample)
	rt := q.Wrap(way)(open())
	req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkManyLanes is the cost of a call that goes through the line where thousands of
// others wait for quotas of their own, besides the one that all have.
func BenchmarkManyLanes(b *testing.B) {
	all := limit.Settings{Concurrency: 1, MaxWait: 1000 * time.Hour, MaxQueue: 20000}
	own := limit.Settings{Count: 1, Per: 1000 * time.Hour, Kind: pace.Window, MaxWait: 1000 * time.Hour, MaxQueue: 20000}
	groups := newGroups(b, all, own)
	byPath := func(req *http.Request) string { return req.URL.Path }
	both := groups[0].Quotas.Wrap(limit.Way{Scope: byHost, Stops: []limit.Stop{{Table: 0, Key: byHost}, {Table: 1, Key: byPath}}})(open())
	ctx, leave := context.WithCancel(b.Context())
	var line sync.WaitGroup
	for i := range 1000 {
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.example/"+strconv.Itoa(i), nil)
		if resp, err := both.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		line.Go(func() { both.RoundTrip(req) })
	}
	for groups[1].Passes() < 1000 {
		time.Sleep(time.Millisecond)
	}
	one := newCaller(b, groups[0], newWire())
	one.rt = groups[0].Wrap(byHost)(open())
	req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := one.rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	b.StopTimer()
	leave()
	line.Wait()
}

// BenchmarkUncontended is what a call pays that need not wait.
func BenchmarkUncontended(b *testing.B) {
	even, slots := ample, ample
	even.Kind, even.Guard = pace.Even, 20*time.Millisecond // as a rate is used if nothing else is said
	slots.Concurrency = 1000
	for name, s := range map[string]limit.Settings{"smooth": ample, "even": even, "concurrency": slots} {
		b.Run(name, func(b *testing.B) {
			resp := &http.Response{StatusCode: 200}
			rt := newGroup(b, s, nil).Wrap(byHost)(roundTripper(func(*http.Request) (*http.Response, error) {
				resp.Body = http.NoBody
				return resp, nil
			}))
			req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}

// BenchmarkParallel is many callers of one quota, none of whom has to wait.
func BenchmarkParallel(b *testing.B) {
	rt := newGroup(b, ample, nil).Wrap(byHost)(open())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
		for pb.Next() {
			if _, err := rt.RoundTrip(req); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkLine is the cost of a call that goes through the line: one slot, and
// the next is always waiting for it.
func BenchmarkLine(b *testing.B) {
	s := limit.Settings{Concurrency: 1, MaxWait: time.Hour, MaxQueue: 1000}
	rt := newGroup(b, s, nil).Wrap(byHost)(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
		for pb.Next() {
			resp, err := rt.RoundTrip(req)
			if err != nil {
				b.Error(err)
				continue
			}
			resp.Body.Close()
		}
	})
}

// BenchmarkLongLine is the cost of a call that goes before thousands of others, and
// leaves again: what an arrival and a departure cost where it is crowded. Somebody's
// time is up before the last turn, so that all have to be looked at, or nobody's.
func BenchmarkLongLine(b *testing.B) {
	for name, hurry := range map[string]time.Duration{"hurried": time.Hour, "patient": 900 * time.Hour} {
		b.Run(name, func(b *testing.B) {
			s := claiming(limit.Settings{Count: 1, Per: time.Minute, Burst: 1, MaxWait: 1000 * time.Hour, MaxQueue: 20000})
			type leaveKey struct{}
			s.OnQueue = func(ctx context.Context, _ string, _ time.Time) {
				if leave, ok := ctx.Value(leaveKey{}).(context.CancelFunc); ok {
					leave()
				}
			}
			g := newGroup(b, s, nil)
			rt := g.Wrap(byHost)(open())
			ctx, leave := context.WithCancel(b.Context())
			var line sync.WaitGroup
			send := func(ctx context.Context) {
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.example/", nil)
				rt.RoundTrip(req)
			}
			hurried, cancel := context.WithTimeout(as(ctx, "hurried", limit.High), hurry)
			defer cancel()
			send(ctx) // the one that need not wait
			line.Go(func() { send(hurried) })
			for i := range 7000 {
				line.Go(func() { send(as(ctx, strconv.Itoa(i%100), limit.Low)) })
			}
			for g.Snapshot()[0].Waiting < 7001 {
				time.Sleep(time.Millisecond)
			}
			b.ReportAllocs()
			for b.Loop() {
				gone, cancel := context.WithCancel(as(b.Context(), "new", limit.High))
				send(context.WithValue(gone, leaveKey{}, cancel))
			}
			b.StopTimer()
			leave()
			line.Wait()
		})
	}
}

// BenchmarkRefused is the cost of saying no.
func BenchmarkRefused(b *testing.B) {
	s := limit.Settings{Count: 1, Per: time.Hour, Burst: 1, MaxWait: time.Second, MaxQueue: 1}
	rt := newGroup(b, s, nil).Wrap(byHost)(open())
	req, _ := http.NewRequestWithContext(b.Context(), "GET", "http://api.example/", nil)
	rt.RoundTrip(req)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err == nil {
			b.Fatal("was sent")
		}
	}
}
