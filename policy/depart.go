package policy

import (
	"context"
	"sync/atomic"
	"time"

	"outrider/policy/moment"
)

// A NotDepartedError ends an attempt that Call.Depart did not let go. Nothing was sent.
type NotDepartedError struct {
	Err error // what Depart said
}

func (e *NotDepartedError) Error() string { return "not sent: " + e.Err.Error() }

// Unwrap returns what Depart said.
func (e *NotDepartedError) Unwrap() error { return e.Err }

// Refusal makes the error one of our own: no other attempt follows, no circuit counts it,
// and the turn that the attempt had is given back.
func (e *NotDepartedError) Refusal() (reason string, retryAfter time.Duration) {
	return "outbox-unavailable", 0
}

// departures are the attempts of a call that were put on the wire, as far as it has to be
// known what became of them.
type departures struct {
	count  atomic.Int32
	landed atomic.Int32 // of them; less than count: the latest is aloft, it may have been applied, and there is no answer
	unsent atomic.Int32 // of them: what was never sent, or never came to the application
}

// depart asks whether an attempt may be put on the wire, and notes that it is.
func (c *Call) depart(ctx context.Context) error {
	if c == nil {
		return nil
	}
	if c.Depart != nil {
		if err := c.ask(ctx); err != nil {
			return err
		}
	}
	c.departures.count.Add(1)
	return nil
}

// ask asks Depart, which may take its time.
func (c *Call) ask(ctx context.Context) error {
	defer moment.Of(ctx).Waited()
	if err := c.Depart(ctx); err != nil {
		return &NotDepartedError{err}
	}
	return nil
}

// landed notes how an attempt ended that was put on the wire.
func (c *Call) landed(err error) {
	if c == nil {
		return
	}
	never := connectFailed(err)
	if never {
		c.departures.unsent.Add(1)
	}
	if err == nil || never {
		c.departures.landed.Store(c.departures.count.Load())
	}
}

// left gives how many attempts of a call may have come to the application; of no Call none.
func (c *Call) left() int {
	if c == nil {
		return 0
	}
	return int(c.departures.count.Load() - c.departures.unsent.Load())
}

// departed gives how many attempts of a call that ended with err were put on the wire, and
// whether the last of them is aloft. Of no Call it is as err alone says.
func (c *Call) departed(err error, refused bool) (attempts int, aloft bool) {
	switch {
	case c != nil:
		count := c.departures.count.Load()
		return int(count), c.departures.landed.Load() < count
	case refused:
		return 0, false
	}
	return 1, !connectFailed(err)
}
