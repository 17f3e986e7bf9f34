package breaker_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/policytest"
)

// staticTransport always gives the same response, without allocating.
type staticTransport struct {
	resp http.Response
	body io.ReadCloser
}

func (s *staticTransport) RoundTrip(*http.Request) (*http.Response, error) {
	s.resp.Body = s.body
	return &s.resp, nil
}

func benchmark(b *testing.B, code int, body io.ReadCloser) {
	up := &staticTransport{http.Response{StatusCode: code, Header: http.Header{}}, body}
	s := settings()
	if code >= 500 {
		s.FailureRatio, s.FailureRun = 0, 0
	}
	rt := newGroup(b, s, nil).Wrap(byHost)(up)
	req := policytest.NewRequest(b, "GET", target, "")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

func BenchmarkClosed(b *testing.B) { benchmark(b, 200, io.NopCloser(strings.NewReader("body"))) }

func BenchmarkClosedNoBody(b *testing.B) { benchmark(b, 204, http.NoBody) }

// BenchmarkClosedKnown is of a provider that is known to be quick, so that each attempt
// may become overdue.
func BenchmarkClosedKnown(b *testing.B) {
	s := settings()
	s.Overdue = 5 * time.Second
	rt := newGroup(b, s, nil).Wrap(byHost)(begun(&staticTransport{http.Response{StatusCode: 204, Header: http.Header{}}, http.NoBody}))
	req := policytest.NewRequest(b, "GET", target, "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClosedFailure(b *testing.B) { benchmark(b, 500, http.NoBody) }

func BenchmarkClosedParallel(b *testing.B) {
	rt := newGroup(b, settings(), nil).Wrap(byHost)(answering(func(*http.Request) (*http.Response, error) { return status(204) }))
	b.RunParallel(func(pb *testing.PB) {
		req := policytest.NewRequest(b, "GET", target, "")
		for pb.Next() {
			rt.RoundTrip(req)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := quick()
	s.Open, s.OpenMax = time.Hour, time.Hour
	up := &staticTransport{http.Response{StatusCode: 500, Header: http.Header{}}, http.NoBody}
	rt := newGroup(b, s, nil).Wrap(byHost)(up)
	req := policytest.NewRequest(b, "GET", target, "")
	rt.RoundTrip(req)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err == nil {
			b.Fatal("the circuit is not open")
		}
	}
}

// BenchmarkNewKeyWhenFull is the price of a host that was never seen before.
func BenchmarkNewKeyWhenFull(b *testing.B) {
	up := &staticTransport{http.Response{StatusCode: 204, Header: http.Header{}}, http.NoBody}
	key := 0
	rt := newGroup(b, settings(), nil).Wrap(func(*http.Request) string {
		key++
		return hostNames[key%len(hostNames)]
	})(up)
	req := policytest.NewRequest(b, "GET", target, "")
	for range most + many {
		rt.RoundTrip(req)
	}
	b.ReportAllocs()
	for b.Loop() {
		rt.RoundTrip(req)
	}
}

var hostNames = func() []string {
	names := make([]string, 4*most)
	for i := range names {
		names[i] = strings.Repeat("h", i%100) + string(rune('a'+i%26)) + strings.Repeat("x", i/100)
	}
	return names
}()

// TestClosedPathAllocatesNothing but the wrapper of a body.
func TestClosedPathAllocatesNothing(t *testing.T) {
	for _, test := range []struct {
		body io.ReadCloser
		want float64
	}{
		{http.NoBody, 0},
		{io.NopCloser(strings.NewReader("body")), 1},
	} {
		rt := newGroup(t, settings(), nil).Wrap(byHost)(&staticTransport{http.Response{StatusCode: 200}, test.body})
		req := policytest.NewRequest(t, "GET", target, "")
		got := testing.AllocsPerRun(100, func() {
			resp, _ := rt.RoundTrip(req)
			resp.Body.Close()
		})
		if got != test.want {
			t.Errorf("%v allocations with a %T, want %v", got, test.body, test.want)
		}
	}
}

// TestAttemptThatMayBecomeOverdueIsOneAllocation with the wrapper of its body.
func TestAttemptThatMayBecomeOverdueIsOneAllocation(t *testing.T) {
	s := settings()
	s.Overdue = 5 * time.Second
	up := &staticTransport{http.Response{StatusCode: 200, Header: http.Header{}}, io.NopCloser(strings.NewReader("body"))}
	rt := newGroup(t, s, nil).Wrap(byHost)(begun(up))
	req := policytest.NewRequest(t, "GET", target, "")
	call := func() {
		resp, _ := rt.RoundTrip(req)
		resp.Body.Close()
	}
	for range s.MinCalls {
		call() // then it is known how long an answer takes
	}
	if got := testing.AllocsPerRun(100, call); got != 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}
