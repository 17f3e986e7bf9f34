package pace_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/pace"
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// spend is when calls go that all wait from the start on.
func spend(t testing.TB, s pace.Shape, calls int) []time.Duration {
	t.Helper()
	now := start
	var times []time.Duration
	for len(times) < calls {
		if s.Ready(now, 1) {
			s.Spend(now, 1)
			times = append(times, now.Sub(start))
			continue
		}
		next := s.Turn(now, 0, 1)
		if !next.After(now) {
			t.Fatalf("not ready at %v, but its turn is then", now.Sub(start))
		}
		now = next
	}
	return times
}

// inAnySpan is the most calls in any half-open span of that length.
func inAnySpan(times []time.Duration, span time.Duration) int {
	most := 0
	for i := range times {
		n := 0
		for _, at := range times[i:] {
			if at < times[i]+span {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// A bucket of 100 a second with a burst of 20 sends 119 calls in its first second; of
// a provider's window of 100, the last 19 are refused.
func TestEvenNeverSendsMoreThanTheLimitInAnySpan(t *testing.T) {
	r := pace.Rate{Count: 100, Per: time.Second, Burst: 20}
	if got := inAnySpan(spend(t, r.New(nil, start), 500), time.Second); got != 119 {
		t.Errorf("a bucket sends %d in a second, want 119", got)
	}
	r.Kind, r.Guard = pace.Even, 20*time.Millisecond
	times := spend(t, r.New(nil, start), 1001)
	if got := inAnySpan(times, time.Second+r.Guard-time.Millisecond); got != 100 {
		t.Errorf("%d are sent in a span, want 100", got)
	}
	// Nothing is lost by it but the guard: ten spans for a thousand calls.
	if got := times[1000]; got > 10*(time.Second+r.Guard)+10*time.Millisecond {
		t.Errorf("a thousand calls took %v", got)
	}
	if got := times[19]; got != 0 {
		t.Errorf("the last of the burst went at %v", got)
	}
}

func TestFractionIsALimitOfWholeCalls(t *testing.T) {
	r := pace.Rate{Count: 0.5, Per: time.Second, Kind: pace.Even}
	if got, want := spend(t, r.New(nil, start), 3), []time.Duration{0, 2 * time.Second, 4 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("went at %v, want %v", got, want)
	}
	r.Count = 2.5
	if got := inAnySpan(spend(t, r.New(nil, start), 50), 1200*time.Millisecond); got != 3 {
		t.Errorf("%d in 1.2 s, want 3", got)
	}
}

// Who provides windows and says what is left in them need not be sent calls evenly.
func TestLooseLimitIsSpentAtOnce(t *testing.T) {
	s := pace.Rate{Count: 100, Per: time.Second, Burst: 20, Kind: pace.Even}.New(nil, start)
	pace.Loosen(s, true)
	times := spend(t, s, 101)
	if times[99] != 0 || times[100] != time.Second+time.Second/1024 && times[100] != time.Second {
		t.Errorf("the hundredth went at %v, the next at %v", times[99], times[100])
	}
	if got := inAnySpan(times, time.Second); got != 100 {
		t.Errorf("%d in a second", got)
	}
}

// A forecast is what comes true for whoever waits in a line that does not change: to
// within a hundredth of the spans that go by, of an even limit with a burst.
func TestForecastOfEvenComesTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := pace.Rate{
			Count: float64(rapid.SampledFrom([]int{1, 3, 10, 100, 5000}).Draw(t, "count")), Per: time.Second,
			Burst: rapid.IntRange(1, 20).Draw(t, "burst"), Kind: pace.Even, Guard: 20 * time.Millisecond,
		}
		s := r.New(nil, start)
		now := start
		for range rapid.IntRange(0, 200).Draw(t, "before") {
			if s.Ready(now, 1) {
				s.Spend(now, 1)
				pace.Answered(s, now, now, 1)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Millisecond)
		}
		ahead := rapid.IntRange(0, 300).Draw(t, "ahead")
		want := s.Turn(now, ahead, 1)
		begun := now
		for left := ahead; ; {
			if !s.Ready(now, 1) {
				now = s.Turn(now, 0, 1)
				continue
			}
			s.Spend(now, 1)
			pace.Answered(s, now, now, 1)
			if left--; left < 0 {
				break
			}
		}
		slack := time.Duration(float64(r.Per) / r.Count * float64(r.Burst+1)) // of one span
		if off := now.Sub(want); off < -slack-now.Sub(begun)/100 || off > slack+now.Sub(begun)/50 {
			t.Errorf("went after %v, and was told %v", now.Sub(begun), want.Sub(begun))
		}
	})
}

// What is given back was never spent.
func TestUnspentIsAsIfItHadNeverBeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]pace.Kind{pace.Window, pace.Even}).Draw(t, "kind")
		r := pace.Rate{Count: 10, Per: time.Second, Burst: 10, Kind: kind}
		s := r.New(nil, start)
		var spent []time.Time
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "pause")) * time.Millisecond)
			if s.Ready(now, 1) {
				s.Spend(now, 1)
				spent = append(spent, now)
			}
		}
		for _, at := range spent {
			s.Unspend(now, at, 1)
		}
		if s.Left(now) < s.Room() && kind == pace.Even || s.Left(now) > s.Room() {
			t.Errorf("%v are left of %v", s.Left(now), s.Room())
		}
	})
}

