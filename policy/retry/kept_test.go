package retry_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// What is kept somewhere can be made again, so that its form is no reason to send it once.
func TestKeptClassGoesByMethodKeyAndCallerAlone(t *testing.T) {
	s := settings()
	s.IdempotencyHeader = "Idempotency-Key"
	stage := newStage(t, s)
	streamed := func(method, key string) *http.Request {
		req := policytest.Streamed(policytest.NewRequest(t, method, "https://api.test/x", "text"))
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		return req
	}
	vouched := streamed("POST", "")
	vouched = vouched.WithContext(retry.WithControls(vouched.Context(), retry.Controls{Idempotent: true}))
	for want, req := range map[retry.Class]*http.Request{
		retry.Idempotent: streamed("PUT", ""),
		retry.Keyed:      streamed("POST", "k"),
		retry.Vouched:    vouched,
		retry.Unsafe:     streamed("POST", ""),
	} {
		if got := stage.KeptClass(req); got != want {
			t.Errorf("%s of a stream: %s, want %s", req.Method, got, want)
		}
		if got := stage.Class(req); got != retry.Once {
			t.Errorf("%s of a stream, sent now: %s", req.Method, got)
		}
	}
}

// The first request with a key cannot find another with it that is still running.
func TestConflictOfAFirstUseIsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		s.IdempotencyHeader = "Idempotency-Key"
		for first, want := range map[bool]int{false: 200, true: 409} {
			upstream := policytest.NewUpstream(t, policytest.Step{Status: 409}, policytest.Step{})
			req := policytest.NewRequest(t, "POST", "https://api.test/x", "text")
			req.Header.Set("Idempotency-Key", "k")
			req = req.WithContext(retry.WithControls(req.Context(), retry.Controls{FirstUse: first}))
			if answer := policytest.Do(newStage(t, s).Wrap(upstream), req); answer.Status != want {
				t.Errorf("first use %v: %d, want %d", first, answer.Status, want)
			}
		}
	})
}

// A letter has a key for all of its sends, or none for any.
func TestNoKeyIsMintedWhereTheCallerSaysSo(t *testing.T) {
	s := settings()
	s.IdempotencyHeader, s.MintKey, s.NewKey = "Idempotency-Key", true, func() string { return "minted" }
	upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{})
	for range 2 {
		req := policytest.NewRequest(t, "POST", "https://api.test/x", "text")
		if len(upstream.Requests()) > 0 {
			req = req.WithContext(retry.WithControls(req.Context(), retry.Controls{NoKey: true}))
		}
		policytest.Do(newStage(t, s).Wrap(upstream), req)
	}
	for i, want := range []string{"minted", ""} {
		if got := upstream.Requests()[i].Header.Get("Idempotency-Key"); got != want {
			t.Errorf("request %d has the key %q, want %q", i, got, want)
		}
	}
}
