package limit

import (
	"context"
	"time"
)

// A waiter is one call in line.
type waiter struct {
	arrived  time.Time
	deadline time.Time // of the call; zero: none
	reason   string    // what it waits for, and at the end how that ended
	queued   bool      // in line
	expected time.Time // its turn, as it joined; zero: nobody asked
	onWait   func(ctx context.Context, key string, waited time.Duration, reason string)
	onQueue  func(ctx context.Context, key string, turn time.Time)

	done chan struct{} // closed when it has left the line
	turn turn          // of a waiter that has left, if err is nil
	err  error

	prev, next *waiter
}

func newWaiter(ctx context.Context, now time.Time) *waiter {
	deadline, _ := ctx.Deadline()
	return &waiter{arrived: now, deadline: deadline, done: make(chan struct{})}
}

// tooLate reports whether a turn at t is of no use to w. At its deadline a call
// has no time left to be sent.
func (w *waiter) tooLate(t time.Time, maxWait time.Duration) bool {
	return t.Sub(w.arrived) > maxWait || !w.deadline.IsZero() && !t.Before(w.deadline)
}

// A line is waiters in the order in which they are served: first come, first
// served. The zero value is an empty line.
type line struct {
	head, tail *waiter
	len        int
}

func (l *line) push(w *waiter) {
	w.queued, w.prev = true, l.tail
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
	l.len++
}

func (l *line) remove(w *waiter) {
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
	l.len--
}
