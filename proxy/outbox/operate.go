package outbox

import (
	"context"
	"io"
	"net/http"
	"time"

	"outrider/proxy/store"
)

// Cancel takes back a letter that is not being sent. One that was sent before, and failed, is
// not sent again. ErrHeld, ErrEnded, ErrUnknown.
func (o *Outbox) Cancel(ctx context.Context, id string) error {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return err
	}
	letter, err := kept.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := kept.Cancel(ctx, id); err != nil {
		return err
	}
	o.watchers.tell(id)
	o.settings.Observe(Event{Kind: Cancellation, ID: id, Upstream: letter.Upstream, Age: time.Since(letter.Created)})
	return nil
}

// Retry has letters that a filter chooses be sent now, and tells how many: dead ones, or
// those that wait where it asks for that state. Others never are. Damaged ones stay dead.
//
// A letter that may have been done is sent again, because whoever asks for it has looked. The
// time of its first request is forgotten but for keyed letters, whose key does not become
// younger; if it is the age of the key that they died of, it is, too.
func (o *Outbox) Retry(ctx context.Context, f Filter) (retried int, err error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return 0, err
	}
	switch f.State {
	case StateWaiting:
		retried, err = kept.Hurry(ctx, f.kept(), 0)
	case StateDead, "":
		f.State = StateDead
		retried, err = o.revive(ctx, kept, f)
	}
	if retried > 0 {
		o.settings.Observe(Event{Kind: Replay, Upstream: f.Upstream, Count: retried})
		o.bell.ringAll()
	}
	return retried, err
}

// revive has dead letters wait again, a page at a time.
func (o *Outbox) revive(ctx context.Context, kept Store, f Filter) (revived int, err error) {
	for after := ""; ; {
		page, err := kept.List(ctx, f.kept(), after, maxListed)
		if err != nil || len(page) == 0 {
			return revived, err
		}
		after = page[len(page)-1].ID
		fresh, known := bySafety(page)
		for _, group := range []struct {
			ids    []string
			forget bool
		}{{fresh, true}, {known, false}} {
			if len(group.ids) == 0 {
				continue
			}
			n, err := kept.Requeue(ctx, store.Filter{IDs: group.ids}, store.Requeue{
				MaxAge: o.limits.Load().MaxAge, ForgetDepart: group.forget,
			})
			revived += n
			if err != nil {
				return revived, err
			}
		}
	}
}

// bySafety parts dead letters in those that start afresh, and those whose first request is to
// be remembered. Those that do not open are in neither.
func bySafety(page []store.Stored) (fresh, known []string) {
	for _, stored := range page {
		letter, err := open(stored.ID, stored.Head)
		switch {
		case err != nil || stored.Reason == ReasonDamaged:
		case letter.Resendable() && stored.Reason != ReasonKeyAge:
			known = append(known, stored.ID)
		default:
			fresh = append(fresh, stored.ID)
		}
	}
	return fresh, known
}

// A Change is what Edit changes of a letter. What is nil stays.
type Change struct {
	Method *string
	Target *string     // path and query
	Header http.Header // all of it; credentials are not for the caller to put in
	Body   io.Reader
	// Key is the idempotency key. If it is nil, a letter that has one gets another: a provider
	// refuses a key that it knows with another content.
	Key *string
}

// Edit changes a dead letter, and has it be sent. ErrEnded: it is not dead. ErrUnknown,
// ErrTooLarge, ErrDamaged.
func (o *Outbox) Edit(ctx context.Context, id string, c Change) error {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return err
	}
	stored, err := kept.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case stored.Damaged:
		return ErrDamaged
	case stored.State != StateDead:
		return ErrEnded
	}
	letter, err := open(id, stored.Head)
	if err != nil {
		return err
	}
	if err := letter.change(c, o.settings.Idempotent); err != nil {
		return err
	}
	limits := o.limits.Load()
	if err := kept.Replace(ctx, id, store.Replacement{Head: letter.changedHead(c), Body: c.Body, MaxBody: limits.MaxBody}); err != nil {
		return err
	}
	n, err := kept.Requeue(ctx, store.Filter{IDs: []string{id}}, store.Requeue{MaxAge: limits.MaxAge, ForgetDepart: true})
	if err == nil && n == 0 {
		err = ErrEnded // somebody else was faster
	}
	if err == nil {
		o.settings.Observe(Event{Kind: Replay, ID: id, Upstream: letter.Upstream, Count: 1})
		o.bell.ringAll()
	}
	return err
}

// change makes the changes but for the body. idempotent says what of a method.
func (l *Letter) change(c Change, idempotent func(method string) bool) error {
	if c.Method != nil && *c.Method != l.Method {
		l.Method, l.Idempotent = *c.Method, idempotent(*c.Method)
	}
	if c.Target != nil {
		l.Target = *c.Target
	}
	if c.Header != nil {
		l.Header = c.Header.Clone()
	}
	switch {
	case c.Key != nil:
		l.Key = *c.Key
	case l.keyed():
		fresh, err := newID()
		if err != nil {
			return err
		}
		l.Key = fresh
	}
	return nil
}

// changedHead is the envelope of a letter that was changed. A body that stays is as it was.
func (l *Letter) changedHead(c Change) func(store.Body) ([]byte, error) {
	if c.Body == nil {
		return func(store.Body) ([]byte, error) { return l.seal() }
	}
	l.Trailer = nil // they belong to the body that was
	return l.sealWith
}

// Drop forgets letters that a filter chooses, and that are not being sent, and tells how many.
func (o *Outbox) Drop(ctx context.Context, f Filter) (int, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return 0, err
	}
	if f.State == StateSending {
		return 0, ErrHeld
	}
	dropped, err := kept.Drop(ctx, f.kept())
	for _, id := range f.IDs {
		o.watchers.tell(id)
	}
	return dropped, err
}

// Drain makes letters that wait due now, and returns when none does any more. A letter that
// fails waits again; ctx is for how long that is worth it.
func (o *Outbox) Drain(ctx context.Context, f Filter) error {
	f.State = StateWaiting
	if _, err := o.Retry(ctx, f); err != nil {
		return err
	}
	for {
		left, err := o.waits(ctx, f)
		if err != nil || !left {
			return err
		}
		if sleep(ctx, lookAgain); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// waits reports whether a letter that the filter chooses waits.
func (o *Outbox) waits(ctx context.Context, f Filter) (bool, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return false, err
	}
	page, err := kept.List(ctx, f.kept(), "", 1)
	return len(page) > 0, err
}
