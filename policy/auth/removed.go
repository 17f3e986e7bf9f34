package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRemoved says that a credential is gone which is there only as long as the Keeper
// has it (see [OAuth2Settings.KeptOnly] and [Kept]): nothing is kept any more. What a
// process still had of it in memory is not sent, and not saved again.
var ErrRemoved = errors.New("nothing is kept of this connection: it was removed, or nobody has logged in or handed it over yet")

// A Remover is a Keeper that can forget what it keeps.
type Remover interface {
	Keeper
	// Remove forgets what is kept, and returns when it would be gone after a crash. It
	// is no error if nothing is.
	Remove(ctx context.Context) error
}

// Withdraw has the keeper forget a credential, and reports whether there was one. It
// waits for a refresh that is under way, which would otherwise save its successor.
func Withdraw(ctx context.Context, keeper Remover) (found bool, err error) {
	s := shelf{keeper: keeper, lost: &lost{}}
	unlock, err := s.lock(ctx, introduceTimeout)
	if err != nil {
		return false, err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	data, err := keeper.Load(ctx)
	if err != nil {
		return false, fmt.Errorf("reading what is kept: %w", err)
	}
	if len(data) == 0 {
		return false, nil
	}
	if err := keeper.Remove(ctx); err != nil {
		return false, fmt.Errorf("removing what is kept: %w", err)
	}
	return true, nil
}

// removed ends a flight that found nothing kept of a credential that is KeptOnly.
func (o *OAuth2) removed(a attempt) error {
	now := wallClock()
	o.mu.Lock()
	known := errors.Is(o.hold.err, ErrRemoved) && o.hold.active(now)
	if known {
		o.hold.looked = now // in vain, and no news
	} else {
		o.giveUp(now)
	}
	event := RefreshEvent{Reason: a.reason, Took: now.Sub(a.began), Err: ErrRemoved, Dead: true, NextTry: o.hold.until}
	o.mu.Unlock()
	if !known {
		o.tell(event)
	}
	return ErrRemoved
}

// giveUp forgets the grant that is used. The lock is held. It is looked at the Keeper
// again, like in every hold: there may be another grant one day.
func (o *OAuth2) giveUp(now time.Time) {
	o.held = held{}
	o.doubted.Store(false)
	o.hold.extend(terminal, ErrRemoved, client{}, 0, o.set.Jitter, now)
}

// Removed reports that the credential was found to be removed: see ErrRemoved.
func (o *OAuth2) Removed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Is(o.hold.err, ErrRemoved)
}
