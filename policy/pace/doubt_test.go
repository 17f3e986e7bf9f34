package pace_test

import (
	"strings"
	"testing"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// bucket is what an answer says of a quota that comes back bit by bit.
func bucket(limit, left float64, full time.Time) quota.View {
	return quota.View{Unit: quota.Requests, Limit: quota.Known(limit), Remaining: quota.Known(left), Reset: full, Refill: quota.Gradual}
}

// hear has a call go and be answered at once.
func hear(l *pace.Learned, now time.Time, v quota.View, refused bool) {
	l.Spend(now, 1)
	l.Land(1)
	l.Told(now, v, refused)
}

func wantShape(t *testing.T, l *pace.Learned, now time.Time, want string) {
	t.Helper()
	if facts, _, _ := l.About(now); facts.Shape != want {
		t.Errorf("is taken for a %s, want a %s", facts.Shape, want)
	}
}

// GitHub's reset is a whole second, and so is the Date by which it is read, and answers
// travel for different times. The resets of an hour seemed to move, it was taken for a
// rolling one, and who had spent it at a quarter to eleven was held until a quarter to
// twelve.
func TestResetsOfOneWindowDiffer(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	for i := range 30 {
		late := time.Duration(i%3) * 700 * time.Millisecond
		hear(l, at(time.Duration(i)*time.Second), window(5000, float64(4000-i), at(time.Hour+late)), false)
	}
	wantShape(t, l, at(time.Minute), "window")
	wantLeft(t, l, at(time.Minute), 4000-29)
	if got := l.Turn(at(time.Minute), 4000, 1); got != at(time.Hour) {
		t.Errorf("all is back in %v, want an hour", got.Sub(start))
	}
}

// GitHub's secondary limits refuse with 4000 left, and OpenAI for its tokens with requests
// left. Three of these, and the quota that had not refused was taken for a rolling one.
func TestRefusalForAnotherQuotaSaysNothingOfThisOne(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	for i := range 10 {
		now := at(time.Duration(i) * 2 * time.Second)
		hear(l, now, bucket(500, 400, now.Add(12*time.Second)), true)
	}
	wantShape(t, l, at(time.Minute), "bucket")

	l = sent(window(100, 0, at(10*time.Second)), 0)
	hear(l, at(10*time.Second), window(100, 99, at(20*time.Second)), false)
	hear(l, at(11*time.Second), window(100, 10, at(20*time.Second)), true)
	wantLeft(t, l, at(20*time.Second), 100) // still without a probe
}

// Others who spend from a bucket too have ours refused now and then.
func TestRefusalsFarApartSayNothing(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	for i := range 100 {
		now := at(time.Duration(i) * time.Minute)
		if i%20 == 0 {
			hear(l, now, bucket(60, 0, now.Add(time.Minute)), true)
		} else {
			hear(l, now, bucket(60, 59, now.Add(time.Second)), false)
		}
	}
	wantShape(t, l, at(100*time.Minute), "bucket")
}

// HubSpot's day ends at midnight, of which its answers say nothing. Taken for a rolling
// one, what was spent in the evening held all calls until the next evening.
func TestDayThatEndsAtMidnightIsFoundOut(t *testing.T) {
	day := quota.View{Bucket: "daily", Unit: quota.Requests, Limit: quota.Known(1000), Remaining: quota.Known(999), Window: 24 * time.Hour}
	l := pace.NewLearned(pace.Auto)
	hear(l, start, day, false)
	l.Spend(start, 999)
	l.Land(999)
	day.Remaining = quota.Known(0)
	l.Told(start, day, false)
	for ahead := range 3 {
		if got := l.Turn(start, ahead, 1); got != at(15*time.Minute) {
			t.Errorf("after %d others, the turn is in %v", ahead, got.Sub(start))
		}
	}
	if now := at(15*time.Minute - 1); l.Ready(now, 1) {
		t.Error("the provider is asked too early")
	}
	now := at(15 * time.Minute)
	if !l.Ready(now, 1) || l.Held(now, 1) {
		t.Fatal("the provider is not asked")
	}
	l.Spend(now, 1)
	if l.Ready(now, 1) {
		t.Error("more than one goes to ask")
	}
	l.Land(1)
	l.Told(now, day, true) // It is not midnight yet.
	if got := l.Turn(now, 0, 1); got != now.Add(15*time.Minute) {
		t.Errorf("it is asked again in %v", got.Sub(now))
	}
	now = now.Add(15 * time.Minute)
	day.Remaining = quota.Known(999)
	hear(l, now, day, false)
	wantLeft(t, l, now, 999)
}

// What others have spent of a rolling day comes back we know not when.
func TestWhatOthersSpentIsAskedFor(t *testing.T) {
	day := quota.View{Bucket: "api-usage", Unit: quota.Requests, Limit: quota.Known(5000), Remaining: quota.Known(0), Window: 24 * time.Hour}
	l := pace.NewLearned(pace.Auto)
	hear(l, start, day, true)
	if got := l.Turn(start, 0, 1); got != at(15*time.Minute) {
		t.Errorf("it is asked in %v", got.Sub(start))
	}
	day.Remaining = quota.Known(70)
	hear(l, at(15*time.Minute), day, false)
	wantLeft(t, l, at(15*time.Minute), 70)
}

// Most windows of those who speak as the draft of the IETF stand still: at the reset that
// they name all is back, and not only what was spent a window before.
func TestResetThatWasNamedIsTried(t *testing.T) {
	hourly := quota.View{Bucket: "hourly", Unit: quota.Requests, Limit: quota.Known(100), Remaining: quota.Known(99), Window: time.Hour, Reset: at(10 * time.Minute)}
	l := pace.NewLearned(pace.Auto)
	hear(l, start, hourly, false)
	l.Spend(start, 99)
	l.Land(99)
	hourly.Remaining = quota.Known(0)
	l.Told(start, hourly, false)
	now := at(10 * time.Minute)
	if l.Ready(now.Add(-1), 1) || l.Turn(start, 0, 1) != now {
		t.Errorf("the turn is in %v", l.Turn(start, 0, 1).Sub(start))
	}
	hourly.Remaining, hourly.Reset = quota.Known(99), at(70*time.Minute)
	hear(l, now, hourly, false)
	wantLeft(t, l, now, 99)
}

// To spread a rolling quota is not to ask for more of it.
func TestSpreadOfARollingQuotaIsKept(t *testing.T) {
	l := pace.NewLearned(pace.Spread)
	hear(l, start, quota.View{Unit: quota.Requests, Limit: quota.Known(24), Remaining: quota.Known(23), Window: 24 * time.Hour}, false)
	l.Spend(start, 1)
	l.Land(1)
	if l.Ready(at(59*time.Minute), 1) || !l.Ready(at(time.Hour), 1) {
		t.Errorf("the next goes after %v, want an hour", l.Turn(start, 0, 1).Sub(start))
	}
}

// A provider whose clock is late, or which does not say when it is, refuses at the reset
// that it has named, and names it again. It was asked as fast as it answered.
func TestResetThatIsNotTrueIsTriedLessAndLess(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	now := at(10 * time.Second)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if !l.Ready(now, 1) {
			t.Fatalf("is not ready at %v", now.Sub(start))
		}
		hear(l, now, window(100, 0, now), true)
		next := l.Turn(now, 0, 1)
		if next.Sub(now) != want*time.Second {
			t.Errorf("is asked again after %v, want %v", next.Sub(now), want*time.Second)
		}
		now = next
	}
	hear(l, now, window(100, 99, now.Add(time.Minute)), false)
	wantLeft(t, l, now, 99)
}

