// Package moment has the stages of an attempt share what time it is. Each of them needs to
// know when the attempt went on its way and when its answer came, and to look at the clock
// costs as much as all else that some of them do. The call begins with the first of its
// attempts. A stage that takes its time in between, or makes another attempt, says so to those
// that follow, by Waited on the way out and by Arrive on the way back.
package moment

import (
	"context"
	"time"
)

// Moments are those of the attempt under way. They belong to the goroutine that sends it;
// two attempts at a time have none in common. Nil ones are those of an attempt that shares
// nothing: each time the clock is looked at.
type Moments struct {
	at      time.Time // of the departure, and then of the arrival; zero: nobody has looked
	arrived bool
}

// Key is what a context is asked for that has Moments.
type Key struct{}

// Of gives those of the attempt that a context belongs to; nil: there are none.
func Of(ctx context.Context) *Moments {
	m, _ := ctx.Value(Key{}).(*Moments)
	return m
}

// Begin notes that a call begins now, and its first attempt, and gives the time.
func (m *Moments) Begin() time.Time {
	now := time.Now()
	if m != nil {
		*m = Moments{at: now}
	}
	return now
}

// Departure is now, for an attempt that has waited for nothing since it was said last.
func (m *Moments) Departure() time.Time {
	if m == nil {
		return time.Now()
	}
	if m.arrived || m.at.IsZero() {
		*m = Moments{at: time.Now()}
	}
	return m.at
}

// Waited notes that the attempt may have waited for something, or is another one.
func (m *Moments) Waited() {
	if m != nil {
		*m = Moments{}
	}
}

// Arrive notes that the answer has just come, or an error in its place, and gives the time.
func (m *Moments) Arrive() time.Time {
	now := time.Now()
	if m != nil {
		*m = Moments{now, true}
	}
	return now
}

// Arrival is when the answer came: now, if nobody has noted that.
func (m *Moments) Arrival() time.Time {
	if m == nil || !m.arrived {
		return time.Now()
	}
	return m.at
}
