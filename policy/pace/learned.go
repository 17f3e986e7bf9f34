package pace

import (
	"math"
	"time"

	"outrider/policy/quota"
)

// A Style says how what is left of a learned quota is used.
type Style uint8

// The styles.
const (
	Auto   Style = iota // as it is asked for, but the last tenth is stretched a little
	Spend               // as it is asked for
	Spread              // evenly until it comes back
)

// Learned is one quota of a provider, as its answers tell of it. It has to hear of
// every call: Fly (or Spend) when it is sent, and Land when it has ended; and before
// that of what its answer says, by Told, or that it says nothing, by Silent.
//
// It goes by the wall clock: the monotonic one stands still while a laptop sleeps, and
// the provider's does not.
type Learned struct {
	style  Style
	refill refill     // nil: nothing has been told
	until  time.Time  // when it is forgotten
	unit   quota.Unit // that it counts
	scale  scale
	flying int // what the calls on their way cost
	moves  int // how often the reset has moved on while it was ahead
	next   time.Time

	heard, sent time.Time // when an answer last told of it, and when a call was last sent
	alone       bool      // no other was on its way when that was sent
}

// A refill is how a quota comes back. It counts in units of the provider. What takes a
// time to look at changes nothing: it may lie ahead.
type refill interface {
	// tell takes over what an answer says, at now. flying is on its way.
	tell(now time.Time, v quota.View, flying float64)
	// spend notes that units are sent, unspend that those sent at some time were not.
	spend(now time.Time, units float64)
	unspend(spent time.Time, units float64)
	// silent notes that what was sent at some time has ended and told nothing.
	silent(now, spent time.Time, units float64)
	// refused notes that the provider refused what was thought to be there.
	refused(now time.Time)
	// trial is when a call may go although nothing is left as far as is known, to find
	// out if that is so; zero: never. last is when it was last heard of, or a call was
	// sent after that, of which nothing has been heard.
	trial(last time.Time, sent bool) time.Time
	// left is what may be spent at a time with so much on its way, and hoped the same
	// if it turns out that the provider had counted all of that.
	left(at time.Time, flying float64) float64
	hoped(at time.Time) float64
	// turn is when units may be spent that come after others, with so much on its way.
	turn(from time.Time, flying, ahead, units float64) time.Time
	// spacing is between calls of so many units if what is left is spread from at on.
	spacing(at time.Time, left, units float64) time.Duration
	// about is what can be told of it.
	about(at time.Time) Facts
}

// NewLearned is a quota of which nothing is known yet.
func NewLearned(style Style) *Learned { return &Learned{style: style, scale: newScale()} }

// Known reports whether anything is known at now. If a clock has been set back, nothing is.
func (l *Learned) Known(now time.Time) bool {
	return l.refill != nil && now.Before(l.until) && !now.Before(l.heard.Add(-setBack))
}

// setBack is by how much a clock may be corrected.
const setBack = time.Minute

// Use changes how what is left is used.
func (l *Learned) Use(style Style) { l.style = style }

// Until is when what is known is forgotten, if no answer tells of the quota before.
func (l *Learned) Until() time.Time { return l.until }

// Fly notes that calls are on their way which were sent before it was known that they
// count to this quota. A number below 0 is of calls that do not count to it any more.
func (l *Learned) Fly(cost int) {
	l.flying += cost
	l.alone = l.alone && cost <= 0
}

// Land notes that a call has ended.
func (l *Learned) Land(cost int) { l.Fly(-cost) }

// Flying is what the calls cost that are on their way.
func (l *Learned) Flying() int { return l.flying }

// Charged notes what a call of that cost took, as its answer says, if it does. Told comes
// after that.
func (l *Learned) Charged(cost int, v quota.View) {
	if v.Asked.Known {
		l.scale.charged(cost, v)
	}
}

