package retry

import (
	"net/http"
	"time"

	"outrider/policy/hint"
)

const (
	// throttledBase replaces a shorter Settings.Base after a 429 or 503, or what
	// means the same, that does not say how long: it asks for less load, not for
	// another try soon. So does a request that is still running.
	throttledBase = time.Second
	// hintSpread keeps those that were told the same time apart.
	hintSpread = 250 * time.Millisecond
)

// delay is the time to wait before retry n, counted from 0, after an attempt
// that ended in resp, or in an error if resp is nil.
//
// A server that says when to come back is waited for a little longer than
// that, never less: its time h becomes h·U(1, 1.1) + U(0, 250 ms). Without
// one, the wait is U(0, min(cap, base·2ⁿ)), "full jitter".
func (s *Stage) delay(n int, resp *http.Response, v Verdict, a Answer, now time.Time) time.Duration {
	base := s.set.Base
	if resp != nil {
		h, ok := hint.RetryAfter(resp.Header, now)
		if !ok && a.After > 0 {
			h, ok = a.After, true
		}
		if ok {
			return h + s.jitter(h/10) + s.jitter(hintSpread)
		}
		if a.Meaning == AsThrottle || v == Running || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
			base = max(base, throttledBase)
		}
	}
	return s.jitter(ceiling(base, s.set.Cap, n))
}

// ceiling is min(limit, base·2ⁿ).
func ceiling(base, limit time.Duration, n int) time.Duration {
	for ; n > 0 && base < limit; n-- {
		if base > limit/2 {
			return limit // and base·2 may not fit
		}
		base *= 2
	}
	return min(base, limit)
}

// jitter never asks for a random duration below a limit of zero.
func (s *Stage) jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return s.set.Jitter(limit)
}
