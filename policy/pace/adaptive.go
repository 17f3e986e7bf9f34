package pace

import (
	"math"
	"time"
)

// Adaptive finds the rate of a provider whose answers say nothing of it but that a call
// was too many: it is cut by each refusal and grows again slowly, first towards where
// that was, then beyond (the cubic function of RFC 9438, as the SDKs of AWS use it in
// their adaptive retry mode). Until the first refusal, and when it has grown to twice
// the rate at which the last one came and nobody waits, it is no limit.
type Adaptive struct {
	limited  bool
	rate     float64 // calls a second that may be sent
	tokens   float64 // at filled
	filled   time.Time
	peak     float64   // the rate at which the last refusal came
	low      float64   // to which it was cut
	refused  time.Time // when that was
	measured meter
}

// The constants of the rule: to how much of it a refusal cuts the rate, and one that is
// taken for an accident, how steeply it grows, and the least, in calls a second.
const (
	cut      = 0.7
	mildCut  = 0.9
	growth   = 0.4
	minSpeed = 0.5
)

// calm is how long no refusal has come before one that is taken for an accident.
const calm = 10 * time.Second

// Refused notes that the provider refused a call that was sent at spent. known is the
// rate that it is said to allow, in calls a second; 0: nobody says.
//
// Where a rate is known, no more than that is sent, and a refusal tells of the wire or of
// the provider's bad moment rather than of the rate: so one alone is taken for an accident,
// and costs little. Those that follow are news that it is lower than was said.
func (a *Adaptive) Refused(now, spent time.Time, known float64) {
	if a.limited && !spent.After(a.refused) {
		return // It was on its way at the last refusal, and is no news (RFC 9438 section 4.6).
	}
	to := cut
	if known > 0 && (a.refused.IsZero() || now.Sub(a.refused) >= calm) {
		to = mildCut
	}
	a.peak = a.reached(now, known)
	if !a.limited {
		a.filled = now
	}
	a.limited, a.refused, a.low = true, now, to*a.peak
	a.set(now, a.low)
}

// reached is the rate that was too high: the measured one, or the one that was allowed.
func (a *Adaptive) reached(now time.Time, known float64) float64 {
	switch {
	case known > 0 && (!a.limited || a.grown(now) >= known):
		return known
	case known > 0:
		return min(known, a.rate)
	case a.limited:
		return min(a.measured.speed(), a.rate)
	}
	return a.measured.speed()
}

// Fine notes an answer that refused nothing.
func (a *Adaptive) Fine(now time.Time) {
	if !a.limited {
		return
	}
	if a.Over(now) {
		a.limited = false
		return
	}
	a.set(now, min(a.grown(now), 2*a.measured.speed()))
}

// Over reports whether there is no limit any more with a good answer at now. It ends only
// where it holds nobody up: all at once would be refused again.
func (a *Adaptive) Over(now time.Time) bool {
	return !a.limited || a.grown(now) >= 2*max(a.peak, minSpeed) && a.level(now) >= a.Room()/2
}

// grown is the rate to which the last refusal has it grow by now.
func (a *Adaptive) grown(now time.Time) float64 {
	since := now.Sub(a.refused).Seconds() - math.Cbrt((a.peak-a.low)/growth)
	return growth*since*since*since + a.peak
}

func (a *Adaptive) set(now time.Time, rate float64) {
	a.fill(now)
	a.rate = max(rate, minSpeed)
	a.tokens = min(a.tokens, a.Room())
}

func (a *Adaptive) fill(now time.Time) { a.tokens, a.filled = a.level(now), now }

func (a *Adaptive) level(at time.Time) float64 {
	return min(a.tokens+a.rate*at.Sub(a.filled).Seconds(), a.Room())
}

// Ready reports whether a call may be sent at now. What it costs is not counted: the
// rate is of calls.
func (a *Adaptive) Ready(now time.Time, _ int) bool {
	return !a.limited || a.level(now) >= 1-1e-9
}

// Spend notes that a call is sent.
func (a *Adaptive) Spend(now time.Time, _ int) {
	a.measured.count(now)
	if a.limited {
		a.fill(now)
		a.tokens--
	}
}

// Unspend gives back a call that was not sent.
func (a *Adaptive) Unspend(time.Time, time.Time, int) {
	if a.limited {
		a.tokens++
	}
}

// Turn takes the rate to stay as it is.
func (a *Adaptive) Turn(from time.Time, ahead, _ int) time.Time {
	if !a.limited {
		return from
	}
	missing := float64(ahead+1) - a.level(from)
	if missing <= 1e-9 {
		return from
	}
	return from.Add(max(nanoseconds(missing/a.rate*float64(time.Second)), 1))
}

// Left is how many calls may be sent at once.
func (a *Adaptive) Left(now time.Time) float64 {
	if !a.limited {
		return math.Inf(1)
	}
	return a.level(now)
}

// Room is how many may be saved up: those of a second.
func (a *Adaptive) Room() float64 {
	if !a.limited {
		return math.Inf(1)
	}
	return max(a.rate, 1)
}

// Rate is how many calls a second may be sent; 0: as many as there are.
func (a *Adaptive) Rate() float64 {
	if !a.limited {
		return 0
	}
	return a.rate
}

// A meter measures how many calls a second are sent, smoothed over half seconds.
type meter struct {
	rate   float64
	bucket time.Time // when the half second began that is being counted
	calls  float64
}

const (
	halfSecond = 500 * time.Millisecond
	smoothing  = 0.8 // the weight of the newest
)

// speed counts what came since at once.
func (m *meter) speed() float64 { return max(m.rate, m.calls/halfSecond.Seconds()) }

func (m *meter) count(now time.Time) {
	m.calls++
	if since := now.Sub(m.bucket); since < 0 || since >= halfSecond { // seldom
		m.next(now)
	}
}

// next goes on to another half second, if this one is over.
func (m *meter) next(now time.Time) {
	bucket := now.Truncate(halfSecond)
	if m.bucket.IsZero() {
		m.bucket = bucket
	}
	if bucket.After(m.bucket) {
		m.rate = smoothing*m.calls/bucket.Sub(m.bucket).Seconds() + (1-smoothing)*m.rate
		m.bucket, m.calls = bucket, 0
	}
}
