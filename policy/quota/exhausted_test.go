package quota_test

import (
	"testing"
	"time"

	"outrider/policy/quota"
)

// A client of GitHub that took the reset of every failed answer for a wait
// slept for 55 minutes after a bad gateway. GitHub sends its reset with every
// answer; this one had 4,000 calls left.
func TestBadGatewayWithAResetAndCallsLeftIsNoWait(t *testing.T) {
	header := fields("X-RateLimit-Limit: 5000", "X-RateLimit-Remaining: 4000", "X-RateLimit-Used: 1000",
		"X-RateLimit-Reset: 1772448900", "X-RateLimit-Resource: core")
	got := quota.Parse(header, arrival, nil)
	if len(got) != 1 || !got[0].Reset.Equal(in(55*time.Minute)) {
		t.Fatalf("%+v", got)
	}
	for _, status := range []int{200, 304, 401, 403, 404, 500, 502, 503, 504} {
		if until, exhausted := quota.Exhausted(got, status, false, arrival); exhausted || !until.IsZero() {
			t.Errorf("a %d holds until %v", status, until)
		}
	}
}

func TestExhausted(t *testing.T) {
	for _, test := range []struct {
		name   string
		views  views
		status int
		hinted bool
		until  time.Time
		want   bool
	}{
		{"nothing is known", nil, 429, false, time.Time{}, false},
		{"the last one was let in", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 200, false, in(30 * time.Second), true},
		{"GitHub's primary limit: 403 without a hint", views{{Unit: quota.Requests, Limit: n(5000), Remaining: n(0), Reset: in(time.Hour), Refill: quota.Whole}}, 403, false, in(time.Hour), true},
		{"a 502 with nothing left", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 502, false, in(30 * time.Second), true},
		{"less than one left", views{{Unit: quota.Requests, Remaining: n(0.5), Reset: in(30 * time.Second)}}, 200, false, in(30 * time.Second), true},
		{"one left", views{{Unit: quota.Requests, Remaining: n(1), Reset: in(30 * time.Second)}}, 200, false, time.Time{}, false},

		{"429 that does not say what is left", views{{Unit: quota.Requests, Reset: in(30 * time.Second)}}, 429, false, in(30 * time.Second), true},
		{"503 that does not say what is left", views{{Unit: quota.Requests, Reset: in(30 * time.Second)}}, 503, false, time.Time{}, false},
		{"a secondary limit: 429 with calls left", views{{Unit: quota.Requests, Remaining: n(4000), Reset: in(55 * time.Minute)}}, 429, false, time.Time{}, false},
		{"the same, in a unit that is not said", views{{Remaining: n(4000), Reset: in(55 * time.Minute)}}, 429, false, time.Time{}, false},
		{"429 with a few tokens left", views{{Unit: quota.Tokens, Remaining: n(40), Reset: in(9 * time.Second)}}, 429, false, in(9 * time.Second), true},
		{"200 with a few tokens left", views{{Unit: quota.Tokens, Remaining: n(40), Reset: in(9 * time.Second)}}, 200, false, time.Time{}, false},
		{"429 and a limit alone", views{{Unit: quota.Requests, Limit: n(100), Window: time.Minute}}, 429, false, time.Time{}, false},

		{"Retry-After goes first on a 429", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 429, true, time.Time{}, false},
		{"and on a 403", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 403, true, time.Time{}, false},
		{"and on a 503", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 503, true, time.Time{}, false},
		{"but not on a 202", views{{Unit: quota.Requests, Remaining: n(0), Reset: in(30 * time.Second)}}, 202, true, in(30 * time.Second), true},

		{"the latest of those that are spent", views{
			{Bucket: "a", Unit: quota.Requests, Remaining: n(0), Reset: in(3 * time.Second)},
			{Bucket: "b", Unit: quota.Requests, Remaining: n(0), Reset: in(5 * time.Second)},
			{Bucket: "c", Unit: quota.Requests, Remaining: n(9), Reset: in(time.Hour)}}, 200, false, in(5 * time.Second), true},
		{"spent, and nobody knows until when", views{{Unit: quota.Requests, Remaining: n(0), Window: 10 * time.Second}}, 429, false, time.Time{}, true},
		{"calls at once come back with calls", views{{Unit: quota.Concurrency, Limit: n(10), Remaining: n(0)}}, 429, false, time.Time{}, false},
		{"one call of a bucket that refills", views{{Unit: quota.Requests, Limit: n(60), Remaining: n(0), Reset: in(time.Minute), Refill: quota.Gradual}}, 200, false, in(time.Second), true},
		{"nobody knows how many tokens are needed", views{{Unit: quota.Tokens, Limit: n(60), Remaining: n(0), Reset: in(time.Minute), Refill: quota.Gradual}}, 200, false, in(time.Minute), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			until, got := quota.Exhausted(test.views, test.status, test.hinted, arrival)
			if got != test.want || !until.Equal(test.until) {
				t.Errorf("%v until %v, want %v until %v", got, until, test.want, test.until)
			}
		})
	}
}

func TestBackIsSteadyWhereTheRefillIs(t *testing.T) {
	bucket := quota.View{Unit: quota.Points, Limit: n(1000), Remaining: n(200), Reset: in(16 * time.Second), Refill: quota.Gradual}
	window, unknown, endless := bucket, bucket, bucket
	window.Refill = quota.Whole
	unknown.Limit = quota.Count{}
	endless.Reset = time.Time{}
	past := bucket
	past.Reset = in(-time.Second)
	for _, test := range []struct {
		name string
		view quota.View
		cost float64
		want time.Time
	}{
		{"enough is there", bucket, 200, arrival},
		{"the next unit", bucket, 201, in(20 * time.Millisecond)},
		{"a part of it", bucket, 600, in(8 * time.Second)},
		{"all of it", bucket, 1000, in(16 * time.Second)},
		{"more than ever", bucket, 5000, in(16 * time.Second)},
		{"a window", window, 201, in(16 * time.Second)},
		{"an unknown limit", unknown, 201, in(16 * time.Second)},
		{"an unknown reset", endless, 201, time.Time{}},
		{"a reset that has passed", past, 201, in(-time.Second)},
	} {
		if got := test.view.Back(test.cost, arrival); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
