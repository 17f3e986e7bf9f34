package cli

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A clientDoubles makes one call good, or gives it up.
type clientDoubles struct {
	kind      kindDoubles
	id        string
	transport http.RoundTripper
	chance    *rand.Rand
	asked     int // how often it called
	bare      int // and of these, how often without a key
}

// run calls, and calls again now and then where there was no good answer: under its own
// key, or under the one that it was told, if any.
func (c *clientDoubles) run(ctx context.Context) {
	key := ""
	if c.kind.keyed {
		key = c.id
	}
	for range againDoubles {
		c.asked++
		if key == "" {
			c.bare++
		}
		resp, err := c.call(ctx, key)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 300 {
				return
			}
			if told := resp.Header.Get("Idempotency-Key"); told != "" {
				key = told
			}
		}
		if c.chance.IntN(2) == 0 || !idle(ctx, upTo(c.chance, 2*time.Second)) {
			return
		}
	}
}

// call makes one call, of which one in eight is broken off at any time.
func (c *clientDoubles) call(ctx context.Context, key string) (*http.Response, error) {
	ctx, leave := context.WithCancel(callOf(ctx, "client"))
	defer leave()
	if c.chance.IntN(8) == 0 {
		defer time.AfterFunc(upTo(c.chance, 3*time.Second), leave).Stop()
	}
	req, err := http.NewRequestWithContext(ctx, c.kind.method, "http://api.test"+c.kind.target, strings.NewReader(c.id))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Logical-Id", c.id)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return c.transport.RoundTrip(req)
}

// most is how many effects the call may have: one for each key, and where there is none,
// one for each time that the client itself called.
func (c *clientDoubles) most() int64 {
	switch {
	case c.kind.method == http.MethodGet:
		return 0
	case c.kind.once():
		return 1
	}
	return int64(c.bare)
}

// check compares what happened with what the client asked for.
func (c *clientDoubles) check(t *testing.T, requests, effects int64) {
	if effects > c.most() {
		t.Errorf("%s: %d effects, want at most %d; the client called %d times, of these %d without a key", c.id, effects, c.most(), c.asked, c.bare)
	}
	if c.kind.sentOnce() && requests > int64(c.asked) {
		t.Errorf("%s: %d requests arrived for %d calls of the client: it may not be sent again", c.id, requests, c.asked)
	}
}
