package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"outrider/proxy/store"
)

// A result is what the store is to know of a letter that is held: one of end and later.
type result struct {
	end    *store.End
	later  *store.Later
	answer *received // nil: there is none
	event  Event     // is told when the store knows; none where it has no Kind
}

// write has the store know a result. While the store is away it waits for it, until what is
// sent is broken off, and then tries once more; so the letter is still held, and not sent
// again.
func (d *delivery) write(r *result) {
	o := d.outbox
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		last := o.sending.Err() != nil
		err := d.writeOnce(r)
		switch {
		case err == nil || errors.Is(err, store.ErrUnrecorded):
			o.unwritten.forget(d.stored.ID)
			o.wrote(d, r)
			return
		case errors.Is(err, store.ErrLost):
			o.unwritten.keep(d, r)
			lost := r.event
			lost.Kind = Overtaken
			o.settings.Observe(lost)
			return
		case last:
			return
		}
		o.noteStore(err)
		sleep(o.sending, wait)
	}
}

// writeOnce writes a result. What is known when all is broken off is written still.
func (d *delivery) writeOnce(r *result) error {
	ctx := d.outbox.sending
	if ctx.Err() != nil {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		ctx = writing
	}
	return r.writeTo(ctx, d.holder, d.stored.ID)
}

// writeTo writes a result once.
func (r *result) writeTo(ctx context.Context, holder Holder, id string) (err error) {
	switch {
	case r.end != nil:
		end := *r.end
		if r.answer != nil {
			if end.ResponseHead, end.Response, err = r.answer.content(); err != nil {
				return err
			}
		}
		return holder.End(ctx, id, end)
	default:
		later := *r.later
		if r.answer != nil {
			if later.ResponseHead, later.Response, err = r.answer.content(); err != nil {
				return err
			}
		}
		return holder.Later(ctx, id, later)
	}
}

// wrote tells what the store knows now.
func (o *Outbox) wrote(d *delivery, r *result) {
	if r.event.Kind != "" {
		o.settings.Observe(r.event)
	}
	if r.end == nil {
		return
	}
	o.progress.ended(d.stored.Upstream, time.Now())
	o.watchers.tell(d.stored.ID)
	if r.end.Follow != nil {
		o.bell.ring(r.end.Follow.Letter.Lane)
	}
}

const (
	// maxUnwritten and unwrittenFor bound the results that are known and could not be
	// written because the letter was lost with the lease.
	maxUnwritten = 1000
	unwrittenFor = time.Hour
)

// unwritten are results of letters that were lost with the lease before the store knew them.
// Where such a letter comes back as it left, its result is written then.
type unwritten struct {
	mu      sync.Mutex
	results map[string]unwrittenResult // id of a letter → what came of it
}

type unwrittenResult struct {
	*result
	left, since time.Time // when the letter left first, and when it was lost
}

// keep keeps what came of a letter, if it left: else nothing is known that another sender
// would not find out. Of one that another may have sent again, it cannot be said any more
// that nothing was done.
func (u *unwritten) keep(d *delivery, r *result) {
	left := d.left()
	if left.IsZero() {
		return
	}
	if r.later != nil && d.letter.Resendable() {
		r.later.ForgetDepart = false
	}
	r.answer.shorten()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.results == nil {
		u.results = map[string]unwrittenResult{}
	}
	now, id := time.Now(), d.stored.ID
	if len(u.results) >= maxUnwritten {
		for other, kept := range u.results {
			if now.Sub(kept.since) >= unwrittenFor {
				delete(u.results, other)
			}
		}
	}
	if _, known := u.results[id]; known || len(u.results) < maxUnwritten {
		u.results[id] = unwrittenResult{r, left, now}
	}
}

func (u *unwritten) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.results, id)
}

// sameDeparture is by how much two looks at the time of one departure may differ: by the time
// that the store takes for it, and less than by that after which another sender may have the
// letter.
const sameDeparture = 15 * time.Second

// of is the result that is known of a letter; nil: none is. It is for the letter as it left:
// one that somebody has edited, or that others have sent since, has another departure, or none.
func (u *unwritten) of(d *delivery) *result {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept, ok := u.results[d.stored.ID]
	if !ok || time.Since(kept.since) >= unwrittenFor || d.stored.Departed.IsZero() || d.departed().Sub(kept.left).Abs() > sameDeparture {
		delete(u.results, d.stored.ID)
		return nil
	}
	return kept.result
}
