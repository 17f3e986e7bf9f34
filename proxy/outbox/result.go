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
		case errors.Is(err, store.ErrUnknown):
			o.unwritten.forget(d.stored.ID) // somebody has dropped it
			return
		case errors.Is(err, store.ErrLost):
			// Where it comes back to us, it is written then.
			o.unwritten.keep(d.stored.ID, r)
			lost := r.event
			lost.Kind = Overtaken
			o.settings.Observe(lost)
			return
		case last:
			return
		}
		o.unwritten.keep(d.stored.ID, r)
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

// unwritten are results that the store does not know yet: a letter that has one is not sent
// again by this process.
type unwritten struct {
	mu      sync.Mutex
	results map[string]unwrittenResult // id of a letter → what came of it
}

type unwrittenResult struct {
	*result
	since time.Time
}

func (u *unwritten) keep(id string, r *result) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.results == nil {
		u.results = map[string]unwrittenResult{}
	}
	now := time.Now()
	if len(u.results) >= maxUnwritten {
		for other, kept := range u.results {
			if now.Sub(kept.since) >= unwrittenFor {
				delete(u.results, other)
			}
		}
	}
	if _, known := u.results[id]; known || len(u.results) < maxUnwritten {
		u.results[id] = unwrittenResult{r, now}
	}
}

func (u *unwritten) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.results, id)
}

// of is the result that is known of a letter; nil: none is.
func (u *unwritten) of(id string) *result {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept, ok := u.results[id]
	if !ok || time.Since(kept.since) >= unwrittenFor {
		return nil
	}
	return kept.result
}
