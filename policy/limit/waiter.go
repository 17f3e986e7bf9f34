package limit

import (
	"container/list"
	"context"
	"time"
)

// A waiter is one call in line, or one that has left it.
type waiter struct {
	place
	node
	claim    Claim
	cost     int       // tokens
	shared   bool      // it has to pass other quotas at the same moment
	joined   time.Time // when it came into this line, the last time
	deadline time.Time // of the call; zero: none
	latest   time.Time // at which a turn is of use to it
	rises    bool      // it will only have one by then because it moves up
	reason   string    // what it waits for, and at the end how that ended
	queued   bool      // in line
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
	return &waiter{place: place{arrived: now}, claim: claim, cost: cost}
}

// judge sets the latest time at which a turn is of use to w. At its deadline a call
// has no time left to be sent.
func (w *waiter) judge(maxWait time.Duration) {
	w.latest = w.arrived.Add(maxWait)
	if last := w.deadline.Add(-1); !w.deadline.IsZero() && last.Before(w.latest) {
		w.latest = last
	}
}
