package pace_test

import (
	"fmt"
	"testing"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// window is what an answer says of a fixed window.
func window(limit, left float64, reset time.Time) quota.View {
	return quota.View{Unit: quota.Requests, Limit: quota.Known(limit), Remaining: quota.Known(left), Reset: reset, Refill: quota.Whole}
}

func at(d time.Duration) time.Time { return start.Add(d) }

// sent is a quota with so many calls on their way, the first answer to which said v.
func sent(v quota.View, more int) *pace.Learned {
	l := pace.NewLearned(pace.Spend)
	for range more + 1 {
		l.Spend(start, 1)
	}
	l.Land(1)
	l.Told(start, v, false)
	return l
}

func wantLeft(t *testing.T, l *pace.Learned, now time.Time, want float64) {
	t.Helper()
	if got := l.Left(now); got != want {
		t.Errorf("%v are left, want %v", got, want)
	}
}

// An answer does not say which of the calls that are on their way it has counted.
func TestCallsOnTheirWayAreSubtracted(t *testing.T) {
	l := sent(window(100, 50, at(time.Minute)), 10)
	wantLeft(t, l, start, 40)
	// This one was answered earlier and overtaken: it was counted in the 50.
	l.Land(1)
	l.Told(at(1), window(100, 55, at(time.Minute)), false)
	wantLeft(t, l, at(1), 41)
	// Another program spends from the same quota.
	l.Land(1)
	l.Told(at(2), window(100, 20, at(time.Minute)), false)
	wantLeft(t, l, at(2), 12)
}

// Where what is left is on its way, it is the answers that tell whether a call may go,
// and no time; and it is not told to come back in an hour.
func TestWhoeverWaitsForAnswersIsNotToldATime(t *testing.T) {
	l := sent(window(100, 5, at(time.Hour)), 5)
	if l.Ready(start, 1) || !l.Held(start, 1) || l.Turn(start, 0, 1) != start {
		t.Errorf("ready %v, held %v, turn in %v", l.Ready(start, 1), l.Held(start, 1), l.Turn(start, 0, 1).Sub(start))
	}
	if got := l.Turn(start, 5, 1); got != at(time.Hour) {
		t.Errorf("the sixth has its turn in %v, want an hour", got.Sub(start))
	}
	l.Land(1)
	l.Told(at(1), window(100, 6, at(time.Hour)), false)
	if !l.Ready(at(1), 1) {
		t.Error("an answer that leaves one has not freed it")
	}
}

// A call whose connection broke may have been counted.
func TestCallWithoutAnAnswerIsTakenToHaveBeenCounted(t *testing.T) {
	l := sent(window(100, 50, at(time.Minute)), 1)
	l.Land(1)
	l.Silent(at(1), start, 1)
	wantLeft(t, l, at(1), 49)
	l.Spend(at(2), 1)
	l.Unspend(at(3), at(2), 1)
	wantLeft(t, l, at(3), 49)
}

// The first window that ends is opened by one call; when that finds all of it there,
// the next ones are taken for granted.
func TestFirstCallAfterAResetIsAProbe(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	if l.Ready(at(10*time.Second-1), 1) || l.Turn(start, 0, 1) != at(10*time.Second) {
		t.Error("is ready before the reset")
	}
	now := at(10 * time.Second)
	if !l.Ready(now, 1) {
		t.Fatal("is not ready at the reset")
	}
	l.Spend(now, 1)
	if l.Ready(now, 1) || !l.Held(now, 1) {
		t.Error("a second call goes beside the probe")
	}
	l.Land(1)
	l.Told(now, window(100, 99, now.Add(10*time.Second)), false)
	wantLeft(t, l, now, 99)
	for range 99 {
		l.Spend(now, 1)
		l.Land(1)
	}
	l.Told(now, window(100, 0, now.Add(10*time.Second)), false)
	now = now.Add(10 * time.Second)
	wantLeft(t, l, now, 100)
}

// A reset has whole seconds, so an answer may give that of the same window a second
// later: the earlier one is late enough.
func TestEarlierOfTwoResetsOfOneWindowCounts(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 1)
	l.Land(1)
	l.Told(at(1), window(100, 0, at(11*time.Second)), false)
	if got := l.Turn(at(1), 0, 1); got != at(10*time.Second) {
		t.Errorf("the turn is in %v", got.Sub(start))
	}
}

// An answer that was under way while its window ended says nothing of the next.
func TestAnswerOfAWindowThatHasEndedIsIgnored(t *testing.T) {
	l := sent(window(100, 100, at(time.Second)), 1)
	now := at(2 * time.Second)
	l.Spend(now, 1)
	l.Land(1)
	l.Told(now, window(100, 99, at(60*time.Second)), false)
	l.Land(1)
	l.Told(now, window(100, 0, now), false)
	wantLeft(t, l, now, 99)
}

