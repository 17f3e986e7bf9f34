package pace

import "time"

// A way is what is known of the way of calls to the provider.
//
// The provider counts a call at some time between when it was sent and when it has been
// answered. Calls that were sent far enough from each other are refused where one arrives
// late and others, behind it, do not. A guard that is enough for the worst of them would
// always cost what it needs. So a call counts from when it arrived at the latest, which is
// when it was answered, but for the time that the fastest took: that costs something only
// where calls are late.
type way struct {
	least, before time.Duration // the shortest of this while, and of the one before; 0: nothing came
	since         time.Time     // when this while began
	answers       int           // that have come in it
}

// A while is a span of the limit first, and then at least so long: on a busy machine no
// answer of a burst is as fast as the way is. It has at least so many answers.
const (
	shortestWhile = 10 * time.Second
	fewest        = 8
)

// How late a call may be, in guards. A guard is a fiftieth of the time of a rate, most
// often.
const (
	usuallyLate = 2.5 // in the mean: answers that take their time may cost a twentieth of the rate
	longestWay  = 10  // once: what takes longer than that is the provider's work
	longestHold = 5   // that the others wait for it
)

func guards(n float64, guard time.Duration) time.Duration { return nanoseconds(n * float64(guard)) }

// known reports whether there is a time to compare with. The first calls open connections,
// and tell nothing of the way: until a span of time has gone by, all of it counts as late.
func (w *way) known() bool { return w.before > 0 }

// late is how late a call can have been on its way, against the fastest, whose answer took
// so long.
func (w *way) late(now time.Time, took, span time.Duration) time.Duration {
	if w.known() {
		span = max(span, shortestWhile)
	}
	switch {
	case w.answers == 0:
		w.least, w.since = took, now
	case w.answers >= fewest && now.Sub(w.since) >= span:
		w.before, w.least, w.since, w.answers = w.least, took, now, 0
	}
	w.answers++
	w.least = min(w.least, took)
	return took - min(w.least, w.before)
}
