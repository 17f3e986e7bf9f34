package outbox

import (
	"cmp"
	"errors"
	"time"

	"outrider/proxy/store"
)

// An ending is what an attempt came to, with the answer that is to be kept.
type ending struct {
	Outcome
	answer *received // nil: there is none
}

// settle decides what an outcome means for the letter, and has the store know it.
func (d *delivery) settle(out Outcome) report {
	e := &ending{Outcome: out}
	if out.Response != nil {
		e.answer = receive(out.Response, d.limits.MaxBody)
		defer e.answer.close()
	}
	left, refused := d.leaving.outcome()
	verdict := out.Verdict
	if (verdict == Later || verdict == NotSent && out.Wire > 0) && left && !out.NothingDone && !d.letter.Resendable() {
		verdict = Unknown // whoever sends is asked, but not trusted with this
	}
	switch {
	case verdict == Delivered:
		d.end(StateDelivered, "", e)
	case errors.Is(refused, errKeyOld):
		d.end(StateDead, ReasonKeyAge, e)
	case errors.Is(out.Err, ErrDamaged) || errors.Is(out.Err, errChanged):
		d.end(StateDead, ReasonDamaged, e)
	case errors.Is(refused, store.ErrLost):
		d.outbox.settings.Observe(d.event(Overtaken, out))
	case errors.Is(refused, errStopping) && !left:
		return report{delivery: d} // closing the holder gives it back
	case verdict == NotSent:
		return d.refuse(out)
	case verdict == Later && !d.spent(d.stored.Attempts+1):
		d.later(e)
	case verdict == Later:
		d.end(StateDead, ReasonAttempts, e)
	case verdict == Unknown:
		d.end(StateDead, ReasonUnknown, e)
	default:
		d.end(StateDead, cmp.Or(out.Reason, ReasonRefused), e)
	}
	return report{delivery: d, sent: true}
}

// refuse gives back a letter that we have refused to send ourselves, and holds up its lane.
func (d *delivery) refuse(out Outcome) report {
	after := out.After
	if after <= 0 {
		after = backoff(d.refusals+1, d.outbox.settings.Jitter)
	}
	delay := after
	if out.Elsewhere {
		delay = lookAgain
	}
	event := d.event(Held, out)
	event.After = delay
	nothing := out.Wire == 0 || out.NothingDone // an earlier attempt of this sending may have gone out
	d.write(&result{later: &store.Later{Delay: delay, ForgetDepart: nothing && d.stored.Departed.IsZero()}, event: event})
	return report{delivery: d, sent: true, refused: true, after: after}
}

// later has the letter be sent again: never before the time that somebody named.
func (d *delivery) later(e *ending) {
	after := max(e.After, backoff(d.stored.Attempts+1, d.outbox.settings.Jitter))
	event := d.event(Deferred, e.Outcome)
	event.After = after
	d.write(&result{
		later: &store.Later{
			Delay: after, Attempt: d.attempt(e),
			ForgetDepart: e.NothingDone && d.stored.Departed.IsZero(),
		},
		answer: e.answer, event: event,
	})
}

// end ends the letter. e is nil where it was not sent now.
func (d *delivery) end(state, reason string, e *ending) {
	r := &result{end: &store.End{State: state, Reason: reason}}
	var out Outcome
	if e != nil {
		r.end.Attempt, r.answer, out = d.attempt(e), e.answer, e.Outcome
	}
	kind := DeadLetter
	if state == StateDelivered {
		kind = Delivery
	}
	r.event = d.event(kind, out)
	r.event.Reason = reason
	r.end.Follow = d.callback(r.end, r.event.Status)
	d.write(r)
}

// event is one about the letter.
func (d *delivery) event(kind Kind, out Outcome) Event {
	e := Event{
		Kind: kind, ID: d.stored.ID, Upstream: d.stored.Upstream, Attempt: d.stored.Attempts + 1,
		Age: time.Since(d.stored.Created), TraceID: out.TraceID, Err: out.Err,
	}
	if d.letter != nil {
		e.Connection = d.letter.Connection
	}
	if out.Response != nil {
		e.Status = out.Response.StatusCode
	}
	return e
}