// A refusal within a second of the reset has all wait, and is no reason to doubt that it
// is a window.
func TestWindowThatOpensASecondLateIsAWindow(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	reset := at(10 * time.Second)
	for range 10 {
		hear(l, reset, window(100, 0, reset), true)
		hear(l, reset.Add(time.Second), window(100, 99, reset.Add(10*time.Second)), false)
		hear(l, reset.Add(2*time.Second), window(100, 0, reset.Add(10*time.Second)), false)
		reset = reset.Add(10 * time.Second)
	}
	wantShape(t, l, reset.Add(-1), "window")
}

// An answer that names limit and reset alone does not say that nothing is left.
func TestAnswerThatDoesNotSayWhatIsLeft(t *testing.T) {
	l := sent(window(100, 50, at(time.Minute)), 0)
	hear(l, at(time.Second), quota.View{Unit: quota.Requests, Limit: quota.Known(100), Reset: at(time.Minute), Refill: quota.Whole}, false)
	wantLeft(t, l, at(time.Second), 50)
}

// The monotonic clock stands still while a laptop sleeps, and then a reset that has long
// passed seemed to lie ahead.
func TestLearnedGoesByTheWallClock(t *testing.T) {
	now := time.Now()
	for _, v := range []quota.View{window(100, 0, now.Add(time.Hour)), {Limit: quota.Known(1), Remaining: quota.Known(0), Window: time.Second}} {
		l := pace.NewLearned(pace.Auto)
		hear(l, now, v, false)
		for _, got := range []time.Time{l.Turn(now, 0, 1), l.Until()} {
			if strings.Contains(got.String(), " m=") {
				t.Errorf("%v has a monotonic reading", got)
			}
		}
	}
}

