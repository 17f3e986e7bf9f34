package pace_test

import (
	"testing"
	"time"

	"outrider/policy/pace"
)

// offer offers calls at a rate for some time to a provider that takes so many in each
// second, and says no more of it than a refusal. It returns what became of them.
func offer(a *pace.Adaptive, now time.Time, offered, taken int, length time.Duration) (end time.Time, fine, refused, held int) {
	second, used := now, 0
	for until := now.Add(length); now.Before(until); now = now.Add(time.Second / time.Duration(offered)) {
		if now.Sub(second) >= time.Second {
			second, used = now, 0
		}
		if !a.Ready(now, 1) {
			held++
			continue
		}
		a.Spend(now, 1)
		if used++; used > taken {
			refused++
			a.Refused(now, now, 0)
		} else {
			fine++
			a.Fine(now)
		}
	}
	return now, fine, refused, held
}

func TestAdaptiveFindsTheRateOfASilentProvider(t *testing.T) {
	var a pace.Adaptive
	now, fine, refused, held := offer(&a, start, 10, 20, time.Minute)
	if fine != 600 || refused != 0 || held != 0 {
		t.Errorf("within the limit: %d fine, %d refused, %d held", fine, refused, held)
	}
	now, _, _, _ = offer(&a, now, 100, 20, 10*time.Second)
	_, fine, refused, _ = offer(&a, now, 100, 20, time.Minute)
	if fine < 750 || refused > 60 {
		t.Errorf("beyond the limit: %d of 1200 fine, %d refused (unpaced, 4800 are)", fine, refused)
	}
}

// Once nothing is refused any more, nothing is held.
func TestAdaptiveEnds(t *testing.T) {
	var a pace.Adaptive
	now, _, _, _ := offer(&a, start, 100, 20, 10*time.Second)
	now, _, _, _ = offer(&a, now, 10, 20, 30*time.Second)
	if a.Rate() != 0 {
		t.Errorf("after half a minute without a refusal, %v a second are let pass", a.Rate())
	}
	if _, fine, _, held := offer(&a, now, 1000, 10000, time.Second); held != 0 {
		t.Errorf("%d fine, %d held", fine, held)
	}
}

// A hundred calls that were on their way together, and are refused together, are one
// piece of news.
func TestCallsRefusedTogetherCutTheRateOnce(t *testing.T) {
	var a pace.Adaptive
	now := start
	for range 100 {
		a.Spend(now, 1)
		now = now.Add(10 * time.Millisecond)
	}
	for range 100 {
		a.Refused(now.Add(time.Millisecond), now.Add(-10*time.Millisecond), 0)
	}
	if got := a.Rate(); got < 60 || got > 100 {
		t.Errorf("%v a second after one cut, want about 70", got)
	}
}

// Of a key to which no call comes any more nothing has to be kept.
func TestAdaptiveIsOverWhenNobodyCalls(t *testing.T) {
	var a pace.Adaptive
	now, _, _, _ := offer(&a, start, 100, 20, 10*time.Second)
	if a.Over(now) {
		t.Error("is over at once")
	}
	if !a.Over(now.Add(time.Minute)) {
		t.Error("a minute later it is not over")
	}
}

// A single refusal where the rate is configured was an accident: it costs a third of the
// rate for the moment, and not what happened to be measured. Those that go on take it
// further down.
func TestRefusalOfAKnownRateIsAnAccidentFirst(t *testing.T) {
	var a pace.Adaptive
	a.Spend(start, 1)
	a.Refused(start, start, 100)
	if got := a.Rate(); got != 70 {
		t.Errorf("%v a second after one refusal, want 70", got)
	}
	now := start.Add(100 * time.Millisecond)
	a.Refused(now, now, 100)
	if got := a.Rate(); got != 49 {
		t.Errorf("%v a second after another, want 49", got)
	}
	now = now.Add(time.Minute)
	a.Refused(now, now, 100)
	if got := a.Rate(); got != 70 {
		t.Errorf("%v a second after one a minute later, want 70", got)
	}
}
