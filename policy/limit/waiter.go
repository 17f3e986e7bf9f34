package limit

import (
	"container/list"
	"context"
	"net/http"
	"time"
)

// A waiter is one call in line, or one that has left it.
type waiter struct {
	place
	node
	lane     *lane
	req      *http.Request // that it is sent with; nil: it only asks how long it would wait
	route    route
	claim    Claim
	cost     int       // tokens
	deadline time.Time // of the call; zero: none
	latest   time.Time // at which a turn is of use to it
	rises    bool      // it will only have one by then because it moves up
	first    time.Time // the time of its turn as it became the first of its lane; zero: it has not
	ripe     bool      // its rates have let it go, and a slot has not: see dispatcher.reserve
	behind   string    // what kept it from going when it arrived
	reason   string    // what it waits for, and at the end how that ended
	queued   bool      // in line
	key      string    // of the quota that it waited for as it joined
	expected time.Time // its turn, as it joined; zero: nobody asked
	onWait   func(ctx context.Context, key string, waited time.Duration, reason string)
	onQueue  func(ctx context.Context, key string, turn time.Time)

	done chan struct{} // closed when it has left the line
	turn turn          // of a waiter that has left, if err is nil
	err  error

	inCaller, inAge *list.Element // where a waiter in line stands in these lists
}

// newWaiter is a call that begins to wait now.
func newWaiter(now time.Time, claim Claim, cost int) *waiter {
	return &waiter{place: place{arrived: now}, claim: claim, cost: cost, done: make(chan struct{})}
}

// note keeps what is told of the wait of w, which has joined.
func (w *waiter) note(now time.Time) {
	m := w.lane.obstacle(now, w.lane.line.first().cost)
	if m == nil {
		return
	}
	w.key, w.reason, w.onWait, w.onQueue = m.key, m.obstacle(now), m.settings.OnWait, m.settings.OnQueue
	if w.onQueue != nil {
		w.expected = now.Add(w.lane.wait(now, w, w.place))
	}
}

// unfelt is for how long a call may be between its arrival and its turn without having waited:
// it was said at once whose it is.
const unfelt = time.Millisecond

// passed notes that w has joined, and has left the line at once. It has waited nevertheless
// if its turn came while it was found out whose call it is.
func (w *waiter) passed(now time.Time) {
	switch {
	case now.Sub(w.arrived) < unfelt:
		w.onQueue, w.onWait = nil, nil
	case w.err == nil:
		w.reason = w.behind // by now nothing keeps it
	}
}

// judge sets the latest time at which a turn is of use to w. At its deadline a call
// has no time left to be sent.
func (w *waiter) judge(maxWait time.Duration) {
	w.latest = w.arrived.Add(maxWait)
	if last := w.deadline.Add(-1); !w.deadline.IsZero() && last.Before(w.latest) {
		w.latest = last
	}
}
