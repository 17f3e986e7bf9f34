package outbox

import "time"

const (
	backoffBase = 5 * time.Second
	backoffCap  = 10 * time.Minute
)

// backoff is how long a letter waits after its n-th attempt (1 is the first): 5 s · 2ⁿ⁻¹, at
// most 10 minutes, the upper half of it by chance, so that letters which failed together do
// not come again together.
func backoff(n int, jitter func(time.Duration) time.Duration) time.Duration {
	d := backoffCap
	if n < 8 { // 5 s · 2⁷ is more than the cap
		d = min(backoffBase<<(n-1), backoffCap)
	}
	return d/2 + jitter(d/2)
}
