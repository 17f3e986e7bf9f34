package limit_test

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// What an answer says of its quota, and how long the next call waits for it then.
func TestNextCallFollowsWhatIsLeft(t *testing.T) {
	in := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	synctest.Test(t, func(t *testing.T) {
		hour := in(55 * time.Minute)
		for name, test := range map[string]struct {
			status int
			header []string
			want   time.Duration
		}{
			"spent":                         {200, []string{"X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", in(20 * time.Second)}, 20 * time.Second},
			"some left":                     {200, []string{"X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "1", "X-Ratelimit-Reset", hour}, 0},
			"an error with a reset":         {502, []string{"X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4000", "X-Ratelimit-Reset", hour}, 0},
			"a bucket refuses":              {403, []string{"X-Ratelimit-Limit", "30", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", in(40 * time.Second), "X-Ratelimit-Resource", "search"}, 40 * time.Second},
			"no permission":                 {403, []string{"X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4000", "X-Ratelimit-Reset", hour}, 0},
			"a secondary limit":             {403, []string{"Retry-After", "60", "X-Ratelimit-Limit", "5000", "X-Ratelimit-Remaining", "4000", "X-Ratelimit-Reset", hour}, time.Minute},
			"a throttle with a reset alone": {429, []string{"X-Ratelimit-Reset-Requests", "6s", "X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Limit-Requests", "60"}, 100 * time.Millisecond},
			"a throttle with nothing":       {429, nil, 714285714}, // see pace.Adaptive
			"Retry-After goes first":        {429, []string{"Retry-After", "2", "X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", hour}, 2 * time.Second},
			"the draft of the IETF":         {200, []string{"Ratelimit", `"default";r=0;t=7`}, 7 * time.Second},
			"an old answer of a cache":      {200, []string{"Age", "30", "X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", hour}, 0},
			"next month":                    {200, []string{"X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", in(30 * 24 * time.Hour)}, 30 * 24 * time.Hour},
		} {
			w := newWire()
			w.answer = func(string) *http.Response { return respond(test.status, test.header...) }
			g := newGroup(t, limit.Settings{Learn: true, MaxWait: time.Hour, MaxQueue: 10}, nil)
			newCaller(t, g, w).startAll(t.Context(), "a")
			synctest.Wait()
			if got := g.Estimate("api.example"); got != test.want {
				t.Errorf("%s: the next waits for %v, want %v", name, got, test.want)
			}
		}
	})
}

// A day that may be over is asked for by one call, and when that finds it renewed, the
// others go at once.
func TestOneCallFindsOutThatADayIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		left := map[string]string{"a": "0", "b": "999", "c": "998", "d": "997"}
		w.answer = func(name string) *http.Response {
			return respond(200, "X-Hubspot-Ratelimit-Daily", "1000", "X-Hubspot-Ratelimit-Daily-Remaining", left[name])
		}
		g := newGroup(t, limit.Settings{Learn: true, MaxWait: time.Hour, MaxQueue: 10}, nil)
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "a")
		synctest.Wait()
		c.startAll(t.Context(), "b c d")
		time.Sleep(time.Hour)
		quarter := 15 * time.Minute
		if got, want := w.times(), []time.Duration{0, quarter, quarter, quarter}; !slices.Equal(got, want) {
			t.Errorf("sent at %v, want %v", got, want)
		}
	})
}
