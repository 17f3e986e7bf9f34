package outbox

import "time"

// maxPause is for how long a lane waits at most before it is tried again with one letter: the
// time that was named may be one of yesterday's configuration.
const maxPause = 10 * time.Minute

// A lane is the letters that stand or fall together: those of one credential of an upstream.
// It belongs to the pump.
type lane struct {
	name     string
	upstream *upstream

	ready    bool        // the store has letters that are due
	due      time.Time   // when it has some; zero: nobody knows
	claimed  []*delivery // that are not being sent yet
	sending  int
	paused   time.Time // until then nothing is sent
	doubtful bool      // the first letter after a pause is sent alone
	refusals int       // one after the other; what was under way together counts as one
	epoch    int       // grows with each of them
}

// An upstream has so many letters under way, in all its lanes.
type upstream struct {
	name    string
	lanes   []*lane
	claimed int
	sending int
	turn    int // which of the lanes is the next to send
}

// room is how many letters of the lane may be claimed now.
func (l *lane) room(now time.Time) int {
	switch {
	case !l.ready || now.Before(l.paused):
		return 0
	case l.doubtful:
		return 1 - len(l.claimed) - l.sending
	}
	return maxClaim
}

// wake has a lane be ready whose first letter has become due.
func (l *lane) wake(now time.Time) {
	if !l.due.IsZero() && !now.Before(l.due) {
		l.ready, l.due = true, time.Time{}
	}
}

// refused has the lane wait, for a letter that was sent in an epoch.
func (l *lane) refused(epoch int, after time.Duration) {
	if epoch == l.epoch {
		l.refusals++
		l.epoch++
	}
	l.doubtful = true
	until := time.Now().Add(min(after, maxPause))
	if until.After(l.paused) {
		l.paused = until
	}
}

// passed says that a letter that was sent in an epoch was not refused. What left before the
// last refusal says nothing of what is now.
func (l *lane) passed(epoch int) {
	if epoch == l.epoch {
		l.refusals, l.doubtful, l.paused = 0, false, time.Time{}
	}
}

// idle reports whether nothing of the lane has to be remembered.
func (l *lane) idle(now time.Time) bool {
	return !l.ready && len(l.claimed) == 0 && l.sending == 0 && !now.Before(l.paused) && !l.doubtful
}

// ready are the lanes that may send more, from the one whose turn it is on.
func (u *upstream) ready(now time.Time) []*lane {
	var ready []*lane
	for i := range u.lanes {
		l := u.lanes[(u.turn+i)%len(u.lanes)]
		if l.room(now) > 0 {
			ready = append(ready, l)
		}
	}
	return ready
}

// next is the lane whose turn it is to send: one has claimed letters.
func (u *upstream) next() *lane {
	for {
		l := u.lanes[u.turn%len(u.lanes)]
		u.turn = (u.turn + 1) % len(u.lanes)
		if len(l.claimed) > 0 {
			return l
		}
	}
}