// Told notes what an answer says of the quota. refused says that the answer was a
// refusal for a rate.
func (l *Learned) Told(now time.Time, v quota.View, refused bool) {
	now, v.Reset = now.Round(0), v.Reset.Round(0)
	if !l.Known(now) || l.another(now, v) {
		l.refill, l.moves, l.next = nil, 0, time.Time{}
	}
	l.unit = v.Unit
	l.scale.tell(v)
	l.choose(now, v)
	if l.refill == nil {
		return
	}
	if refused && (!v.Remaining.Known || v.Remaining.N < 1) { // else it was for another quota
		l.refill.refused(now)
	}
	l.refill.tell(now, v, l.units(l.flying))
	if r, ok := l.refill.(*rolls); ok && l.alone && l.flying == 0 {
		r.settle(now, v)
	}
	l.heard = now
	ahead := max(v.Window, v.Reset.Sub(now), l.refill.about(now).Reset.Sub(now), 0)
	l.until = now.Add(2*ahead + time.Minute)
}

// Silent notes that a call, sent at spent, has ended, or had an answer that said
// nothing of this quota. It is taken to have been counted.
func (l *Learned) Silent(now, spent time.Time, cost int) {
	l.scale.ended++
	if now = now.Round(0); l.Known(now) {
		l.refill.silent(now, spent, l.units(cost))
	}
}

// Ready reports whether a call may be sent at now.
func (l *Learned) Ready(now time.Time, cost int) bool {
	return !l.Known(now) || l.tries(now, cost) || !now.Before(l.next) && l.refill.left(now, l.units(l.flying)) >= l.needed(now, cost)
}

// tries reports whether a call for which nothing is left, as far as is known, may be sent
// at a time to find out if that is so. It goes alone.
func (l *Learned) tries(at time.Time, cost int) bool {
	trial := l.trial()
	return l.flying == 0 && !trial.IsZero() && !at.Before(trial) && l.refill.hoped(at) < l.needed(at, cost)
}

// Held reports that a call which is not Ready waits for the answers to others, and not
// for a time: they will tell whether something is left for it.
func (l *Learned) Held(now time.Time, cost int) bool {
	if !l.Known(now) || now.Before(l.next) {
		return false
	}
	needed := l.needed(now, cost)
	return l.refill.left(now, l.units(l.flying)) < needed && l.refill.hoped(now) >= needed
}

// Decided is when a call that is Held may go even if no answer comes: at the latest when
// the quota is forgotten.
func (l *Learned) Decided(now time.Time, cost int) time.Time {
	turn := l.refill.turn(now, l.units(l.flying), 0, l.needed(now, cost))
	if !turn.After(now) { // It waits for a probe.
		return l.until
	}
	return l.forgotten(turn)
}

// forgotten is a turn, or when the quota is forgotten before that: then nothing holds
// up a call any more.
func (l *Learned) forgotten(turn time.Time) time.Time {
	if turn.After(l.until) {
		return l.until
	}
	return turn
}

func (l *Learned) trial() time.Time {
	if l.sent.After(l.heard) {
		return l.refill.trial(l.sent, true)
	}
	return l.refill.trial(l.heard, false)
}

// tried is a turn after from, or when a call goes before that to find out if something is
// left. Those ahead bring news as well, so it has to make much of a difference to others
// than the first.
func (l *Learned) tried(from, turn time.Time, ahead int) time.Time {
	trial := l.trial()
	if trial.After(from) && trial.Before(turn) && (ahead == 0 || turn.Sub(trial) > longestDoubt) {
		return trial
	}
	return turn
}

// Spend notes that a call is sent.
func (l *Learned) Spend(now time.Time, cost int) {
	if now = now.Round(0); l.Known(now) {
		if left := l.refill.left(now, l.units(l.flying)); left >= l.needed(now, cost) { // else it is a trial
			l.next = now.Add(l.spacing(now, left, l.taken(cost)))
		}
		l.refill.spend(now, l.units(cost))
	}
	l.sent = now
	l.alone = l.flying == 0
	l.flying += cost
}

// Unspend gives back a call that was not sent.
func (l *Learned) Unspend(now, spent time.Time, cost int) {
	l.Land(cost)
	if l.Known(now) {
		l.refill.unspend(spent, l.units(cost))
	}
}

