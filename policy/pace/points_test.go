package pace_test

import (
	"testing"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// points is what the answer to a query says that asked for some points of 1000, which come
// back by 50 a second, and took fewer.
func points(now time.Time, left, asked, taken float64) quota.View {
	return quota.View{
		Bucket: "graphql", Unit: quota.Points, Limit: quota.Known(1000), Remaining: quota.Known(left), Refill: quota.Gradual,
		Reset: now.Add(time.Duration((1000 - left) / 50 * 1e9)), Restore: 50, Asked: quota.Known(asked), Taken: quota.Known(taken),
	}
}

// queried has l know the answer to a call.
func queried(l *pace.Learned, now time.Time, v quota.View) {
	l.Land(1)
	l.Charged(1, v)
	l.Told(now, v, false)
}

func wantTurn(t *testing.T, l *pace.Learned, now time.Time, ahead int, want time.Duration) {
	t.Helper()
	if got := l.Turn(now, ahead, 1).Sub(now); got != want {
		t.Errorf("behind %d, the turn is in %v, want %v", ahead, got, want)
	}
}

// A query goes when there is what it may take at most, and those ahead of it take less.
func TestQueryWaitsForWhatItAsks(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	l.Spend(start, 1)
	queried(l, start, points(start, 50, 100, 25))
	if l.Ready(start, 1) || !l.Ready(at(time.Second), 1) {
		t.Error("is not ready when there are 100")
	}
	wantTurn(t, l, start, 0, time.Second)
	wantTurn(t, l, start, 10, 6*time.Second) // (100 + 10·25 - 50) / 50
	facts, left, _ := l.About(start)
	if facts.Each != 100 || facts.Unit != quota.Points || facts.Limit != 1000 || left != 50 {
		t.Errorf("known is %+v, %v left", facts, left)
	}
}

// What a query that is on its way may take is held, and back with its answer, also where
// an answer before had counted it.
func TestWhatAQueryDidNotTakeIsBackWithItsAnswer(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	for range 3 {
		l.Spend(start, 1)
	}
	queried(l, start, points(start, 730, 100, 30)) // the two others have taken 200 so far
	if _, left, _ := l.About(start); left != 530 {
		t.Errorf("%v are left, want 530", left)
	}
	queried(l, start, points(start, 800, 100, 30))
	if _, left, _ := l.About(start); left != 700 {
		t.Errorf("%v are left, want 700", left)
	}
	// Another one is sent, and its answer, which leaves less, comes first.
	l.Spend(start, 1)
	queried(l, start, points(start, 770, 100, 30))
	if _, left, _ := l.About(start); left != 670 {
		t.Errorf("%v are left, want 670", left)
	}
	queried(l, start, points(start, 840, 100, 30))
	if _, left, _ := l.About(start); left != 840 {
		t.Errorf("%v are left, want 840", left)
	}
}

// The dearest of the last hundred queries is what the next is taken for.
func TestDearQueryIsForgottenAfterTwoHundred(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	each := func() float64 {
		facts, _, _ := l.About(start)
		return facts.Each
	}
	ask := func(cost float64) {
		l.Spend(start, 1)
		queried(l, start, points(start, 1000, cost, cost))
	}
	ask(10)
	ask(700)
	for range 100 {
		ask(10)
	}
	if each() != 700 {
		t.Errorf("a query is taken for %v after a hundred others, want 700", each())
	}
	for range 100 {
		ask(10)
	}
	if each() != 10 {
		t.Errorf("a query is taken for %v after two hundred others, want 10", each())
	}
}

// Queries that ask for nothing, or take nothing of what they ask for, are nothing special.
func TestQueriesThatTakeNothing(t *testing.T) {
	l := pace.NewLearned(pace.Auto)
	l.Spend(start, 1)
	queried(l, start, points(start, 3, 0, 0))
	if facts, _, _ := l.About(start); !l.Ready(start, 3) || l.Ready(start, 4) || l.Left(start) != 3 || facts.Each != 0 {
		t.Errorf("of 3 points %v calls are left, known is %+v", l.Left(start), facts)
	}
	l.Spend(start, 1)
	queried(l, start, points(start, 0, 50, 0))
	wantTurn(t, l, start, 0, time.Second)
	wantTurn(t, l, start, 10, time.Second)
}

// The first that is heard may be a refusal, which took nothing.
func TestQueryIsTakenToTakeAllWhereNoneHasGone(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	l.Spend(start, 1)
	v := points(start, 50, 100, 0)
	v.Taken = quota.Count{}
	queried(l, start, v)
	wantTurn(t, l, start, 1, 3*time.Second) // (100 + 100 - 50) / 50
}

// A cost that is configured says how much dearer a call is than others.
func TestCallOfAnotherCostTakesSoMuchMore(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	l.Spend(start, 5)
	l.Land(5)
	v := points(start, 100, 50, 50)
	l.Charged(5, v)
	l.Told(start, v, false)
	if !l.Ready(start, 10) || l.Ready(start, 11) {
		t.Error("100 points are not enough for a cost of 10, or for 11")
	}
}

// Points without what each query takes are counted by the cost, as before.
func TestPointsAreCostsWhereNothingIsSaid(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	v := points(start, 20, 0, 0)
	v.Asked, v.Taken = quota.Count{}, quota.Count{}
	l.Spend(start, 1)
	queried(l, start, v)
	if facts, _, _ := l.About(start); !l.Ready(start, 20) || l.Ready(start, 21) || facts.Each != 0 {
		t.Errorf("known is %+v", facts)
	}
}

// Of what does not say how fast it refills, that is found out, by what queries took.
func TestSpeedOfPointsIsMeasured(t *testing.T) {
	l := pace.NewLearned(pace.Spend)
	for i := range 20 {
		now := at(time.Duration(i) * time.Second)
		v := points(now, 400+float64(i)*10, 60, 40) // 50 come back, and 40 are taken
		v.Reset, v.Restore = time.Time{}, 0
		l.Spend(now, 1)
		queried(l, now, v)
	}
	if facts, _, _ := l.About(at(19 * time.Second)); facts.Window != 20*time.Second {
		t.Errorf("is full after %v, want 20s", facts.Window)
	}
}
