package pace_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/pace"
)

// Of 10 calls in half a second the third arrived 80 ms late. Half a second after it had been
// sent another went in its place, arrived at once, and was the eleventh.
func TestCallThatArrivedLateCountsFromThen(t *testing.T) {
	const per, guard = 500 * time.Millisecond, 10 * time.Millisecond
	s := pace.Rate{Count: 10, Per: per, Burst: 10, Kind: pace.Even, Guard: guard}.New(nil, start)
	sent := func(i int) time.Time { return start.Add(time.Duration(i) * 10 * time.Millisecond) }
	for i := range 10 {
		s.Spend(sent(i), 1)
		if i != 2 {
			pace.Answered(s, sent(i).Add(time.Millisecond), sent(i), 1)
		}
	}
	pace.Answered(s, sent(2).Add(80*time.Millisecond), sent(2), 1)
	for i, want := range []time.Duration{
		sent(0).Sub(start) + per + guard,
		sent(1).Sub(start) + per + guard,
		sent(3).Sub(start) + per + guard, // the others are not held up
		sent(4).Sub(start) + per + guard,
		sent(5).Sub(start) + per + guard,
		sent(6).Sub(start) + per + guard,
		sent(7).Sub(start) + per + guard,
		sent(8).Sub(start) + per + guard,
		sent(9).Sub(start) + per + guard,
		sent(2).Sub(start) + per + 80*time.Millisecond,
	} {
		if got := s.Turn(sent(9), i, 1).Sub(start); got != want {
			t.Errorf("place %d comes back after %v, want %v", i, got, want)
		}
	}
}

// What a call and its answer always take is not lateness: calls to the other side of the
// world are not counted for longer than others.
func TestLongWayIsNotLate(t *testing.T) {
	const way = 200 * time.Millisecond
	for kind, want := range map[pace.Kind]time.Duration{
		pace.Even:   time.Second + 20*time.Millisecond,
		pace.Window: time.Second + 20*time.Millisecond,
	} {
		s := pace.Rate{Count: 1, Per: time.Second, Kind: kind, Guard: 20 * time.Millisecond}.New(nil, start)
		now := start
		for range 10 { // The first of them tell of the way.
			now = s.Turn(now, 0, 1)
			s.Spend(now, 1)
			pace.Answered(s, now.Add(way), now, 1)
		}
		if got := s.Turn(now, 0, 1).Sub(now); got != want {
			t.Errorf("kind %d: the next comes after %v, want %v", kind, got, want)
		}
	}
}

// units is what is spent in 100 s of 100 a second, where callers wait all the time. call
// is what the next costs, and how long its answer takes.
func units(call func(n int) (cost int, took time.Duration)) (spent int) {
	s := pace.Rate{Count: 100, Per: time.Second, Burst: 20, Kind: pace.Even, Guard: 20 * time.Millisecond}.New(nil, start)
	type answer struct {
		at, sent time.Time
		cost     int
	}
	var flying []answer
	calls := 0
	for now := start; now.Before(start.Add(100 * time.Second)); now = now.Add(time.Millisecond) {
		for i := 0; i < len(flying); i++ {
			if a := flying[i]; !a.at.After(now) {
				pace.Answered(s, a.at, a.sent, a.cost)
				flying = append(flying[:i], flying[i+1:]...)
				i--
			}
		}
		for cost, took := call(calls); s.Ready(now, cost); cost, took = call(calls) {
			s.Spend(now, cost)
			flying = append(flying, answer{now.Add(took), now, cost})
			calls++
			spent += cost
		}
	}
	return spent
}

// An API that has work to do answers late again and again, and never the call is. It costs
// a twentieth of the rate, and no more.
func TestSlowAnswersCostATwentieth(t *testing.T) {
	took := []time.Duration{10 * time.Millisecond, 120 * time.Millisecond, 190 * time.Millisecond, 5 * time.Second}
	got := units(func(n int) (int, time.Duration) { return 1, took[n%len(took)] })
	if got < 9450 || got > 9600 {
		t.Errorf("%d calls in 100 s, want 95 %% of 10000", got)
	}
}

