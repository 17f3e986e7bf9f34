package outbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	errStopping = errors.New("the sender stops, and the letter was not sent yet")
	errKeyOld   = errors.New("the provider may have forgotten the idempotency key of the letter")
)

// A departure is the moment in which a letter leaves, and whether it may. A sender that stops
// breaks off what has not departed, and waits for what has.
type departure struct {
	delivery *delivery
	breakOff context.CancelCauseFunc

	mu      sync.Mutex
	gone    bool
	stopped bool
	refused error     // why it may not leave (any more)
	first   time.Time // when it left first, by our clock; zero: never
}

// depart is Sending.Depart.
func (d *departure) depart(ctx context.Context) error {
	if err := d.leave(); err != nil {
		return err
	}
	err := d.delivery.holder.Depart(ctx, d.delivery.stored.ID)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil:
		d.refused = err
	case d.first.IsZero():
		d.first = time.Now()
	}
	d.gone = !d.first.IsZero() // there may be two at a time: a hedge
	return err
}

// leave decides whether the letter may leave, and then it is waited for.
func (d *departure) leave() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stopped:
		d.refused = errStopping
	case d.delivery.keyOld(d.first):
		d.refused = errKeyOld
	default:
		d.gone, d.refused = true, nil
	}
	return d.refused
}

// stop keeps the letter from leaving, if it has not left.
func (d *departure) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.gone {
		d.stopped = true
		d.breakOff(errStopping)
	}
}

// left is when the letter left first, by our clock; zero: it has not.
func (d *departure) left() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first
}

// outcome tells whether the letter left, and why it was not let (again).
func (d *departure) outcome() (left bool, refused error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped && d.refused == nil {
		return d.gone, errStopping
	}
	return d.gone, d.refused
}
