package cli

import (
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
)

func TestQuotaSaysWhenAllLettersAreSent(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	for _, c := range []struct {
		name  string
		quota policy.QuotaStatus
		calls float64
		want  float64
	}{
		{"nothing is known", policy.QuotaStatus{Limit: "learned"}, 1000, 0},
		{"a rate", policy.QuotaStatus{Limit: "10/s", Room: 20, Tokens: 20}, 1020, 100},
		{"a rate and a number of calls", policy.QuotaStatus{Limit: "3600/h, 10 at once", Room: 1, Tokens: 1}, 11, 10},
		{"a rate with room for all", policy.QuotaStatus{Limit: "10/s", Room: 20, Tokens: 20}, 20, 0},
		{"a gate", policy.QuotaStatus{Limit: "10/s", Room: 20, Tokens: 20, Gate: in(time.Hour)}, 30, 3600},
		{"left of a window", policy.QuotaStatus{Learned: &policy.LearnedStatus{Limit: 5000, Remaining: 100, Window: 3600, Shape: "window", Reset: in(time.Minute)}}, 100, 0},
		{"until its reset", policy.QuotaStatus{Learned: &policy.LearnedStatus{Limit: 5000, Remaining: 0, Window: 3600, Shape: "window", Reset: in(time.Minute)}}, 5000, 60},
		{"three windows", policy.QuotaStatus{Learned: &policy.LearnedStatus{Limit: 5000, Remaining: 0, Window: 3600, Shape: "window", Reset: in(time.Minute)}}, 12000, 60 + 2*3600},
		{"little by little", policy.QuotaStatus{Learned: &policy.LearnedStatus{Limit: 100, Remaining: 20, Window: 60, Shape: "bucket"}}, 120, 60},
		{"calls of several points", policy.QuotaStatus{Learned: &policy.LearnedStatus{Limit: 100, Remaining: 0, Window: 60, Shape: "bucket", Each: 5}}, 20, 60},
	} {
		if got := quotaTime([]policy.QuotaStatus{c.quota}, c.calls, now); got != c.want {
			t.Errorf("%s: %v seconds, want %v", c.name, got, c.want)
		}
	}
}

// A quota begins with its first call. Until then the limits that are configured say how long
// it takes, or an import into an idle Outrider would not.
func TestLimitSaysWhenAllLettersAreSent(t *testing.T) {
	perMinute := config.Rate{Count: 60, Per: time.Minute}
	for _, c := range []struct {
		name   string
		limits []config.Limit
		calls  float64
		want   float64
	}{
		{"none", nil, 1000, 0},
		{"no rate", []config.Limit{{Concurrency: 5}}, 1000, 0},
		{"a rate", []config.Limit{{Rate: perMinute}}, 61, 60},
		{"the slowest of two", []config.Limit{{Rate: perMinute, Burst: 61}, {Rate: config.Rate{Count: 60, Per: time.Hour}, Burst: 2}}, 61, 59 * 60},
		{"room for all", []config.Limit{{Rate: perMinute, Burst: 100}}, 61, 0},
	} {
		if got := limitTime(c.limits, c.calls); got != c.want {
			t.Errorf("%s: %v seconds, want %v", c.name, got, c.want)
		}
	}
}
