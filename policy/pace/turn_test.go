package pace_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/pace"
)

// Whatever has been sent, given back, answered late or reloaded: the next call is ready at
// its turn, and not before.
func TestNextCallIsReadyAtItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := 0
		rate := func() pace.Rate {
			count = rapid.IntRange(1, 20).Draw(t, "count")
			kind := rapid.SampledFrom([]pace.Kind{pace.Smooth, pace.Window, pace.Even}).Draw(t, "kind")
			return pace.Rate{Count: float64(count), Per: time.Second, Kind: kind, Guard: time.Second / 50}
		}
		type call struct {
			at   time.Time
			cost int
		}
		var flying []call
		now := start
		s := rate().New(nil, now)
		land := func() call {
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
			c := flying[i]
			flying = append(flying[:i], flying[i+1:]...)
			return c
		}
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 150).Draw(t, "pause")) * time.Millisecond)
			cost := rapid.IntRange(1, count).Draw(t, "cost")
			switch what := rapid.IntRange(0, 19).Draw(t, "what"); {
			case what < 10 && s.Ready(now, cost):
				s.Spend(now, cost)
				flying = append(flying, call{now, cost})
			case what >= 10 && what < 17 && len(flying) > 0:
				c := land()
				pace.Answered(s, now, c.at, c.cost)
			case what == 17 && len(flying) > 0:
				c := land()
				s.Unspend(now, c.at, c.cost)
			case what == 18:
				s = rate().New(s, now)
			}
			turn := s.Turn(now, 0, cost)
			if !s.Ready(turn, cost) || turn.After(now) && s.Ready(turn.Add(-2), cost) {
				t.Fatalf("%T: at %v the turn of a cost of %d is after %v: ready then %v, and before %v",
					s, now.Sub(start), cost, turn.Sub(now), s.Ready(turn, cost), s.Ready(turn.Add(-2), cost))
			}
		}
	})
}

// Of a limit that is lowered below what has been spent of it, so much has to leave that one
// fits. The turn was taken to be whole spans later, and calls were refused for that.
func TestTurnAfterALimitIsLoweredIsWhenEnoughHasLeft(t *testing.T) {
	rate := pace.Rate{Count: 20, Per: time.Second, Burst: 20, Kind: pace.Even}
	s := rate.New(nil, start)
	for i := range 20 {
		s.Spend(start.Add(time.Duration(i)*10*time.Millisecond), 1)
	}
	rate.Count, rate.Burst = 5, 5
	now := start.Add(200 * time.Millisecond)
	s = rate.New(s, now)
	pace.Loosen(s, true)
	for ahead, want := range map[int]time.Duration{
		0: 1150 * time.Millisecond, 4: 1190 * time.Millisecond, 5: 2150 * time.Millisecond, 14: 3190 * time.Millisecond,
	} {
		if got := s.Turn(now, ahead, 1).Sub(start); got != want {
			t.Errorf("behind %d, the turn is after %v, want %v", ahead, got, want)
		}
	}
}

// Calls at the seam of two windows count to both, and so there is less room in the second
// than was told: who was promised a turn at its begin waited for the whole of it.
func TestTurnCountsWhatIsSpentOfTheNextWindow(t *testing.T) {
	s := pace.Rate{Count: 10, Per: time.Second, Kind: pace.Window, Guard: 20 * time.Millisecond}.New(nil, start)
	s.Spend(start, 2)
	now := start.Add(1010 * time.Millisecond)
	s.Spend(now, 8)
	for ahead, want := range map[int]time.Duration{
		0: 1020 * time.Millisecond, 1: 1020 * time.Millisecond, 2: 2040 * time.Millisecond, 11: 2040 * time.Millisecond, 12: 3060 * time.Millisecond,
	} {
		if got := s.Turn(now, ahead, 1).Sub(start); got != want {
			t.Errorf("behind %d, the turn is after %v, want %v", ahead, got, want)
		}
	}
}
