package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// fileName is the store in the state directory.
const fileName = "store.db"

// Settings say where a store is, and what seals it.
type Settings struct {
	// Dir is the state directory. It is made, for its owner only, when missing.
	Dir string
	// Key gives the sealing key as text: at least 16 bytes, white space around
	// it not counted. Nil: OUTRIDER_KEY of the environment where it is set, else
	// the file store.key in Dir, made at first use. It may be called while
	// another process waits for the store.
	Key func() (string, error)
}

// A Store is an open store. It may be used by several goroutines, and the file
// by several stores and processes.
type Store struct {
	db   *sql.DB
	path string
	from string // of the key
	seal *sealer

	// writing is held by the one that writes, of this process: a queue of ours
	// is in order and ends with a context, SQLite's is a wait that tries again.
	writing chan struct{}

	mu    sync.Mutex
	turns map[string]chan struct{} // id of a slot → held by its holder in this process
}

// Open opens the store, creating and migrating it where needed. It starts no
// goroutine that outlives Close. The error names the file, and says what to do:
// one that is damaged, of a newer version, of another program, sealed with
// another key or open to other users is refused, and never replaced.
func Open(ctx context.Context, s Settings) (*Store, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", s.Dir, err)
	}
	path := filepath.Join(dir, fileName)
	if err := prepare(path); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db, err := openSQLite(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", explain(path, err))
	}
	store := &Store{db: db, path: path, writing: make(chan struct{}, 1), turns: map[string]chan struct{}{}}
	if err := store.setUp(ctx, newKey(s.Key, dir)); err != nil {
		_ = db.Close() // what went wrong is known
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return store, nil
}

func (s *Store) setUp(ctx context.Context, key *key) (err error) {
	if err := migrate(ctx, s.db, migrations); err != nil {
		return s.explain(ctx, err)
	}
	s.from = key.from
	s.seal, err = s.unseal(ctx, key)
	return err
}

// Close closes the store. Nobody may be using it any more.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", explain(s.path, err))
	}
	return nil
}

// KeyFrom says where the sealing key comes from, for people: "OUTRIDER_KEY",
// "/path/store.key" or "the configuration".
func (s *Store) KeyFrom() string { return s.from }

// write runs one statement that changes something, and tells how many rows. The
// change is on the disk when it returns.
func (s *Store) write(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	return result.RowsAffected()
}

// read runs a query for one row; found tells whether there is one.
func (s *Store) read(ctx context.Context, query string, id any, into ...any) (found bool, err error) {
	err = s.db.QueryRowContext(ctx, query, id).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, s.explain(ctx, err)
	}
	return true, nil
}

// explain makes an error one for people: why the context ended where that is
// all there is to it, and otherwise what is wrong with the file.
func (s *Store) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return explain(s.path, err)
}
