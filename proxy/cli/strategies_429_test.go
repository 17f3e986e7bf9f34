package cli

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// A strategy429 makes one call good by what send answers, or gives it up, at the end of
// ctx at the latest.
type strategy429 struct {
	name     string
	call     func(ctx context.Context, chance *rand.Rand, send func() (int, http.Header)) bool
	outrider func(l limiter429) string // what stands in its configuration; nil: it is not there
}

var (
	jitter429     = strategy429{"retry x3, full jitter", retryThrice, nil}
	retryAfter429 = strategy429{"each waits Retry-After", retryAfterAlone, nil}
	nothingSet429 = strategy429{"Outrider, nothing set", once, func(limiter429) string { return "" }}
	limitSet429   = strategy429{"Outrider, limit set", once, func(l limiter429) string { return l.known }}

	strategies429 = []strategy429{jitter429, retryAfter429, nothingSet429, limitSet429}
)

// retryThrice is the usual loop: four attempts, a random pause of up to 1, 2 and 4
// seconds between them, and no look at the headers.
func retryThrice(ctx context.Context, chance *rand.Rand, send func() (int, http.Header)) bool {
	for retry := range 3 {
		if status, _ := send(); status == http.StatusOK {
			return true
		}
		if !idle(ctx, upTo(chance, time.Second<<retry)) {
			return false
		}
	}
	status, _ := send()
	return status == http.StatusOK
}

// retryAfterAlone goes on until the deadline, and waits for as long as it is told; where
// it is told nothing, for up to 1, 2, 4, 8, 16 and then always 20 seconds.
func retryAfterAlone(ctx context.Context, chance *rand.Rand, send func() (int, http.Header)) bool {
	for attempt := 0; ; attempt++ {
		status, header := send()
		if status == http.StatusOK {
			return true
		}
		wait := upTo(chance, min(time.Second<<min(attempt, 5), 20*time.Second))
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
			wait = time.Duration(seconds) * time.Second
		}
		if !idle(ctx, wait) {
			return false
		}
	}
}

// once leaves everything to who is asked.
func once(_ context.Context, _ *rand.Rand, send func() (int, http.Header)) bool {
	status, _ := send()
	return status == http.StatusOK
}
