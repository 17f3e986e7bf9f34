package pace_test

import (
	"math"
	"testing"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// goes lets a call go as soon as it may, and gives the time then. That comes, and each time
// that is told for it lies ahead.
func goes(t *testing.T, s pace.Shape, now time.Time) time.Time {
	t.Helper()
	for tries := 0; !s.Ready(now, 1); tries++ {
		turn := s.Turn(now, 0, 1)
		if !turn.After(now) || tries > 100 {
			t.Fatalf("is not ready at %v, its turn is at %v (try %d)", now, turn, tries)
		}
		now = turn
	}
	s.Spend(now, 1)
	return now
}

// inJSON reports whether all of them can be kept as JSON.
func inJSON(numbers ...float64) bool {
	for _, n := range numbers {
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return false
		}
	}
	return true
}

// Whatever a limit is handed as what was kept of it: it never has more room by it, and each
// call has its turn, in a time that such a limit can ask for.
func FuzzRestoreLimit(f *testing.F) {
	const second, minute = int64(time.Second), int64(time.Minute)
	f.Add(uint8(pace.Smooth), -1e300, int64(0), 0, int64(0), int64(0), int64(0), int64(0), uint8(0), uint32(0))
	f.Add(uint8(pace.Window), 0.0, int64(0), math.MaxInt, minute, int64(0), int64(0), int64(0), uint8(3), uint32(0))
	f.Add(uint8(pace.Even), 0.0, int64(0), 0, int64(0), second, -2*minute, -minute, uint8(2), uint32(second))
	f.Fuzz(func(t *testing.T, kind uint8, left float64, at int64, spent int, end, first, second, third int64, since uint8, pause uint32) {
		if !inJSON(left) {
			return
		}
		r := pace.Rate{Count: 50, Per: time.Hour, Burst: 9, Kind: pace.Kind(kind % 3), Guard: 250 * time.Millisecond}
		with, without := r.New(nil, start), r.New(nil, start)
		with.Spend(start, int(since%10))
		without.Spend(start, int(since%10))
		now := start.Add(time.Duration(pause))
		k := pace.Kept{At: now.Add(time.Duration(at)), Left: &left, Burst: &left, Spent: spent, End: now.Add(time.Duration(end))}
		for _, ago := range []int64{first, second, third} {
			k.Log = append(k.Log, pace.KeptSpent{At: now.Add(time.Duration(ago)).UnixMilli(), Cost: 20})
		}
		overJSON(t, k).Restore(with, now)
		for range 60 {
			if got, most := with.Left(now), without.Left(now); got > most {
				t.Fatalf("%v are left at %v, %v without what was kept", got, now, most)
			}
			turn := goes(t, with, now)
			if wait := turn.Sub(now); wait > 3*time.Hour {
				t.Fatalf("waits for %v", wait)
			}
			now = turn
		}
	})
}

// Whatever a quota of the provider is handed as what was kept of it: each call has its turn,
// or waits for an answer that is on its way.
func FuzzRestoreLearned(f *testing.F) {
	const hour = int64(time.Hour)
	for refill := range uint8(3) {
		f.Add(refill, 1e300, int64(-5), -1e300, int64(0), -1.0, 1e300, int64(math.MaxInt64), int64(0), true, uint8(0))
		f.Add(refill, 100.0, hour, 5.0, hour, 3.0, 1.0, hour, -hour, true, uint8(1))
		f.Add(refill, 5e-324, int64(0), -1e300, hour, 5e-324, 5e-324, hour, hour, false, uint8(2))
	}
	f.Fuzz(func(t *testing.T, refill uint8, limit float64, window int64, left float64, reset int64, speed, weight float64, until, told int64, trusted bool, style uint8) {
		if !inJSON(limit, left, speed, weight) {
			return
		}
		q := &pace.KeptQuota{
			Refill: []string{"window", "bucket", "rolling"}[refill%3], Limit: limit, Window: time.Duration(window),
			Left: left, Speed: speed, Trusted: trusted, Weight: weight,
		}
		if reset != 0 {
			q.Reset = start.Add(time.Duration(reset))
		}
		k := pace.Kept{At: start.Add(time.Duration(told)), Until: start.Add(time.Duration(until)), Learned: q}
		k.Log = []pace.KeptSpent{{At: k.At.UnixMilli(), Cost: until}, {At: start.UnixMilli(), Cost: window}}
		l := pace.NewLearned(pace.Style(style % 3))
		l.Restore(overJSON(t, k), start)
		if l.Known(start.Add(quota.MaxWindow + time.Hour)) {
			t.Fatalf("is known until %v", l.Until())
		}
		now := start
		for range 20 {
			check(t, l, now, 1, 0)
			now = goes(t, l, now)
			check(t, l, now, 1, 1)
			l.Land(1)
			l.Silent(now, now, 1)
		}
	})
}

// A store had kept of a window that far less than nothing is left, and not when it ends: its
// turn was always now, and nobody could take it. (The fuzzer of package policy found it.)
func TestStateThatNoAnswersHaveToldIsNotRestored(t *testing.T) {
	for name, q := range map[string]pace.KeptQuota{
		"no end":               {Refill: "window", Limit: 1e15, Window: time.Hour, Left: -1e15},
		"an end that is over":  {Refill: "window", Limit: 100, Window: time.Hour, Reset: at(-time.Hour)},
		"an end in a century":  {Refill: "window", Limit: 100, Window: time.Hour, Reset: at(876000 * time.Hour)},
		"a negative length":    {Refill: "window", Limit: 100, Window: -5, Left: -1000, Reset: at(time.Hour)},
		"an endless limit":     {Refill: "window", Limit: 1e300, Window: time.Hour, Reset: at(time.Hour)},
		"an endless weight":    {Refill: "window", Limit: 100, Window: time.Hour, Reset: at(time.Hour), Weight: 1e300},
		"a debt for ever":      {Refill: "bucket", Limit: 100, Left: -1e300, Speed: 1},
		"a speed of nothing":   {Refill: "bucket", Limit: 100, Speed: 1e-300},
		"a span of two years":  {Refill: "rolling", Limit: 100, Window: 2 * quota.MaxWindow, Reset: at(time.Hour)},
		"a way of coming back": {Refill: "never", Limit: 100, Window: time.Hour, Reset: at(time.Hour)},
	} {
		l := pace.NewLearned(pace.Auto)
		l.Restore(pace.Kept{At: start, Until: at(876000 * time.Hour), Learned: &q}, start)
		if l.Known(start) || !l.Ready(start, 1) {
			t.Errorf("%s: is restored", name)
		}
	}
}

// What had been kept before a clock was set back came into the log before a call that had
// been sent earlier: a call that needs all of them to have left was told to go when the last
// of the log had, and could not, for all the time until the first had, too.
func TestRestoredLogIsInOrderThoughAClockWasSetBack(t *testing.T) {
	s := pace.Rate{Count: 3, Per: time.Hour, Burst: 3, Kind: pace.Even}.New(nil, start)
	s.Spend(start, 1)
	k := pace.Kept{Log: []pace.KeptSpent{{At: at(time.Hour).UnixMilli(), Cost: 1}, {At: at(time.Hour).UnixMilli(), Cost: 1}}}
	k.Restore(s, at(5*time.Second))
	now, want := at(time.Hour+time.Second), at(time.Hour+5*time.Second)
	if turn := s.Turn(now, 0, 3); s.Ready(now, 3) || !turn.Equal(want) {
		t.Errorf("ready %v, the turn is at %v, want %v", s.Ready(now, 3), turn, want)
	}
}
