package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Whoever writes waits for the disk, and the disk takes as long for one letter as for a
// hundred. So what is to be written waits in line, and whoever gets the right to write
// takes along all who wait: their changes are one transaction, and all are durable at once.

const (
	// A transaction takes at most so many changes, and of so many bytes.
	maxChanges, maxWeight = 256, 8 << 20

	// grownAhead is how much room is taken ahead where letters need some.
	grownAhead = 4 << 20

	// committing bounds what a transaction waits for in the database.
	committing = 10 * time.Second
)

var (
	errUncommitted = fmt.Errorf("the store did not answer within %s", committing)
	errResealed    = errors.New("the store was sealed anew")
)

// A change is what one caller has to write.
type change struct {
	// id is that of the letter that it is about. Transactions make their changes in the
	// order of ids, so that no two wait for each other.
	id     string
	alone  bool // beside no other such change, in whatever process
	grows  bool // takes room, and none of what is reserved for tokens
	weight int  // bytes

	// do makes it. It is called again where the transaction failed. A refusal or a breach is
	// its own error; any other one is that of the transaction.
	do func(context.Context, *transaction) error

	done chan error
}

// A refusal is why a change is not made that has written nothing: those beside it are.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// A breach is why a change is not made that has written something already: nothing of its
// transaction is, and those beside it are made again without it.
type breach struct{ error }

func (b breach) Unwrap() error { return b.error }

// A line is the changes that wait.
type line struct {
	mu      sync.Mutex
	waiting []*change
}

func (l *line) join(c *change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, c)
}

// quit takes a change out of the line again, unless somebody makes it already.
func (l *line) quit(c *change) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.waiting, c)
	if at < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	return true
}

// take gives the first ones, as many as a transaction takes.
func (l *line) take() []*change {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, weight := 0, 0
	for n < len(l.waiting) && n < maxChanges && (n == 0 || weight+l.waiting[n].weight <= maxWeight) {
		weight += l.waiting[n].weight
		n++
	}
	taken := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return taken
}

// commit makes a change, durable when it returns. Once somebody makes it, it is not broken
// off when ctx ends.
func (s *Store) commit(ctx context.Context, c *change) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.done = make(chan error, 1)
	s.line.join(c)
	for {
		select {
		case err := <-c.done:
			return err
		case s.writing <- struct{}{}:
			s.makeAll(context.WithoutCancel(ctx), s.line.take())
			s.leave()
		case <-ctx.Done():
			if s.line.quit(c) {
				return context.Cause(ctx)
			}
			return <-c.done
		}
	}
}

// makeAll makes changes in one transaction. Where that fails each has one of its own, so
// that what is wrong with one fails no other.
func (s *Store) makeAll(ctx context.Context, changes []*change) {
	if len(changes) == 0 {
		return
	}
	slices.SortStableFunc(changes, func(a, b *change) int { return cmp.Compare(a.id, b.id) })
	refused, err := s.try(ctx, changes)
	if err != nil && len(changes) > 1 && !errors.Is(err, ErrAway) && !errors.Is(err, errUncommitted) {
		for _, c := range changes {
			s.makeAll(ctx, []*change{c})
		}
		return
	}
	for i, c := range changes {
		if err != nil {
			c.done <- err
		} else {
			c.done <- refused[i]
		}
	}
}

// try makes changes in one transaction, and tells which of them refuse.
func (s *Store) try(ctx context.Context, changes []*change) (refused []error, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, committing, errUncommitted)
	defer cancel()
	ahead := grownAhead
	for {
		ring, err := s.writingRing(ctx)
		if err != nil {
			return nil, err
		}
		refused, err = s.transactChanges(ctx, changes, ring)
		var wants *roomError
		switch {
		case err == nil:
			return refused, nil
		case errors.Is(err, errResealed):
			if err := s.renewSeal(ctx, ring.salt); err != nil {
				return nil, err
			}
		case errors.As(err, &wants) && ahead >= 0:
			// For what comes as well, so that not each transaction has to. If there is no room
			// for so much, then for this one.
			_ = s.db.makeRoom(ctx, s.db, &roomError{lacks: wants.lacks + ahead})
			ahead -= grownAhead
		case s.db.makeRoom != nil && ahead >= 0 && s.db.makeRoom(ctx, s.db, err):
			ahead -= grownAhead
		default:
			if broken, ok := errors.AsType[breach](err); ok {
				return nil, broken.error
			}
			explained := s.explain(ctx, err)
			if _, late := errors.AsType[uncommitted](err); late {
				explained = uncommitted{explained}
			}
			return nil, explained
		}
	}
}

// transactChanges is one attempt of try.
func (s *Store) transactChanges(ctx context.Context, changes []*change, ring *ring) (refused []error, err error) {
	exclude, grows := "", false
	for _, c := range changes {
		if c.alone {
			exclude = s.db.exclude
		}
		grows = grows || c.grows
	}
	err = s.db.begin(ctx, exclude, func(tx *sql.Tx) error {
		t := &transaction{tx: tx, store: s, ring: ring}
		if err := t.checkSeal(ctx); err != nil {
			return err
		}
		work := func() error {
			refused, err = t.make(ctx, changes)
			return err
		}
		if !grows || s.db.spare == nil {
			return work()
		}
		return s.db.spare(ctx, tx, work)
	})
	return refused, err
}

// A transaction is one of several changes.
type transaction struct {
	tx    *sql.Tx
	store *Store
	ring  *ring

	tallies map[tallied]tally // what they add
	size    int64             // of all letters before, once sized
	sized   bool
	orders  map[string]struct{} // keys in which something changed, as hashes
}

// checkSeal makes sure that the keys are those of the store until the transaction ends:
// nothing is sealed with a data key that a Rekey has dropped.
func (t *transaction) checkSeal(ctx context.Context) error {
	var salt []byte
	if err := t.row(ctx, `SELECT salt FROM outrider_seal {share}`).Scan(&salt); err != nil {
		return err
	}
	if !bytes.Equal(salt, t.ring.salt) {
		return errResealed
	}
	return nil
}

func (t *transaction) make(ctx context.Context, changes []*change) (refused []error, err error) {
	refused = make([]error, len(changes))
	for i, c := range changes {
		err := c.do(ctx, t)
		if refuses, ok := errors.AsType[refusal](err); ok {
			refused[i] = refuses.error
		} else if err != nil {
			return nil, err
		}
	}
	if err := t.settleOrders(ctx); err != nil {
		return nil, err
	}
	return refused, t.addTallies(ctx)
}

// exec runs a statement, and tells how many rows it changed.
func (t *transaction) exec(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	result, err := t.tx.ExecContext(ctx, t.store.db.words.Replace(statement), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *transaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.store.db.words.Replace(query), args...)
}

// rows runs a query, and hands on each row.
func (t *transaction) rows(ctx context.Context, each func(*sql.Rows) error, query string, args ...any) error {
	return eachRow(ctx, t.tx, each, t.store.db.words.Replace(query), args...)
}

// A querier is a database, or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func eachRow(ctx context.Context, from querier, each func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
