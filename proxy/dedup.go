package proxy

import (
	"context"
	"net/http"
	"sync"
	"time"

	"outrider/policy"
)

// dedups are the dedup keys under which calls are under way that become letters if they fail.
// The store knows a key from the letter on, and a second call that comes before would be sent
// beside the first, under an idempotency key of its own: a provider that honours these takes
// it for another one. So it waits until the first has become a letter, or has not.
//
// They are those of this process. A call without a dedup key has nothing to do with them.
type dedups struct {
	mu sync.Mutex
	of map[string]*dedup // outbox.Letter.Dedup → the key
}

// A dedup is a key with calls.
type dedup struct {
	all   *dedups
	name  string
	slot  chan struct{} // has something in it while a call is under way
	calls int           // that are under way, or wait; guarded by all.mu
}

// enter has a call be under way with a key. If another one is, it has to wait.
func (d *dedups) enter(name string) (key *dedup, free bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[string]*dedup{}
	}
	key = d.of[name]
	if key == nil {
		key = &dedup{all: d, name: name, slot: make(chan struct{}, 1)}
		d.of[name] = key
	}
	key.calls++
	select {
	case key.slot <- struct{}{}:
		return key, true
	default:
		return key, false
	}
}

// wait waits for those that came before. If it is late first, or ctx ends, the call is none of
// the key's any more.
func (k *dedup) wait(ctx context.Context, late *policy.TimeoutError) error {
	timer := time.NewTimer(late.Limit) // a context with a deadline would have a goroutine
	defer timer.Stop()
	select {
	case k.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		k.forget()
		return context.Cause(ctx)
	case <-timer.C:
		k.forget()
		return &problem{slug: "deadline-exceeded", unsent: true, detail: late.Error() + ", and another call with this dedup key was under way all the time; of this one nothing was sent"}
	}
}

// leave lets the next one go.
func (k *dedup) leave() {
	<-k.slot
	k.forget()
}

func (k *dedup) forget() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	if k.calls--; k.calls == 0 {
		delete(k.all.of, k.name)
	}
}

// lookBack finds out what comes before a call that becomes a letter if it fails, or is one at
// once: it waits for a call with its dedup key that is under way, and says whether it is to be
// kept then in place of being sent. A body is read before the wait, if it is short: a client
// that has not sent all of it cannot be seen to leave.
func (s *Server) lookBack(x *exchange, k *keeping, to *route, out *http.Request, asked policy.Controls, replay int64) error {
	call, own, err := keysOf(x, to, out, asked)
	if err != nil {
		return err
	}
	if name := call.Dedup(); name != "" {
		key, free := s.dedups.enter(name)
		if !free {
			if k.release, err = prepareBody(x.ctx, x.r, out, replay, &s.kept); err != nil {
				key.forget()
				return err
			}
			began := time.Now()
			err := key.wait(x.ctx, to.plan.Late(x.ctx))
			x.call.HeldBack(time.Since(began))
			if err != nil {
				return err
			}
		}
		k.key = key
	}
	if k.now {
		return nil
	}
	x.call.Depart = k.departing
	k.now, err = s.comesAfter(x, call, own)
	return err
}

// leave lets the next call of the dedup key go, if there is one.
func (k *keeping) leave() {
	if k.key != nil {
		k.key.leave()
		k.key = nil
	}
}

// end gives back what a call had that may be kept.
func (k *keeping) end() {
	k.leave()
	if k.release != nil {
		k.release()
	}
}