// A span is remembered in a bounded number of entries, whatever passes through it.
func TestLargeLimitIsRememberedInGrains(t *testing.T) {
	s := pace.Rate{Count: 1e6, Per: time.Hour, Burst: 1e6, Kind: pace.Even}.New(nil, start)
	random := rand.New(rand.NewPCG(1, 2))
	now := start
	for range 100000 {
		now = now.Add(time.Duration(random.IntN(int(40 * time.Millisecond))))
		s.Spend(now, 1)
	}
	allocs := testing.AllocsPerRun(1000, func() {
		now = now.Add(20 * time.Millisecond)
		s.Spend(now, 1)
	})
	if allocs > 0.1 {
		t.Errorf("%v allocations for a call", allocs)
	}
	if left := s.Left(now); left < 8.9e5 || left > 9.2e5 {
		t.Errorf("%v are left", left)
	}
}

// A bucket of 100 a second with a burst of 20, used to its last token: the first call of a
// burst opens a connection, and arrives 20 ms later than it would now. So the provider's
// bucket has two tokens less than ours, and the burst after it met a refusal.
func TestFastBucketIsNotUsedToItsLastToken(t *testing.T) {
	for _, test := range []struct {
		rate pace.Rate
		want float64
	}{
		{pace.Rate{Count: 100, Per: time.Second, Burst: 20, Guard: 20 * time.Millisecond}, 18},
		{pace.Rate{Count: 6000, Per: time.Minute, Burst: 20, Guard: 250 * time.Millisecond}, 18},
		{pace.Rate{Count: 1, Per: time.Second, Burst: 20, Guard: 20 * time.Millisecond}, 20},
		{pace.Rate{Count: 1000, Per: time.Second, Burst: 10, Guard: 20 * time.Millisecond}, 9},
		{pace.Rate{Count: 1000, Per: time.Second, Burst: 1, Guard: 20 * time.Millisecond}, 1},
		{pace.Rate{Count: 100, Per: time.Second, Burst: 20}, 20},
	} {
		if got := test.rate.New(nil, start).Room(); got != test.want {
			t.Errorf("%+v: %v, want %v", test.rate, got, test.want)
		}
	}
}

// A burst of a hundred calls opened as many connections, and the first of them arrived
// 60 ms after it was sent. Counted from then, the provider's window was not over when
// ours was, and all of the next burst was refused.
func TestWindowEndsAfterTheFirstAnswerAndNotAfterTheFirstCall(t *testing.T) {
	r := pace.Rate{Count: 2, Per: 500 * time.Millisecond, Kind: pace.Window, Guard: 10 * time.Millisecond}
	for took, want := range map[time.Duration]time.Duration{
		5 * time.Millisecond:   510 * time.Millisecond,
		60 * time.Millisecond:  560 * time.Millisecond,
		200 * time.Millisecond: 510 * time.Millisecond, // the provider's work
	} {
		s := r.New(nil, start)
		s.Spend(start, 1)
		s.Spend(start, 1)
		pace.Answered(s, start.Add(took), start, 1)
		pace.Answered(s, start.Add(90*time.Millisecond), start, 1) // the second tells nothing new
		if got := s.Turn(start.Add(took), 0, 1).Sub(start); got != want {
			t.Errorf("answered after %v, the next goes after %v, want %v", took, got, want)
		}
	}
}

// Eight of ten may have counted to the window before or to the one that goes on, and the next
// call costs four. It was told to wait for a whole window from whenever it asked: the timer
// woke who waited up to that much too late.
func TestTurnAfterAWindowOfUncertainBeginDoesNotMove(t *testing.T) {
	s := pace.Rate{Count: 10, Per: 10 * time.Second, Kind: pace.Window, Guard: 200 * time.Millisecond}.New(nil, start)
	s.Spend(start, 2)
	late := start.Add(10*time.Second + 100*time.Millisecond)
	s.Spend(late, 8)
	want := late.Add(10*time.Second + 200*time.Millisecond)
	for _, asked := range []time.Duration{11 * time.Second, 15 * time.Second, 20 * time.Second} {
		if got := s.Turn(start.Add(asked), 0, 4); !got.Equal(want) {
			t.Errorf("asked after %v, the turn is after %v, want %v", asked, got.Sub(start), want.Sub(start))
		}
	}
	if s.Ready(want.Add(-1), 4) || !s.Ready(want, 4) {
		t.Error("it is not ready at its turn, or before")
	}
	// One that has room goes, and may be the first of the window.
	sent := start.Add(12 * time.Second)
	s.Spend(sent, 1)
	if got, want := s.Turn(sent, 0, 4), sent.Add(10*time.Second+200*time.Millisecond); !got.Equal(want) {
		t.Errorf("after another, the turn is after %v, want %v", got.Sub(start), want.Sub(start))
	}
}

// Once an answer had moved the end of the window, its begin was reckoned from there, and a
// call that was not sent after all did not get back what it had cost.
func TestCallOfAWindowIsGivenBackAfterAnAnswer(t *testing.T) {
	s := pace.Rate{Count: 2, Per: 500 * time.Millisecond, Kind: pace.Window, Guard: 10 * time.Millisecond}.New(nil, start)
	s.Spend(start, 1)
	s.Spend(start, 1)
	answered := start.Add(60 * time.Millisecond)
	pace.Answered(s, answered, start, 1)
	s.Unspend(answered, start, 1)
	if got := s.Left(answered); got != 1 {
		t.Errorf("%v are left, want 1", got)
	}
}
