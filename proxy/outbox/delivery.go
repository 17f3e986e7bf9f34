package outbox

import (
	"context"
	"errors"
	"io"
	"time"

	"outrider/proxy/store"
)

// callbackUpstream is the upstream of letters that are callbacks. No configuration can have
// one of this name.
const callbackUpstream = "outbox"

// futureSlack is how far in the future a departure may be: clocks of two machines differ.
const futureSlack = time.Minute

// A delivery is a letter that this process has claimed.
type delivery struct {
	outbox   *Outbox
	limits   *Limits
	holder   Holder
	stored   store.Stored
	tooOld   bool // by any clock: see clock
	claimed  time.Time
	lane     *lane // belongs to the pump; its epoch and refusals when the letter was sent:
	epoch    int
	refusals int
	next     *delivery  // belongs to the pump: the same letter, claimed again before this one ended
	letter   *Letter    // nil: the envelope does not open
	leaving  *departure // nil: nobody was asked to send it
}

// A report tells the pump what a delivery means for others.
type report struct {
	*delivery
	sent    bool          // somebody was asked to send it
	refused bool          // and that was ourselves: the lane waits
	after   time.Duration // for so long
}

// deliver does what is to be done with the letter, until the store has it. run ends when the
// sender stops. A lane that pauses gets it back, to be sent so much later.
func (d *delivery) deliver(run context.Context, pause time.Duration) report {
	if known := d.outbox.unwritten.of(d); known != nil {
		d.write(known)
		return report{delivery: d}
	}
	if pause > 0 {
		d.write(&result{later: &store.Later{Delay: pause}})
		return report{delivery: d}
	}
	letter, err := d.open()
	if errors.Is(err, errNewer) && d.tooOld {
		d.end(StateDead, ReasonAge, nil)
		return report{delivery: d}
	}
	if errors.Is(err, errNewer) {
		d.write(&result{later: &store.Later{Delay: backoffCap}, event: d.event(Held, Outcome{Err: err})})
		return report{delivery: d}
	}
	if letter != nil && letter.Priority == "" {
		letter.Priority = d.limits.Priority
	}
	d.letter = letter
	if reason := d.unfit(); reason != "" {
		d.end(StateDead, reason, nil)
		return report{delivery: d}
	}
	return d.send(run)
}

func (d *delivery) open() (*Letter, error) {
	if d.stored.Damaged {
		return nil, ErrDamaged
	}
	return open(d.stored.ID, d.stored.Head)
}

// unfit is why a letter is dead without being sent (again); "": it is not.
func (d *delivery) unfit() string {
	switch {
	case d.letter == nil:
		return ReasonDamaged
	case !d.stored.Departed.IsZero() && !d.letter.Resendable():
		return ReasonUnknown
	case d.keyOld(time.Time{}):
		return ReasonKeyAge
	case d.tooOld:
		return ReasonAge
	case d.spent(d.stored.Attempts):
		return ReasonAttempts
	}
	return ""
}

// spent reports whether so many attempts are all. A callback may have more: it costs little.
func (d *delivery) spent(attempts int) bool {
	return attempts >= d.limits.Attempts && d.letter.Upstream != callbackUpstream
}

// keyOld reports whether the provider may have forgotten the key of the letter, which it has
// nothing else to tell a second request by. first is when this delivery has used it; zero: not.
func (d *delivery) keyOld(first time.Time) bool {
	if d.letter.Idempotent || !d.letter.keyed() {
		return false
	}
	lifetime := d.outbox.settings.KeyAge(d.letter)
	switch {
	case lifetime == 0:
		return false
	case !d.stored.Departed.IsZero():
		// Of a time in the future nothing is known but that the clock was wrong.
		return d.stored.Gone < -futureSlack || time.Since(d.departed()) >= lifetime
	case !first.IsZero():
		return time.Since(first) >= lifetime
	}
	return false
}

// departed is when the letter had left first as it was claimed, by our clock.
func (d *delivery) departed() time.Time { return d.claimed.Add(-d.stored.Gone) }

// left is when the letter left first, by our clock, if it has left in this delivery; zero: it
// has not.
func (d *delivery) left() time.Time {
	if d.leaving == nil {
		return time.Time{}
	}
	first := d.leaving.left()
	if !first.IsZero() && !d.stored.Departed.IsZero() {
		return d.departed()
	}
	return first
}

// send sends the letter, and has the store know what came of it.
func (d *delivery) send(run context.Context) report {
	ctx, breakOff := context.WithCancelCause(d.outbox.sending)
	defer breakOff(nil)
	d.leaving = &departure{delivery: d, breakOff: breakOff}
	defer context.AfterFunc(run, d.leaving.stop)()

	sending := &Sending{
		Letter: d.letter, Attempt: d.stored.Attempts + 1, First: d.stored.Attempts == 0 && d.stored.Departed.IsZero(),
		Body: d.body, Depart: d.leaving.depart,
	}
	started := time.Now()
	var out Outcome
	if d.letter.Upstream == callbackUpstream {
		out = d.outbox.sendCallback(ctx, sending)
	} else {
		out = d.outbox.settings.Send(ctx, sending)
	}
	if out.Started.IsZero() {
		out.Started, out.Took = started, time.Since(started)
	}
	return d.settle(out)
}

// body opens the body that was kept.
func (d *delivery) body() (io.ReadCloser, error) {
	kept, err := d.outbox.settings.Store(d.outbox.sending)
	if err != nil {
		return nil, err
	}
	body, err := kept.Body(d.outbox.sending, d.stored.ID)
	if err != nil {
		return nil, err
	}
	return d.letter.checked(body), nil
}