// A clock that is set back by a day must not hold the calls for a day.
func TestNothingIsKnownWhenTheClockIsSetBack(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	if !l.Known(at(-30 * time.Second)) {
		t.Error("a correction is forgetting")
	}
	if yesterday := at(-24 * time.Hour); l.Known(yesterday) || !l.Ready(yesterday, 1) {
		t.Error("is known before it was told")
	}
}

// What is left is rounded down, so a bucket that lacked a thousandth seemed to lack a whole
// unit, and to fill in half a second what takes a minute: a burst was refused. And one of 3
// a minute seemed to be half as fast again as it was.
func TestSpeedOfABucketIsMeasuredWhenItLacksMuch(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	hear(l, start, bucket(500, 499, at(time.Millisecond)), false)
	hear(l, start, bucket(500, 400, at(12*time.Second)), false)
	hear(l, start, bucket(500, 499, at(time.Millisecond)), false)
	if facts, _, _ := l.About(start); facts.Window < 59*time.Second || facts.Window > 62*time.Second {
		t.Errorf("is full in %v, want a minute", facts.Window)
	}
	l = pace.NewLearned(pace.Spend)
	hear(l, start, bucket(3, 0, at(59*time.Second)), false)
	hear(l, start, bucket(3, 0, at(42*time.Second)), false)
	if facts, _, _ := l.About(start); facts.Window < time.Minute {
		t.Errorf("is full in %v, want a minute", facts.Window)
	}
}

// A policy says how much is allowed, and not what is left: no call would find that out.
func TestPolicyAloneIsKeptTo(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	hear(l, start, quota.View{Unit: quota.Requests, Limit: quota.Known(100), Window: 24 * time.Hour}, false)
	l.Spend(start, 100)
	l.Land(100)
	if got := l.Turn(start, 0, 1); got.Before(at(24*time.Hour)) || l.Ready(at(time.Hour), 1) {
		t.Errorf("another goes after %v", got.Sub(start))
	}
}

// A Retry-After of two seconds goes before the reset in an hour that was told before, and
// a window may end before its time. Both were taken for news of a window that had ended.
func TestResetThatMovesBackCounts(t *testing.T) {
	l := sent(window(100, 5, at(time.Hour)), 0)
	hear(l, start, window(100, 0, at(2*time.Second)), true)
	if got := l.Turn(start, 0, 1); got != at(2*time.Second) {
		t.Errorf("the next goes after %v, want 2s", got.Sub(start))
	}
}

// The calls that were sent before a quota was heard of are no trial of it.
func TestQuotaThatIsHeardOfFirstIsNotAskedAtOnce(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	l.Told(start, quota.View{Unit: quota.Requests, Limit: quota.Known(100), Remaining: quota.Known(0), Window: 24 * time.Hour}, false)
	if got := l.Turn(start, 0, 1); l.Ready(start, 1) || got != at(15*time.Minute) {
		t.Errorf("ready %v, the turn is in %v", l.Ready(start, 1), got.Sub(start))
	}
}

// Who waited for the answer to a probe was not told that the quota may be forgotten before
// that comes, and waited on.
func TestWhoeverWaitsForAProbeGoesWhenTheQuotaIsForgotten(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	now := at(10 * time.Second)
	l.Spend(now, 1)
	if !l.Held(now, 1) || l.Decided(now, 1) != l.Until() {
		t.Errorf("held %v, decided in %v, forgotten in %v", l.Held(now, 1), l.Decided(now, 1).Sub(now), l.Until().Sub(now))
	}
}
