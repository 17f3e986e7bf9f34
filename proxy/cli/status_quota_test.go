package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"outrider/policy"
)

func in(d time.Duration) *time.Time {
	at := time.Now().Add(d)
	return &at
}

// timeOfDay is when that has passed, on the clock of the one who asks.
func timeOfDay(after time.Duration) string { return in(after).Local().Format(time.TimeOnly) }

func share(f float64) *float64 { return &f }

// What there is to see of quotas: those that are configured, those that answers tell of,
// and what keeps each from being used.
func TestStatusTellsOfQuotasTheUrgentOnesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		printStatus(&out, statusView{Ready: true, Version: "1.2.3", Listen: map[string]string{"": "127.0.0.1:8080"}, Config: "my.toml", Upstreams: []policy.UpstreamStatus{{
			Name: "github", URL: "https://api.github.com", Budget: 50, Quotas: []policy.QuotaStatus{
				{Key: "api.github.com", Limit: "100/s, 25 at once", Utilization: share(0.1), Slots: 25, Tokens: 18, Room: 20, Active: 2},
				{Key: "api.github.com", Bucket: "core", Limit: "learned", Utilization: share(0.9926), Active: 2, Waiting: 3, Line: policy.Line{High: 1, Normal: 2},
					Learned: &policy.LearnedStatus{Limit: 5000, Remaining: 37, Reset: in(12*time.Minute + 3*time.Second), Window: 3600, Shape: "window"}},
				{Key: "api.github.com", Bucket: "search", Limit: "learned", Utilization: share(1), Waiting: 1, Line: policy.Line{Normal: 1}, Gate: in(8200 * time.Millisecond),
					Learned: &policy.LearnedStatus{Limit: 30, Reset: in(8 * time.Second), Window: 60, Shape: "window"}},
				{Key: "api.github.com", Bucket: "graphql", Limit: "learned", Utilization: share(0),
					Learned: &policy.LearnedStatus{Limit: 5000, Remaining: 5000, Window: 3600, Shape: "window"}},
				{Key: "ten.test", Bucket: "w=10", Limit: "learned", Utilization: share(0.5),
					Learned: &policy.LearnedStatus{Limit: 100, Remaining: 50, Reset: in(4 * time.Second), Window: 10, Shape: "rolling"}},
				{Key: "shop.test", Bucket: "default", Limit: "learned", Utilization: share(0.75),
					Learned: &policy.LearnedStatus{Limit: 40, Remaining: 10.5, Reset: in(15 * time.Second), Window: 20, Shape: "bucket"}},
				{Key: "shy.test", Bucket: "default", Limit: "learned", Learned: &policy.LearnedStatus{Remaining: 7, Shape: "bucket"}},
				{Key: "shop.test", Bucket: "graphql", Limit: "learned", Utilization: share(0.448),
					Learned: &policy.LearnedStatus{Limit: 1000, Remaining: 552.4, Reset: in(8960 * time.Millisecond), Window: 20, Shape: "bucket", Unit: "points", Each: 99.5}},
				{Key: "slots.test", Bucket: "jobs", Limit: "learned", Slots: 4, Active: 3},
				{Key: "silent.test", Limit: "learned", Adapted: 3.21},
			}}}})
		want := strings.NewReplacer(
			"{8s}", timeOfDay(8*time.Second), "{12m3s}", timeOfDay(12*time.Minute+3*time.Second), "{15s}", timeOfDay(15*time.Second),
			"{9s}", timeOfDay(8960*time.Millisecond),
		).Replace(`outrider 1.2.3: ready at 127.0.0.1:8080, configuration my.toml

github   https://api.github.com            50.0 retries in the budget
  quota  api.github.com search (learned)   0 of 30 left, 100 % used, all back in 8s ({8s}), 1 waiting, closed for 8.2s
  quota  api.github.com core (learned)     37 of 5000 left, 99 % used, all back in 12m3s ({12m3s}), 3 waiting (1 high, 2 normal)
  quota  shop.test default (learned)       10 of 40 left, 75 % used, refills, full in 15s ({15s}), 0 waiting
  quota  ten.test w=10 (learned)           50 of 100 left, 50 % used, each is back after 10s, 0 waiting
  quota  shop.test graphql (learned)       552 of 1000 points left, 45 % used, refills by 50 a second, full in 9s ({9s}), a call needs 100, 0 waiting
  quota  api.github.com                    100/s, 25 at once, 18.0 of 20 to spend, 2 under way, 0 waiting
  quota  slots.test jobs (learned)         4 at once, 3 under way, 0 waiting
  quota  api.github.com graphql (learned)  5000 of 5000 left, 0 % used, back as a whole, 0 waiting
  quota  shy.test default (learned)        7 left, refills, 0 waiting
  quota  silent.test                       learned, slowed down to 3.21 a second by refusals, 0 waiting
`)
		if got := out.String(); got != want {
			t.Errorf("status says\n%s\nwant\n%s", got, want)
		}
	})
}

func TestExplainTellsOfTheBucketsOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		printExplanation(w, policy.Explanation{Circuit: &policy.CircuitStatus{Key: "api.github.com", State: "closed"}, Quotas: []policy.QuotaForecast{
			{QuotaStatus: policy.QuotaStatus{Key: "api.github.com", Limit: "100/s"}, Cost: 1},
			{QuotaStatus: policy.QuotaStatus{Key: "api.github.com", Bucket: "core", Limit: "learned", Utilization: share(1), Line: policy.Line{Normal: 2},
				Learned: &policy.LearnedStatus{Limit: 5000, Reset: in(12300 * time.Millisecond), Shape: "window"}}, Cost: 1, Wait: 12.3, Why: "quota"},
			{QuotaStatus: policy.QuotaStatus{Key: "api.github.com", Limit: "25 at once"}, Cost: 5, Why: "concurrency"},
		}})
		_ = w.Flush()
		for _, want := range []string{
			"  quota           api.github.com, 100/s: a turn at once\n",
			"  quota           api.github.com core (learned), 0 of 5000 left, 100 % used, all back in 12.3s (" + timeOfDay(12300*time.Millisecond) + "): a turn in 12.300 s, 2 normal waiting\n",
			"  quota           api.github.com, 25 at once (it costs 5): a turn when another has its answer\n",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q in\n%s", want, out.String())
			}
		}
	})
}
