package pace_test

import (
	"encoding/json"
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
		again.Spend(later, 1) // A call has come before.
		overJSON(t, kept).Restore(again, later)
		if got, want := again.Left(later), s.Left(later); got > want || got < want-1.01 {
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
