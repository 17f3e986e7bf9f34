package retry_test

import (
	"net/http"
	"testing"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// direct returns a call of one attempt, through a stage with all settings.
func direct(t testing.TB, method string) (http.RoundTripper, *http.Request) {
	set := settings()
	set.Budget = retry.NewBudget(0.1, nil)
	set.IdempotencyHeader = "Idempotency-Key"
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	rt := newStage(t, set).Wrap(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }))
	req := policytest.NewRequest(t, method, "https://api.test/x", "abc")
	ctx := retry.WithControls(t.Context(), retry.Controls{Idempotent: true})
	return rt, req.WithContext(ctx)
}

func TestCallThatSucceedsAllocatesNothing(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		rt, req := direct(t, method)
		if n := testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) }); n != 0 {
			t.Errorf("%s: %v allocations", method, n)
		}
	}
}

func BenchmarkFirstAttemptSucceeds(b *testing.B) {
	rt, req := direct(b, "GET")
	b.ReportAllocs()
	for b.Loop() {
		rt.RoundTrip(req)
	}
}

func BenchmarkFirstAttemptSucceedsInParallel(b *testing.B) {
	rt, req := direct(b, "GET")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			rt.RoundTrip(req)
		}
	})
}

func BenchmarkSecondAttemptSucceeds(b *testing.B) {
	set := settings()
	set.Base, set.Jitter = 1, func(time.Duration) time.Duration { return 0 }
	down := &http.Response{StatusCode: 502, Body: http.NoBody}
	up := &http.Response{StatusCode: 200, Body: http.NoBody}
	n := 0
	rt := newStage(b, set).Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
		if n++; n%2 == 1 {
			return down, nil
		}
		return up, nil
	}))
	req := policytest.NewRequest(b, "GET", "https://api.test/x", "")
	b.ReportAllocs()
	for b.Loop() {
		rt.RoundTrip(req)
	}
}
