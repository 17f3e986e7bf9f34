package pace_test

import (
	"testing"
	"time"

	"outrider/policy/pace"
)

// In a trial, calls stood still for a whole window after a reload had raised their limit
// from one a second: what was not left in the small limit was taken to be spent of the
// large one. With limits of an hour that is an hour.
func TestRaisedLimitIsNotTakenToBeSpent(t *testing.T) {
	second := pace.Rate{Count: 1, Per: time.Second, Burst: 1}
	minute := pace.Rate{Count: 2, Per: time.Minute, Kind: pace.Window}
	even := pace.Rate{Count: 2, Per: time.Minute, Burst: 2, Kind: pace.Even}
	hour := pace.Rate{Count: 5000, Per: time.Hour, Kind: pace.Window}
	for _, test := range []struct {
		name     string
		old, new pace.Rate
		left     float64
	}{
		{"a bucket may have let pass 3601", second, hour, 1399},
		{"windows may have let pass 2 now, and 2 in each minute", minute, hour, 4878},
		{"a span has let pass 2 now, and 2 in each minute before", even, hour, 4880},
		{"a window of which nothing is left", pace.Rate{Count: 2, Per: time.Hour, Kind: pace.Window}, hour, 4996},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := test.old.New(nil, start)
			for old.Ready(start, 1) {
				old.Spend(start, 1)
			}
			if got := test.new.New(old, start).Left(start); got != test.left {
				t.Errorf("%v are left, want %v", got, test.left)
			}
		})
	}
}

// Two reloads in one window, to one call and back, forgot what had been sent before them:
// as if the one call were all that the window had let pass, up to 19 of 10 went.
func TestWindowThatIsLoweredAndRaisedRemembersWhatItHasLetPass(t *testing.T) {
	rate := func(count float64) pace.Rate { return pace.Rate{Count: count, Per: time.Second, Kind: pace.Window} }
	shape := rate(7).New(nil, start)
	for range 7 {
		shape.Spend(start, 1)
	}
	shape = rate(1).New(shape, start.Add(10*time.Millisecond))
	now := start.Add(100 * time.Millisecond)
	shape = rate(10).New(shape, now)
	if got := shape.Left(now); got != 2 { // one of the ten may have gone since the first reload, for all that it knows
		t.Errorf("%v are left of ten, after seven", got)
	}
	shape = rate(100).New(rate(10).New(rate(100).New(nil, start), start), start)
	if got := shape.Left(start); got != 90 {
		t.Errorf("%v are left of a hundred after none", got)
	}
}

// Fifty calls may have counted to either of two windows as the limit was lowered to ten. The
// forty that are too many were put before all who came after: calls were told to wait for
// four windows more than they had to, and refused for that.
func TestWindowThatIsLoweredBetweenTwoEndsWhenItEnds(t *testing.T) {
	rate := func(count float64) pace.Rate {
		return pace.Rate{Count: count, Per: 10 * time.Second, Kind: pace.Window, Guard: 200 * time.Millisecond}
	}
	shape := rate(100).New(nil, start)
	shape.Spend(start, 1)
	between := start.Add(10*time.Second + 100*time.Millisecond)
	for range 50 {
		shape.Spend(between, 1)
	}
	shape = rate(10).New(shape, between)
	now := between.Add(time.Second)
	if got := shape.Left(now); got != 0 {
		t.Errorf("%v are left of ten, after fifty", got)
	}
	if turn := shape.Turn(now, 9, 1); !shape.Ready(turn, 10) || shape.Ready(turn.Add(-1), 1) {
		t.Errorf("ten are told to go after %v", turn.Sub(now))
	}
}

// A bucket of 500 that is full says nothing of the hour before. When its burst was taken
// out of the configuration, the 500 went, and then nothing for an hour.
func TestBucketThatBecomesEvenGoesOnAtItsRate(t *testing.T) {
	bucket := pace.Rate{Count: 3600, Per: time.Hour, Burst: 500}
	even := pace.Rate{Count: 3600, Per: time.Hour, Kind: pace.Even}
	times := spend(t, even.New(bucket.New(nil, start), start), 600)
	// 360 of those that were left go at once; so many come back in each second that the
	// rate never stops.
	for i, at := range times {
		if latest := time.Duration(max(i-359, 0)+4) * time.Second; at > latest {
			t.Fatalf("call %d goes at %v, later than %v", i, at, latest)
		}
	}
}
