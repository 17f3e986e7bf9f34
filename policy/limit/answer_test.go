package limit_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/quota"
)

// What an answer means goes before its status, and how long the next call waits then.
func TestGateFollowsWhatAnAnswerMeans(t *testing.T) {
	const slower = 714285714 // by refusals that say no time: see pace.Adaptive
	spent := []string{"X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "20"}
	for name, test := range map[string]struct {
		status int
		header []string
		means  limit.Answer
		want   time.Duration
	}{
		"a throttle that is a 200":             {200, nil, limit.Answer{Meaning: limit.Throttled, After: time.Minute}, time.Minute},
		"a throttle without a time":            {403, nil, limit.Answer{Meaning: limit.Throttled}, slower},
		"a throttle of years":                  {200, nil, limit.Answer{Meaning: limit.Throttled, After: 1e6 * time.Hour}, 24 * time.Hour},
		"exhausted":                            {429, []string{"X-Ratelimit-Reset-Tokens", "6s", "X-Ratelimit-Remaining-Tokens", "9"}, limit.Answer{Meaning: limit.Exhausted}, 0},
		"exhausted, and the last of another":   {429, spent, limit.Answer{Meaning: limit.Exhausted}, 20 * time.Second},
		"exhausted for longer than another":    {429, spent, limit.Answer{Meaning: limit.Exhausted, After: time.Hour}, time.Hour},
		"exhausted until then":                 {429, nil, limit.Answer{Meaning: limit.Exhausted, After: time.Hour}, time.Hour},
		"about something else":                 {429, []string{"Retry-After", "5"}, limit.Answer{Meaning: limit.Unrelated}, 0},
		"about something else, and the last":   {429, spent, limit.Answer{Meaning: limit.Unrelated}, 20 * time.Second},
		"what its status says":                 {429, []string{"Retry-After", "5"}, limit.Answer{}, 5 * time.Second},
		"what its status says, without a time": {429, nil, limit.Answer{}, slower},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			w.answer = func(string) *http.Response { return respond(test.status, test.header...) }
			settings := unlimited()
			settings.Answer = func(*http.Request, *http.Response) limit.Answer { return test.means }
			if got := closedFor(t, settings, w); got != test.want {
				t.Errorf("%s: the next waits for %v, want %v", name, got, test.want)
			}
		})
	}
}

// One provider's number of milliseconds is another's number of seconds.
func TestGateIsClosedInTheUnitsOfTheDialect(t *testing.T) {
	millis, _ := quota.Named("milliseconds")
	for dialect, want := range map[*quota.Dialect]time.Duration{nil: 30 * time.Minute, millis: 1800 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			w.answer = func(string) *http.Response {
				return respond(200, "X-Ratelimit-Limit", "100", "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "1800")
			}
			settings := unlimited()
			settings.Dialect = dialect
			if got := closedFor(t, settings, w); got != want {
				t.Errorf("the next waits for %v, want %v", got, want)
			}
		})
	}
}

// closedFor is for how long the next call waits after one.
func closedFor(t *testing.T, settings limit.Settings, w *wire) time.Duration {
	g := newGroup(t, settings, nil)
	newCaller(t, g, w).startAll(t.Context(), "a")
	synctest.Wait()
	return g.Estimate("api.example")
}