// Every fifth call costs ten times as much as the others, and its answer is slow. Lateness
// was allowed for each call as if all cost the same, and a seventh of the rate was lost.
func TestSlowAnswersOfDearCallsCostNoMuchMore(t *testing.T) {
	spent := func(slow time.Duration) int {
		return units(func(n int) (int, time.Duration) {
			if n%5 == 0 {
				return 10, slow
			}
			return 1, 10 * time.Millisecond
		})
	}
	if fast, slow := spent(10*time.Millisecond), spent(210*time.Millisecond); slow < fast*93/100 {
		t.Errorf("%d are spent where answers are slow, and %d where they are not", slow, fast)
	}
}

// The provider's bucket was full until the first call of a burst arrived, 40 ms late; what
// came back to ours by then was sent, and refused.
func TestFullBucketRefillsFromTheFirstAnswerOn(t *testing.T) {
	r := pace.Rate{Count: 200, Per: time.Second, Burst: 40, Guard: 10 * time.Millisecond}
	s := r.New(nil, start)
	burst := int(s.Room())
	for range burst {
		s.Spend(start, 1)
	}
	const each = 5 * time.Millisecond
	if got := s.Turn(start, 0, 1).Sub(start); got != 50*time.Millisecond+each {
		t.Errorf("unanswered, the next goes after %v, want five guards and %v", got, each)
	}
	if s.Ready(start.Add(40*time.Millisecond), 1) {
		t.Error("something has come back before the first answer")
	}
	answered := start.Add(40 * time.Millisecond)
	if sooner, _ := pace.Answered(s, answered, start, 1); !sooner {
		t.Error("the answer brings nothing forward")
	}
	if got := s.Turn(answered, 0, 1).Sub(answered); got != each {
		t.Errorf("the next goes %v after the answer, want %v", got, each)
	}
	if sooner, _ := pace.Answered(s, answered.Add(time.Millisecond), start, 1); sooner {
		t.Error("the second answer brings something forward")
	}
	if got := s.Turn(answered, 9, 1).Sub(answered); got != 10*each {
		t.Errorf("the tenth goes %v after the answer, want %v", got, 10*each)
	}
}

// A bucket that is emptied again and again is not full: nothing of its rate is lost.
func TestBucketInUseDoesNotWaitForAnswers(t *testing.T) {
	s := pace.Rate{Count: 2, Per: time.Second, Burst: 1, Guard: 20 * time.Millisecond}.New(nil, start)
	times := spend(t, s, 101)
	if got, want := times[100], 50*time.Second+100*time.Millisecond; got != want {
		t.Errorf("a hundred calls took %v, want %v", got, want)
	}
}

// Wherever in its time on the way a call is counted, no span of the provider has more than
// the limit.
func TestNoSpanIsPassedHoweverLateCallsArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const per, guard = 500 * time.Millisecond, 10 * time.Millisecond
		r := pace.Rate{Count: float64(rapid.SampledFrom([]int{1, 3, 10, 100}).Draw(t, "count")), Per: per, Kind: pace.Even, Guard: guard}
		s := r.New(nil, start)
		least := time.Duration(rapid.IntRange(0, 30).Draw(t, "way")) * time.Millisecond
		each := rapid.SampledFrom([]int{5, 100}).Draw(t, "one in so many is late")
		type answer struct{ at, sent time.Time }
		var flying []answer
		var arrived []time.Duration
		for now := start; len(arrived) < 300; now = now.Add(time.Millisecond) {
			for i := 0; i < len(flying); i++ {
				if a := flying[i]; !a.at.After(now) {
					pace.Answered(s, a.at, a.sent, 1)
					flying = append(flying[:i], flying[i+1:]...)
					i--
				}
			}
			for s.Ready(now, 1) {
				s.Spend(now, 1)
				there, back := least, least
				if len(arrived)%each == each-1 {
					there += time.Duration(rapid.Int64Range(0, int64(10*guard-time.Millisecond)).Draw(t, "late"))
				}
				arrived = append(arrived, now.Add(there).Sub(start))
				flying = append(flying, answer{now.Add(there + back), now})
			}
		}
		slices.Sort(arrived)
		if got := inAnySpan(arrived, per); got > int(r.Count) {
			t.Errorf("%d arrived in a span, want %v at most", got, r.Count)
		}
	})
}
