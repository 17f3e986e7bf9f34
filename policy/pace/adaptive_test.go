package pace_test

import (
	"math"
	"testing"
	"time"

	"outrider/policy/pace"
)

// offer offers calls at a rate for some time to a provider that takes so many in each
// second, and says no more of it than a refusal. It returns what became of them.
func offer(a *pace.Adaptive, now time.Time, offered, taken int, length time.Duration) (end time.Time, fine, refused, held int) {
	return offerKnown(a, now, offered, taken, length, 0)
}

// offerKnown is offer where the provider is said to take so many a second.
func offerKnown(a *pace.Adaptive, now time.Time, offered, taken int, length time.Duration, known float64) (end time.Time, fine, refused, held int) {
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
			a.Refused(now, now, known)
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

// A refusal alone where the rate is configured was an accident: two calls of 300 came closer
// together than they were sent, and the rest went at 70 % of the rate, so that a third of it
// was not used. It costs a tenth for a moment, and not what happened to be measured. Those
// that follow within ten seconds take the rate further down.
func TestRefusalOfAKnownRateIsAnAccidentFirst(t *testing.T) {
	var a pace.Adaptive
	for _, step := range []struct {
		at   time.Duration
		want float64
	}{
		{0, 90},
		{100 * time.Millisecond, 63},
		{10*time.Second + 99*time.Millisecond, 70}, // of the whole rate, to which it had grown back
		{20*time.Second + 99*time.Millisecond, 90},
	} {
		now := start.Add(step.at)
		a.Spend(now, 1)
		a.Refused(now, now, 100)
		if got := a.Rate(); math.Abs(got-step.want) > 1e-9 {
			t.Errorf("%v a second after a refusal at %v, want %v", got, step.at, step.want)
		}
	}
}

// Of a rate of 1000 a second, what an accident takes is back after the cube root of
// 100/0.4 seconds, and most of it much earlier.
func TestAccidentIsOverInSeconds(t *testing.T) {
	var a pace.Adaptive
	now := start
	for range 1000 {
		a.Spend(now, 1)
		now = now.Add(time.Millisecond)
	}
	a.Refused(now, now, 1000)
	for after, want := range map[time.Duration]float64{
		0: 900, time.Second: 940.5, 2 * time.Second: 968.3, 3 * time.Second: 985.6, 6300 * time.Millisecond: 1000,
	} {
		b := a
		b.Fine(now.Add(after))
		if got := b.Rate(); math.Abs(got-want) > 0.1 {
			t.Errorf("%.1f a second after %v, want %v", got, after, want)
		}
	}
}

// Who has set 100 a second where the provider takes 20 is found out as who has set nothing.
func TestKnownRateThatIsTooHighIsFoundOut(t *testing.T) {
	var a pace.Adaptive
	now, _, _, _ := offerKnown(&a, start, 100, 20, time.Minute, 100)
	_, fine, refused, _ := offerKnown(&a, now, 100, 20, 5*time.Minute, 100)
	if fine < 4000 || refused > 200 {
		t.Errorf("%d of 6000 fine, %d refused (unpaced, 24000 are)", fine, refused)
	}
}