// Half an hour before the reset, 500 of 5000 calls are left. Spread evenly each would
// wait for 3.6 s, and a hundred at once would be refused although there is quota.
func TestLastTenthIsStretchedOnlyALittle(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	l.Told(start, window(5000, 500, at(30*time.Minute)), false)
	l.Spend(start, 1)
	if got := l.Turn(start, 0, 1); got != at(100*time.Millisecond) {
		t.Errorf("the next goes after %v", got.Sub(start))
	}
	if got := l.Turn(start, 10, 1); got != at(1100*time.Millisecond) {
		t.Errorf("the eleventh goes after %v", got.Sub(start))
	}
	l = pace.NewLearned(pace.Auto)
	l.Told(start, window(5000, 501, at(30*time.Minute)), false)
	l.Spend(start, 1)
	if !l.Ready(start, 1) {
		t.Error("more than a tenth is left, and the next has to wait")
	}
}

func TestSpreadUsesAllOfTheTime(t *testing.T) {
	l := pace.NewLearned(pace.Spread)
	l.Told(start, window(100, 50, at(100*time.Second)), false)
	l.Spend(start, 1)
	if got := l.Turn(start, 0, 1); got != at(2*time.Second) {
		t.Errorf("the next goes after %v, want 2s", got.Sub(start))
	}
}

// A line that is longer than what is left is told the windows to come.
func TestTurnsOfTheWindowsToCome(t *testing.T) {
	v := window(10, 3, at(time.Minute))
	v.Window = time.Minute
	l := pace.NewLearned(pace.Spend)
	l.Told(start, v, false)
	for ahead, want := range map[int]time.Duration{2: 0, 3: time.Minute, 12: time.Minute, 13: 2 * time.Minute, 23: 3 * time.Minute} {
		if got := l.Turn(start, ahead, 1); got != at(want) {
			t.Errorf("after %d others: in %v, want %v", ahead, got.Sub(start), want)
		}
	}
}

// The tokens of a language model: how many a call takes is known from those before.
func TestTokensAreReckonedByWhatCallsTookSoFar(t *testing.T) {
	tokens := func(left float64, full time.Duration, now time.Time) quota.View {
		return quota.View{Bucket: "tokens", Unit: quota.Tokens, Limit: quota.Known(10000), Remaining: quota.Known(left), Reset: now.Add(full), Refill: quota.Gradual}
	}
	l := pace.NewLearned(pace.Auto)
	l.Spend(start, 1)
	l.Land(1)
	l.Told(start, tokens(9000, 6*time.Second, start), false)
	l.Spend(start, 1)
	l.Land(1)
	l.Told(start, tokens(8000, 12*time.Second, start), false)
	wantLeft(t, l, start, 8)
	for range 8 {
		l.Spend(start, 1)
	}
	if l.Ready(start, 1) {
		t.Error("is ready, though nothing is left for another call")
	}
}

// What is not spoken of any more is forgotten, and binds nobody.
func TestSilenceIsForgetting(t *testing.T) {
	l := sent(window(100, 0, at(10*time.Second)), 0)
	if now := at(90 * time.Second); l.Known(now) || !l.Ready(now, 1) || l.Turn(now, 1000, 1) != now {
		t.Errorf("known %v, ready %v", l.Known(now), l.Ready(now, 1))
	}
}

func TestCallThatTakesMoreThanThereIsGoesWhenAllIsThere(t *testing.T) {
	l := sent(window(10, 10, at(10*time.Second)), 0)
	if !l.Ready(start, 50) {
		t.Error("is never ready")
	}
}

func TestConcurrencyIsNotForTimeToBringBack(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	l.Told(start, quota.View{Unit: quota.Concurrency, Limit: quota.Known(5), Remaining: quota.Known(0)}, false)
	if l.Known(start) {
		t.Error("is taken for a window")
	}
}

func ExampleLearned() {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	l := pace.NewLearned(pace.Auto)
	l.Spend(now, 1)
	l.Land(1)
	l.Told(now, quota.View{Limit: quota.Known(60), Remaining: quota.Known(0), Reset: now.Add(20 * time.Second), Refill: quota.Whole}, false)
	fmt.Println(l.Ready(now, 1), l.Turn(now, 0, 1).Sub(now))
	// Output: false 20s
}

// When a window has ended, an answer told of a higher limit and of nothing else: what was
// taken to be there was the old one, and a call that takes all of the new one, which nobody
// had said anything of, was told to go now and never could.
func TestLimitThatGrowsBetweenWindowsIsThere(t *testing.T) {
	hourly := func(limit, left float64, reset time.Time) quota.View {
		return quota.View{Limit: quota.Known(limit), Remaining: quota.Known(left), Window: time.Hour, Reset: reset, Refill: quota.Whole}
	}
	l := pace.NewLearned(pace.Auto)
	l.Told(start, hourly(1, 0, at(time.Hour)), false)
	l.Told(at(time.Hour), hourly(1, 1, at(2*time.Hour)), false) // The reset was right.
	now := at(2 * time.Hour)
	l.Told(now, quota.View{Limit: quota.Known(1.5)}, false)
	if !l.Ready(now, 2) {
		t.Errorf("is not ready, and its turn is at %v", l.Turn(now, 0, 2))
	}
}