// Turn takes what is on its way to have been counted: if not, the answers will tell.
func (l *Learned) Turn(from time.Time, ahead, cost int) time.Time {
	if !l.Known(from) || ahead == 0 && l.tries(from, cost) {
		return from
	}
	before, units := l.taken(ahead), l.taken(cost)
	turn := l.refill.turn(from, 0, before, l.needed(from, cost))
	if turn.After(from) {
		turn = l.tried(from, turn, ahead)
		if ahead == 0 { // Those ahead will bring news.
			turn = l.forgotten(turn)
		}
		return turn
	}
	if l.next.After(from) {
		from = l.forgotten(l.next)
	}
	left := l.refill.hoped(from)
	if l.style == Auto { // Who goes before the last tenth begins is not held up.
		free := max(left-stretched*l.refill.about(from).Limit, 0)
		before, left = max(before-free, 0), left-free
	}
	if before == 0 {
		return from
	}
	return from.Add(nanoseconds(before / units * float64(l.spacing(from, left, units))))
}

// Left is what may be spent, in calls that cost one.
func (l *Learned) Left(now time.Time) float64 {
	if !l.Known(now) {
		return None{}.Left(now)
	}
	return max(l.refill.left(now, l.units(l.flying)), 0) / l.scale.weight
}

// Room is what there is at most, in calls that cost one.
func (l *Learned) Room() float64 {
	if l.refill == nil || l.refill.about(l.until).Limit == 0 {
		return None{}.Room()
	}
	return l.refill.about(l.until).Limit / l.scale.weight
}

// units is what has to be there for calls that cost so much, and is theirs while they are
// on their way.
func (l *Learned) units(cost int) float64 { return float64(cost) * l.scale.weight }

// taken is what they take of that in the end.
func (l *Learned) taken(cost int) float64 { return float64(cost) * l.scale.taken }

// needed is what has to be there for a call. One that takes more than there ever is
// goes when all is there.
func (l *Learned) needed(at time.Time, cost int) float64 {
	units := l.units(cost)
	if limit := l.refill.about(at).Limit; limit > 0 {
		return min(units, limit)
	}
	return units
}

// How much of a quota is stretched near its end, and by how much at most between two
// calls: with more, they would wait long, and in the end be refused, although there is
// quota left.
const (
	stretched  = 0.1
	maxStretch = 100 * time.Millisecond
)

// spacing is between a call and the next when so much is left before it.
func (l *Learned) spacing(at time.Time, left, units float64) time.Duration {
	switch limit := l.refill.about(at).Limit; {
	case l.style == Spread:
		return max(l.refill.spacing(at, left, units), 0)
	case l.style == Auto && left <= stretched*limit:
		return min(max(l.refill.spacing(at, left, units), 0), maxStretch)
	}
	return 0
}

// For how long a quota is left alone at least and at most that may be back although
// nobody said so.
const (
	shortestDoubt = time.Minute
	longestDoubt  = 15 * time.Minute
)

// doubt is for how long one of a window is.
func doubt(window time.Duration) time.Duration {
	return min(max(window/8, shortestDoubt), longestDoubt)
}

// Facts are what is known of a learned quota.
type Facts struct {
	Limit  float64       // what there is in a Window, or in a bucket; 0: unknown
	Window time.Duration // 0: unknown
	Reset  time.Time     // when something is back; zero: unknown
	Shape  string        // "window", "rolling" or "bucket"

	Unit quota.Unit // that it counts; "": unknown
	Each float64    // what has to be there for a call of cost 1, where answers tell it of each; 0: they do not
}

// About is what is known at now, and how much is left of it, in the provider's units;
// false if nothing is.
func (l *Learned) About(now time.Time) (facts Facts, left float64, known bool) {
	if !l.Known(now) {
		return Facts{}, 0, false
	}
	facts = l.refill.about(now)
	if facts.Unit = l.unit; l.scale.weighs() {
		facts.Each = l.needed(now, 1)
	}
	left = max(l.refill.left(now, l.units(l.flying)), 0)
	if math.IsInf(left, 1) { // A probe may go.
		left = facts.Limit
	}
	return facts, left, true
}
