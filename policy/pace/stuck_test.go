package pace_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// drawView is anything that an answer may say, true or not.
func drawView(t *rapid.T, now time.Time) quota.View {
	count := func(name string) quota.Count {
		n := rapid.SampledFrom([]float64{-1, 0, 1e-9, 0.5, 1, 5, 100, quota.MaxCount}).Draw(t, name)
		return quota.Count{N: max(n, 0), Known: n >= 0}
	}
	v := quota.View{
		Unit:  rapid.SampledFrom([]quota.Unit{"", quota.Requests, quota.Tokens, quota.Points, quota.Concurrency}).Draw(t, "unit"),
		Limit: count("limit"), Remaining: count("remaining"),
		Asked: count("asked"), Taken: count("taken"),
		Window: rapid.SampledFrom([]time.Duration{0, 1, time.Millisecond, time.Second, time.Hour, quota.MaxWindow}).Draw(t, "window"),
		Refill: quota.Refill(rapid.IntRange(0, 2).Draw(t, "refill")),
	}
	if v.Limit.N == 0 { // as package quota has it
		v.Limit = quota.Count{}
	}
	if v.Limit.Known {
		v.Remaining.N, v.Asked.N, v.Taken.N = min(v.Remaining.N, v.Limit.N), min(v.Asked.N, v.Limit.N), min(v.Taken.N, v.Limit.N)
	}
	if reset := rapid.SampledFrom([]time.Duration{-1, 0, 1, time.Second, time.Minute, quota.MaxReset}).Draw(t, "reset"); reset >= 0 {
		v.Reset = now.Add(reset)
	}
	if v.Limit.Known && v.Refill == quota.Gradual {
		v.Restore = v.Limit.N / rapid.SampledFrom([]float64{math.Inf(1), 1e-9, 1, quota.MaxReset.Seconds()}).Draw(t, "restored in")
	}
	return v
}

// Whatever a provider says, and in whatever order its answers come: who may not go
// waits for an answer that is on its way, or for a time ahead, and that comes.
func TestNobodyIsStuck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := pace.NewLearned(pace.Style(rapid.IntRange(0, 2).Draw(t, "style")))
		cost := rapid.SampledFrom([]int{1, 1, 7}).Draw(t, "cost")
		now := start
		var flying []time.Time // when those on their way were sent
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, 1, time.Millisecond, time.Second, time.Minute, 100 * time.Hour}).Draw(t, "pause"))
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what <= 1:
				if l.Ready(now, cost) {
					l.Spend(now, cost)
					flying = append(flying, now)
				}
			case len(flying) == 0:
			case what == 2:
				l.Unspend(now, flying[0], cost)
				flying = flying[1:]
			case what == 3:
				l.Silent(now, flying[0], cost)
				l.Land(cost)
				flying = flying[1:]
			default:
				l.Land(cost)
				v := drawView(t, now)
				l.Charged(cost, v)
				l.Told(now, v, rapid.Bool().Draw(t, "refused"))
				flying = flying[1:]
			}
			check(t, l, now, cost, len(flying))
		}
		for range flying {
			l.Silent(now, now, cost)
			l.Land(cost)
		}
		for tries := 0; !l.Ready(now, cost); tries++ {
			check(t, l, now, cost, 0)
			if now = l.Turn(now, 0, cost); tries > 100 {
				t.Fatalf("is still not ready at %v", now)
			}
		}
	})
}

func check(t rapid.TB, l *pace.Learned, now time.Time, cost, flying int) {
	ready, held, turn := l.Ready(now, cost), l.Held(now, cost), l.Turn(now, 0, cost)
	switch {
	case ready && held:
		t.Fatal("is ready, and held")
	case held && flying == 0:
		t.Fatal("is held, and nobody is on the way")
	case !ready && !held && !turn.After(now):
		t.Fatalf("is not ready at %v, though its turn is then", now)
	case ready && turn.After(now):
		t.Fatalf("is ready at %v, though its turn is at %v", now, turn)
	case turn.Before(now) || l.Known(now) && turn.After(l.Until()):
		t.Fatalf("at %v the turn is at %v, and it is forgotten at %v", now, turn, l.Until())
	}
	for _, ahead := range []int{1, 1000, 1 << 40} {
		if later := l.Turn(now, ahead, cost); later.Before(now) {
			t.Fatalf("at %v the turn after %d others is at %v", now, ahead, later)
		}
	}
	facts, left, _ := l.About(now)
	kept, worth := l.Keep(now)
	if _, err := json.Marshal([]any{facts, left, kept}); err != nil || left < 0 || facts.Window < 0 {
		t.Fatalf("%+v, %v left, %+v: %v", facts, left, kept, err)
	}
	again := pace.NewLearned(pace.Auto)
	again.Restore(kept, now)
	if worth && !again.Known(now) && kept.Until.Sub(now) <= quota.MaxWindow {
		t.Fatalf("what was kept at %v is not restored: %+v, %+v", now, kept, kept.Learned)
	}
	if !again.Ready(now, cost) && !again.Turn(now, 0, cost).After(now) {
		t.Fatalf("after a restart it is not ready at %v, though its turn is then: %+v, %+v", now, kept, kept.Learned)
	}
	if again.Known(now) && again.Ready(now, cost) && !ready && l.Left(now) == 0 && flying == 0 {
		t.Fatalf("a restart lets a call go at %v: %+v", now, kept)
	}
}
