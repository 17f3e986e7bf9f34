package auth

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A Keeper keeps what a credential must not lose, as bytes, for all processes that
// share the credential. What is kept holds secrets. All methods may be used
// concurrently, and their errors name no value.
type Keeper interface {
	// Load gives what was saved last, nil if nothing was.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces what is kept, and returns when it would survive a crash.
	Save(ctx context.Context, data []byte) error
	// Lock waits for the refresh slot, which one process has at a time. A process
	// that dies gives it up. unlock is called once.
	Lock(ctx context.Context) (unlock func(), err error)
}

// keptTimeout is how long one access to the Keeper may take.
const keptTimeout = 10 * time.Second

// A shelf is a Keeper in terms of grants. Without a Keeper everything succeeds,
// and nothing is ever found.
type shelf struct {
	keeper Keeper
	lost   *lost
	only   bool // what it does not have there is none of, see ErrRemoved
}

// lost is a grant that the Keeper did not take. All that use its credential in this
// process know of it: the one before it may be spent.
type lost struct {
	mu    sync.Mutex
	grant *grant // nil: there is none
	err   error  // why
}

// note notes how saving g ended.
func (l *lost) note(g *grant, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.grant != nil && l.grant.newer(g): // and that is not saved yet
	case err != nil:
		kept := *g
		l.grant, l.err = &kept, err
	default:
		l.grant, l.err = nil, nil
	}
}

// forget is for a grant that was removed: what could not be saved of it is gone, too.
func (l *lost) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grant, l.err = nil, nil
}

// newest is what is lost, if it is newer than what is kept.
func (l *lost) newest(kept *grant) *grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grant != nil && (kept == nil || l.grant.newer(kept)) {
		return l.grant
	}
	return kept
}

// unsaved says why g is not kept; nil: it is.
func (s shelf) unsaved(g *grant) error {
	s.lost.mu.Lock()
	defer s.lost.mu.Unlock()
	if l := s.lost; l.grant != nil && l.grant.version == g.version && l.grant.Access == g.Access {
		return l.err
	}
	return nil
}

// lock takes the refresh slot. Another process may be at its token endpoint, with
// all the time that this takes.
func (s shelf) lock(ctx context.Context, patience time.Duration) (unlock func(), err error) {
	if s.keeper == nil {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if unlock, err = s.keeper.Lock(ctx); err != nil {
		return nil, fmt.Errorf("waiting for the refresh slot: %w", err)
	}
	return unlock, nil
}

// load reads the grant, nil if none is kept. What cannot be read is an error: it
// may be the only copy of a refresh token, written by a newer version of us.
func (s shelf) load(ctx context.Context) (*grant, error) {
	if s.keeper == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	data, err := s.keeper.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is kept: %w", err)
	}
	if len(data) == 0 {
		if s.only {
			s.lost.forget()
		}
		return s.lost.newest(nil), nil
	}
	g, err := decodeGrant(data)
	if err != nil {
		return nil, fmt.Errorf("reading what is kept: %w", err)
	}
	return s.lost.newest(g), nil
}

func (s shelf) save(ctx context.Context, g *grant) error {
	if s.keeper == nil {
		return nil
	}
	data, err := g.encode()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, keptTimeout)
		defer cancel()
		err = s.keeper.Save(ctx, data)
	}
	if err != nil {
		err = fmt.Errorf("saving the grant: %w", err)
	}
	s.lost.note(g, err)
	return err
}
