package retry_test

import (
	"cmp"
	"context"
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

// A key that an earlier request of the same call had is no first use: a 409 says that this is
// still running. It is told to the caller like one that was made for it.
func TestKeyOfAnEarlierRequestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		s.IdempotencyHeader, s.MintKey, s.NewKey = "Idempotency-Key", true, func() string { return "new" }
		for earlier, want := range map[string]int{"": 409, "earlier": 200} {
			s.EarlierKey = func(context.Context) string { return earlier }
			upstream := policytest.NewUpstream(t, policytest.Step{Status: 409}, policytest.Step{})
			answer := policytest.Do(newStage(t, s).Wrap(upstream), policytest.NewRequest(t, "POST", "https://api.test/x", "text"))
			key := cmp.Or(earlier, "new")
			if answer.Status != want || answer.Header.Get("Idempotency-Key") != key || upstream.Requests()[0].Header.Get("Idempotency-Key") != key {
				t.Errorf("earlier %q: answered %+v", earlier, answer)
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
