package pace_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// overJSON is what becomes of a state in a store.
func overJSON(t *testing.T, k pace.Kept) (back pace.Kept) {
	t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 4096 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// A restart in the middle of the day does not believe in a fresh one.
func TestLimitsGoOnAfterARestart(t *testing.T) {
	for _, kind := range []pace.Kind{pace.Smooth, pace.Window, pace.Even} {
		r := pace.Rate{Count: 1000, Per: 24 * time.Hour, Burst: 1000, Kind: kind}
		s := r.New(nil, start)
		now := start
		for range 900 {
			if !s.Ready(now, 1) {
				t.Fatalf("kind %d: not ready", kind)
			}
			s.Spend(now, 1)
			now = now.Add(time.Second)
		}
		kept, worth := pace.Keep(s, now)
		if !worth {
			t.Fatalf("kind %d: is not kept", kind)
		}
		later := now.Add(time.Hour)
		again := r.New(nil, later)
		again.Spend(later, 1) // A call has come before, and what is kept is rounded up then.
		overJSON(t, kept).Restore(again, later)
		if got, want := again.Left(later), s.Left(later)-1; got > want || got <= want-1 {
			t.Errorf("kind %d: %v are left after a restart, %v without", kind, got, want)
		}
		if again.Left(later.Add(25*time.Hour)) < 999 {
			t.Errorf("kind %d: a day later %v are left", kind, again.Left(later.Add(25*time.Hour)))
		}
	}
}

func TestShortLimitIsNotKept(t *testing.T) {
	for _, kind := range []pace.Kind{pace.Smooth, pace.Window, pace.Even} {
		s := pace.Rate{Count: 10, Per: time.Second, Kind: kind}.New(nil, start)
		s.Spend(start, 1)
		if k, worth := pace.Keep(s, start); worth {
			t.Errorf("kind %d: keeps %+v", kind, k)
		}
	}
}

func TestWhatWasLearnedIsKnownAfterARestart(t *testing.T) {
	for name, v := range map[string]quota.View{
		"window":  window(5000, 700, at(time.Hour)),
		"bucket":  {Unit: quota.Requests, Limit: quota.Known(5000), Remaining: quota.Known(700), Reset: at(time.Hour), Refill: quota.Gradual},
		"rolling": {Unit: quota.Requests, Limit: quota.Known(5000), Remaining: quota.Known(700), Window: 24 * time.Hour},
	} {
		l := pace.NewLearned(pace.Auto)
		for range 10 {
			l.Spend(start, 1)
		}
		l.Land(1)
		l.Told(start, v, false)
		k, worth := l.Keep(at(time.Second))
		if !worth {
			t.Errorf("%s: is not kept", name)
			continue
		}
		again := pace.NewLearned(pace.Auto)
		later := at(10 * time.Second)
		again.Restore(overJSON(t, k), later)
		facts, left, known := again.About(later)
		if want := l.Left(later); !known || facts.Shape != name || facts.Limit != 5000 || left < want-1 || left > want {
			t.Errorf("%s: %+v, %v left (%v without a restart), known %v", name, facts, left, want, known)
		}
	}
}

// Who keeps states writes only those that have changed.
func TestStateThatNobodySpentOfStaysTheSame(t *testing.T) {
	states := make(map[string]func(now time.Time) (pace.Kept, bool))
	for name, kind := range map[string]pace.Kind{"smooth": pace.Smooth, "window": pace.Window, "even": pace.Even} {
		s := pace.Rate{Count: 1000, Per: 24 * time.Hour, Burst: 1000, Kind: kind}.New(nil, start)
		for i := range 90 {
			s.Spend(at(time.Duration(i)*time.Hour/10), 10)
		}
		states[name] = func(now time.Time) (pace.Kept, bool) { return pace.Keep(s, now) }
	}
	for name, v := range map[string]quota.View{
		"learned window":  window(5000, 700, at(22*time.Hour)),
		"learned bucket":  {Unit: quota.Requests, Limit: quota.Known(5000), Remaining: quota.Known(700), Reset: at(22 * time.Hour), Refill: quota.Gradual},
		"learned rolling": {Unit: quota.Requests, Limit: quota.Known(5000), Remaining: quota.Known(700), Reset: at(11 * time.Hour), Window: 24 * time.Hour},
	} {
		l := sent(v, 3)
		states[name] = l.Keep
	}
	for name, keep := range states {
		first, worth := keep(at(10 * time.Hour))
		if !worth {
			t.Errorf("%s: is not kept", name)
		}
		for hour := 11; hour < 20; hour++ {
			if next, _ := keep(at(time.Duration(hour)*time.Hour + 123456789)); !reflect.DeepEqual(next, first) {
				t.Errorf("%s: is %+v, and at %d hours %+v", name, first, hour, next)
			}
		}
	}
}

// Whatever is restored, and however late: nobody has more room, then or later. A window
// of ours that began with the process would otherwise be over with that before it.
func TestRestoreNeverGivesMoreRoom(t *testing.T) {
	for _, kind := range []pace.Kind{pace.Smooth, pace.Window, pace.Even} {
		r := pace.Rate{Count: 100, Per: time.Hour, Burst: 100, Kind: kind, Guard: 250 * time.Millisecond}
		before := r.New(nil, start)
		before.Spend(start, 90)
		kept, _ := pace.Keep(before, start)
		for _, since := range []int{0, 1, 30} {
			restarted := at(20 * time.Minute)
			with, without := r.New(nil, restarted), r.New(nil, restarted)
			with.Spend(restarted, since)
			without.Spend(restarted, since)
			kept.Restore(with, at(30*time.Minute))
			for minute := 30; minute < 180; minute++ {
				if now := at(time.Duration(minute) * time.Minute); with.Left(now) > without.Left(now) {
					t.Errorf("kind %d: %v are left at %d minutes, %v without", kind, with.Left(now), minute, without.Left(now))
				}
			}
			if left, want := with.Left(at(61*time.Minute)), float64(100-since); kind == pace.Window && left != want {
				t.Errorf("%v are left in the window after that which was kept, want %v", left, want)
			}
		}
	}
}

// A clock that is set back makes nobody wait longer than for a full span.
func TestStateFromTheFutureHoldsForOneSpan(t *testing.T) {
	for _, kind := range []pace.Kind{pace.Smooth, pace.Window, pace.Even} {
		r := pace.Rate{Count: 100, Per: time.Hour, Burst: 100, Kind: kind}
		s := r.New(nil, at(1000*time.Hour))
		s.Spend(at(1000*time.Hour), 100)
		kept, _ := pace.Keep(s, at(1000*time.Hour))
		again := r.New(nil, start)
		kept.Restore(again, start)
		if left := again.Left(at(time.Hour)); left != 100 {
			t.Errorf("kind %d: %v are left an hour later", kind, left)
		}
	}
}

func TestUsedIsOfWindowsThatEnd(t *testing.T) {
	for name, test := range map[string]struct {
		kind pace.Kind
		want int64
	}{"window": {pace.Window, 7}, "smooth": {pace.Smooth, 0}, "even": {pace.Even, 0}} {
		s := pace.Rate{Count: 10, Per: time.Hour, Burst: 10, Kind: test.kind}.New(nil, start)
		s.Spend(start, 7)
		if k, _ := pace.Keep(s, start); k.Used() != test.want {
			t.Errorf("%s: %d are used, want %d", name, k.Used(), test.want)
		}
	}
	if k, _ := sent(window(5000, 700, at(time.Hour)), 3).Keep(start); k.Used() != 4303 {
		t.Errorf("learned: %d are used, want 4303", k.Used())
	}
}

// What an answer said since goes before what was kept.
func TestRestoreComesTooLateForWhatWasTold(t *testing.T) {
	l := sent(window(100, 10, at(time.Hour)), 0)
	k, _ := l.Keep(start)
	again := sent(window(100, 90, at(time.Hour)), 0)
	again.Restore(k, start)
	wantLeft(t, again, start, 90)
}

func TestEndedStateIsNotRestored(t *testing.T) {
	l := sent(window(100, 0, at(time.Hour)), 0)
	k, _ := l.Keep(start)
	again := pace.NewLearned(pace.Auto)
	again.Restore(k, at(2*time.Hour))
	if again.Known(at(2 * time.Hour)) {
		t.Error("is restored")
	}
}

// A quota of which nothing is left is not asked for more because of a restart.
func TestRestartIsNoReasonToAsk(t *testing.T) {
	day := quota.View{Unit: quota.Requests, Limit: quota.Known(1000), Remaining: quota.Known(0), Window: 24 * time.Hour}
	l := pace.NewLearned(pace.Auto)
	hear(l, start, day, false)
	k, _ := l.Keep(at(time.Minute))
	again := pace.NewLearned(pace.Auto)
	now := at(2 * time.Minute)
	again.Restore(overJSON(t, k), now)
	if got := again.Turn(now, 0, 1); again.Ready(now, 1) || got != now.Add(15*time.Minute) {
		t.Errorf("ready %v, the turn is in %v", again.Ready(now, 1), got.Sub(now))
	}
}

// A clock that has been set back by a day since left a debt of a day.
func TestStateFromTheFutureIsNoDebt(t *testing.T) {
	r := pace.Rate{Count: 1000, Per: 24 * time.Hour, Burst: 1000}
	s := r.New(nil, start)
	s.Spend(start, 900)
	k, _ := pace.Keep(s, start)
	again := r.New(nil, at(-24*time.Hour))
	k.Restore(again, at(-24*time.Hour))
	if got := again.Left(at(-24 * time.Hour)); got < 99 || got > 101 {
		t.Errorf("%v are left, want 100", got)
	}
}

// A limit by shape = "auto" forgot its pace with each restart: of 20 calls an hour two may be
// sent at once, and two more could be after each, so that a process that was started time
// and again spent the hour in a minute. Nor does a restart cost a part of a call: who starts
// each minute sends as many as who does not.
func TestRestartGivesNoBurstBack(t *testing.T) {
	for name, kind := range map[string]pace.Kind{"even": pace.Even, "smooth": pace.Smooth} {
		r := pace.Rate{Count: 20, Per: time.Hour, Kind: kind}
		if kind == pace.Smooth {
			r.Burst = 2
		}
		s, sent := r.New(nil, start), 0
		for minute := range 31 {
			now := at(time.Duration(minute) * time.Minute)
			for s.Ready(now, 1) {
				s.Spend(now, 1)
				sent++
			}
			if want := 2 + minute/3; sent != want {
				t.Fatalf("%s: %d are sent after %d minutes, want %d", name, sent, minute, want)
			}
			kept, worth := pace.Keep(s, now)
			if !worth {
				t.Fatalf("%s: is not kept", name)
			}
			s = r.New(nil, now)
			overJSON(t, kept).Restore(s, now)
		}
	}
}

// An older version kept of an even limit its log alone.
func TestWhatAnOlderVersionKeptIsRestored(t *testing.T) {
	r := pace.Rate{Count: 20, Per: time.Hour, Kind: pace.Even}
	var kept pace.Kept
	if err := json.Unmarshal(fmt.Appendf(nil, `{"until":%q,"log":[{"t":%d,"n":20}]}`, at(time.Hour).Format(time.RFC3339), start.UnixMilli()), &kept); err != nil {
		t.Fatal(err)
	}
	s := r.New(nil, start)
	kept.Restore(s, start)
	if s.Ready(at(59*time.Minute), 1) || !s.Ready(at(61*time.Minute), 1) {
		t.Errorf("%v are left in the hour, %v after it", s.Left(at(59*time.Minute)), s.Left(at(61*time.Minute)))
	}
}
