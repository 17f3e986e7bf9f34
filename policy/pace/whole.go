package pace

import (
	"math"
	"time"

	"outrider/policy/quota"
)

// whole is a quota that is back as a whole at its reset, a fixed window.
type whole struct {
	limit  float64       // 0: unknown
	window time.Duration // 0: unknown
	said   float64       // what was left, by the answer that leaves least
	reset  time.Time     // zero: a window that nobody has spoken of yet
	over   bool          // the reset has passed, and nobody has spoken of the next window
	since  time.Time     // when that was
	low    bool          // less than half was left then: to see all of it back means something

	// probing says that one call has to tell what there is: where the reset has never
	// been right so far, and where there is no limit that could be taken for granted.
	probing bool
	trusted bool    // it has been right
	wrong   int     // how often it was not, after that
	denied  int     // how many probes were refused, one after the other
	guessed bool    // the provider did not name the reset
	moved   bool    // the reset has moved on since the last window ended
	probes  float64 // units on their way since then
}

// late is by how much two resets of one window differ at least: both have whole seconds.
const late = time.Second

// slack is by how much the resets of one window may differ at now: besides late, answers
// are on their way for different times.
func (w *whole) slack(now time.Time) time.Duration {
	return late + min(max(w.reset.Sub(now), 0), 40*time.Second)/20
}

func (w *whole) tell(now time.Time, v quota.View, _ float64) {
	*w = w.at(now)
	if !v.Reset.IsZero() && !v.Reset.After(now) {
		return // It is of a window that has ended.
	}
	if v.Limit.Known {
		w.limit = v.Limit.N
		if w.reset.IsZero() {
			w.said = w.limit // All of it is there, until an answer leaves less.
		}
	}
	if v.Window > 0 {
		w.window = v.Window
	}
	if !v.Remaining.Known {
		return
	}
	reset := v.Reset
	if w.guessed = reset.IsZero(); w.guessed && w.window > 0 {
		reset = now.Add(w.window) // at the latest
	}
	switch {
	case reset.IsZero():
		w.said = min(w.said, v.Remaining.N)
	case w.over, w.reset.IsZero(), reset.After(w.reset.Add(w.slack(now))): // of another window
		w.open(reset, v)
	default:
		w.said = min(w.said, v.Remaining.N)
		if reset.Before(w.reset) {
			w.reset = reset // None is ever too early.
		}
	}
}

// open begins a window of which an answer tells.
func (w *whole) open(reset time.Time, v quota.View) {
	if w.over {
		w.trusted = w.trusted || w.low && w.denied == 0 && v.Remaining.N >= 0.9*w.limit
		// Between two there may be a pause.
		if length := reset.Sub(w.since); length >= late && (w.window == 0 || length < w.window) {
			w.window = length
		}
	}
	w.moved = w.moved && !w.over
	w.said, w.reset = v.Remaining.N, reset
	w.over, w.probing, w.probes, w.denied = false, false, 0, 0
}

// moving reports whether an answer says that the reset has moved on, although less is
// left than before: so it is not that of a fixed window.
func (w *whole) moving(now time.Time, v quota.View) bool {
	return !w.over && v.Remaining.Known && now.Before(w.reset) && v.Reset.After(w.reset.Add(w.slack(now))) && v.Remaining.N <= w.said
}

// renewed reports whether an answer says that all was back at a reset that did not move: so
// it is that of a fixed window.
func (w *whole) renewed(now time.Time, v quota.View) bool {
	next := w.at(now)
	return !w.moved && next.over && next.low && w.limit > 0 && v.Reset.After(now) && v.Remaining.N >= 0.9*w.limit
}

// at is the quota at a time, as far as that changes it.
func (w *whole) at(t time.Time) whole {
	next := *w
	if !w.reset.IsZero() && !t.Before(w.reset) {
		next.over, next.since, next.low = true, w.reset, w.said < 0.5*w.limit
		next.said, next.reset, next.probes = w.limit, time.Time{}, 0
		next.probing = !w.trusted || w.limit == 0 || w.window == 0
	}
	return next
}

func (w *whole) spend(now time.Time, units float64) {
	*w = w.at(now)
	if w.probing {
		w.probes += units
	}
	// Some windows begin with the first call after the last has ended.
	if w.reset.IsZero() && w.window > 0 && !w.probing {
		w.reset = now.Add(w.window)
	}
}

func (w *whole) unspend(spent time.Time, units float64) {
	if w.probing && !spent.Before(w.since) {
		w.probes = max(w.probes-units, 0)
	}
}

func (w *whole) silent(now, spent time.Time, units float64) {
	*w = w.at(now)
	if spent.Before(w.since) {
		return
	}
	w.unspend(spent, units)
	if !w.reset.IsZero() { // else nothing of the next window has been spent
		w.said = max(w.said-units, 0)
	}
}

// refused counts how often what was taken for granted was not there. That it is not yet
// there within moments of the reset only says that clocks differ, and when an answer has
// told of the window, others may have spent it.
func (w *whole) refused(now time.Time) {
	*w = w.at(now)
	if !w.over {
		return
	}
	if w.trusted && now.Sub(w.since) > 2*late {
		w.wrong++
	}
	w.trusted, w.over, w.probing, w.said = false, false, false, 0
	w.reset = now.Add(min(time.Second<<w.denied, time.Minute))
	w.denied = min(w.denied+1, 6)
}

// trial is a while after the last call where nobody said when something is back.
func (w *whole) trial(last time.Time, _ bool) time.Time {
	if !w.guessed {
		return time.Time{}
	}
	return last.Add(doubt(w.window))
}

func (w *whole) left(at time.Time, flying float64) float64 {
	now := w.at(at)
	switch {
	case now.probing && now.probes > 0 && flying > 0:
		return 0
	case now.probing:
		return math.Inf(1)
	}
	return now.said - flying
}

func (w *whole) hoped(at time.Time) float64 {
	now := w.at(at)
	switch {
	case now.probing && now.limit == 0:
		return math.Inf(1)
	case now.probing:
		return now.limit
	}
	return now.said
}

// turn takes all windows to be as long as this one.
func (w *whole) turn(from time.Time, flying, ahead, units float64) time.Time {
	now := w.at(from)
	missing := flying + ahead + units - now.hoped(from)
	if missing <= 0 || now.reset.IsZero() {
		return from
	}
	if w.limit == 0 || w.window == 0 {
		return now.reset
	}
	windows := math.Ceil(missing/w.limit) - 1
	return now.reset.Add(nanoseconds(windows * float64(w.window)))
}

func (w *whole) spacing(at time.Time, left, units float64) time.Duration {
	now := w.at(at)
	if now.reset.IsZero() {
		return 0
	}
	return nanoseconds(float64(now.reset.Sub(at)) * units / max(left, units))
}

func (w *whole) about(at time.Time) Facts {
	now := w.at(at)
	return Facts{Limit: now.limit, Window: now.window, Reset: now.reset, Shape: "window"}
}
