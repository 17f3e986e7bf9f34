package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

const (
	// lease is how long a lock outlives a holder that died, and renewal how often one
	// that lives prolongs it.
	lease, renewal = 30 * time.Second, 10 * time.Second

	// answered bounds what a statement about a lease waits for in the database, once it is
	// its turn: of thousands of credentials, many are refreshed at once. A lease that stays
	// behind ends by itself.
	answered = 5 * time.Second

	firstPause, maxPause = 5 * time.Millisecond, 100 * time.Millisecond
)

// errSilent is what a statement ends with that is bounded.
var errSilent = fmt.Errorf("the store did not answer within %s", answered)

// Lock takes the slot for one holder over all processes that share the store,
// and waits for it until ctx ends. The function that it returns gives it back,
// once; calling it again does nothing. Within a process those who wait get it in
// their order; between processes whoever asks first after it was given back.
//
// A holder that died is waited for until its lease ends, 30 seconds after it took it,
// or prolonged it last; with SQLite it is not waited for on Linux, see
// witness. A machine that stands still for as long, in the middle of a token request,
// loses its lease to another. It is the database's clock that counts, so that those of
// machines which share a PostgreSQL need not agree. With SQLite that is the machine's,
// and a step of it by more than what is left of a lease ends the lease early, or
// prolongs it, by as much.
//
// Who holds a lock can save: one whose key does not open the store any more gets
// none, and Rekey waits for those who have one.
func (s *Slot) Lock(ctx context.Context) (unlock func(), err error) {
	turn := s.store.turn(s.id)
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("locking slot %q: %w", s.id, context.Cause(ctx))
	}
	holder := s.store.db.witness.sign(rand.Text())
	err = s.acquire(ctx, holder)
	renewing, end := context.WithCancel(context.WithoutCancel(ctx))
	var renewed sync.WaitGroup
	give := sync.OnceFunc(func() {
		end()
		renewed.Wait()
		s.release(ctx, holder)
		<-turn
	})
	if err != nil {
		give() // it may have been taken although there was no answer
		return nil, fmt.Errorf("locking slot %q: %w", s.id, err)
	}
	renewed.Go(func() { s.renew(renewing, holder) })
	return give, nil
}

// renew prolongs holder's lease until ctx ends. One that was lost is not taken again:
// somebody else counts on it.
func (s *Slot) renew(ctx context.Context, holder string) {
	ticks := time.NewTicker(renewal)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			_ = s.prolong(ctx, holder) // if it failed, the next may not
		case <-ctx.Done():
			return
		}
	}
}

func (s *Slot) prolong(ctx context.Context, holder string) error {
	_, err := s.store.writeLease(ctx, `UPDATE outrider_leases SET until = {now} + $1 WHERE id = $2 AND holder = $3`,
		lease.Milliseconds(), s.id, holder)
	return err
}

// writeLease is write that waits for its turn until ctx ends, and then for an answer of
// the database for as long as answered. It is not broken off when whoever waits goes
// away: a server may carry out later what we no longer listen to, and then a lease would
// be nobody's.
func (s *Store) writeLease(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	if err := s.queue(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), answered, errSilent)
	defer cancel()
	return s.writeNow(ctx, statement, args...)
}

// turn is held by the one holder of this process, so that the others wait here
// and do not ask the database.
func (s *Store) turn(id string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	turn, known := s.turns[id]
	if !known {
		turn = make(chan struct{}, 1)
		s.turns[id] = turn
	}
	return turn
}

// acquire waits until the lease is holder's.
func (s *Slot) acquire(ctx context.Context, holder string) error {
	pause := pauses()
	for {
		seal := s.store.seal.Load()
		taken, err := s.take(ctx, holder, seal)
		if err != nil || taken {
			return err
		}
		if buried, err := s.bury(ctx); err != nil {
			return err
		} else if buried {
			continue
		}
		if err := s.store.renewSeal(ctx, seal.salt); err != nil {
			return err
		}
		if !pause(ctx) {
			return context.Cause(ctx)
		}
	}
}

// take takes the lease if nobody has it, or only one that ran out, and if the store
// is sealed as we know it. It is one statement, so that of two who try at the same
// time one gets it.
func (s *Slot) take(ctx context.Context, holder string, seal *sealer) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	rows, err := s.store.writeLease(ctx, `INSERT INTO outrider_leases (id, holder, until)
		SELECT $1, $2, {now} + $3 FROM outrider_seal WHERE salt = $4 {share}
		ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE outrider_leases.until <= {now}`,
		s.id, holder, lease.Milliseconds(), seal.salt)
	return rows == 1, err
}

// bury gives back the lease of a holder that is known to have ended, if the lease is
// such a one.
func (s *Slot) bury(ctx context.Context) (buried bool, err error) {
	if s.store.db.witness == nil {
		return false, nil
	}
	var holder string
	found, err := s.store.read(ctx, `SELECT holder FROM outrider_leases WHERE id = $1`, s.id, &holder)
	if err != nil || !found || !s.store.db.witness.gone(holder) {
		return false, err
	}
	rows, err := s.store.write(ctx, `DELETE FROM outrider_leases WHERE id = $1 AND holder = $2`, s.id, holder)
	return rows == 1, err
}

// release gives back holder's own lease; one that was taken over stays.
func (s *Slot) release(ctx context.Context, holder string) {
	// The work is done; that whoever waited for it went away must not keep the
	// slot from the others.
	_, _ = s.store.writeLease(context.WithoutCancel(ctx), `DELETE FROM outrider_leases WHERE id = $1 AND holder = $2`, s.id, holder)
}

// pauses gives a function that sleeps a little longer each time, and tells
// whether ctx is still alive.
func pauses() func(context.Context) bool {
	next := firstPause
	return func(ctx context.Context) bool {
		timer := time.NewTimer(next)
		defer timer.Stop()
		next = min(2*next, maxPause)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
