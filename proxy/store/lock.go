package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

const (
	// lease is how long a lock outlives a holder that died.
	lease = 90 * time.Second

	// answered bounds what taking and giving back wait for in the database; a lease that
	// stays behind ends by itself.
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
// A holder that died is waited for until its lease ends, 90 seconds after it
// took it. Nobody renews a lease, so that a holder has to be done by then: a
// token call is bounded far below. It is the database's clock that counts, so that
// those of machines which share a PostgreSQL need not agree. With SQLite that is the
// machine's, and a step of it by more than what is left of a lease ends the lease
// early, or prolongs it, by as much.
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
	holder := rand.Text()
	give := sync.OnceFunc(func() {
		s.release(ctx, holder)
		<-turn
	})
	if err := s.acquire(ctx, holder); err != nil {
		give() // it may have been taken although there was no answer
		return nil, fmt.Errorf("locking slot %q: %w", s.id, err)
	}
	return give, nil
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
	// It is not broken off when whoever waits goes away: a server may carry out later
	// what we no longer listen to, and then the lease would be nobody's.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), answered, errSilent)
	defer cancel()
	rows, err := s.store.write(ctx, `INSERT INTO outrider_leases (id, holder, until)
		SELECT $1, $2, {now} + $3 FROM outrider_seal WHERE salt = $4 {share}
		ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE outrider_leases.until <= {now}`,
		s.id, holder, lease.Milliseconds(), seal.salt)
	return rows == 1, err
}

// release gives back holder's own lease; one that was taken over stays.
func (s *Slot) release(ctx context.Context, holder string) {
	// The work is done; that whoever waited for it went away must not keep the
	// slot from the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answered)
	defer cancel()
	_, _ = s.store.write(ctx, `DELETE FROM outrider_leases WHERE id = $1 AND holder = $2`, s.id, holder)
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
