package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// fileName is the store in the state directory.
const fileName = "store.db"

// Settings say where a store is, and what seals it.
type Settings struct {
	// Dir is the state directory. It is made, for its owner only, when something is
	// put there and it is missing.
	Dir string
	// URL is that of a PostgreSQL database that several share. "": a file in Dir.
	URL string
	// Key gives the sealing key as text: at least 16 bytes, white space around
	// it not counted. Nil: OUTRIDER_KEY of the environment where it is set, else
	// the file store.key in Dir, made at first use. It may be called while
	// another process waits for the store, and again when the store was sealed anew.
	Key func() (string, error)
	// Existing has Open make nothing: without a store it is [fs.ErrNotExist].
	Existing bool
}

// A Store is an open store. It may be used by several goroutines, and the file or
// the database by several stores and processes.
type Store struct {
	db   *database
	key  *key
	slot *sql.Stmt // slotQuery; nil: what is between us and a PostgreSQL may know no prepared statements
	seal atomic.Pointer[sealer]
	ring atomic.Pointer[ring] // nil: no letter was kept or read so far

	// writing is held by those of this process who write: a queue of ours ends with
	// a context.
	writing chan struct{}
	line    line // of changes to letters, for whoever writes next

	mu      sync.Mutex
	turns   map[string]chan struct{} // id of a slot → held by its holder in this process
	senders map[string]struct{}      // names of the Holders of this store that are not closed
}

// Open opens the store, creating and migrating it where needed. It starts no
// goroutine that outlives Close. The error names the file or the database, and says
// what to do: one that is damaged, of a newer version, of another program, sealed
// with another key or open to other users is refused, and never replaced. It is
// ErrAway where a server does not answer, and ErrKey where the key is what is wrong.
func Open(ctx context.Context, s Settings) (*Store, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", s.Dir, err)
	}
	db, err := connect(ctx, s, dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	store := &Store{db: db, key: newKey(s.Key, dir), writing: make(chan struct{}, db.writers),
		turns: map[string]chan struct{}{}, senders: map[string]struct{}{}}
	if err := store.setUp(ctx, s.Existing); err != nil {
		_ = db.Close() // what went wrong is known
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return store, nil
}

func connect(ctx context.Context, s Settings, dir string) (*database, error) {
	if s.URL != "" {
		return openPostgres(ctx, s.URL)
	}
	path := filepath.Join(dir, fileName)
	if s.Existing {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	if err := prepare(path); err != nil {
		return nil, err
	}
	return openSQLite(ctx, path)
}

func (s *Store) setUp(ctx context.Context, existing bool) error {
	if existing {
		empty, err := s.db.empty(ctx, s.db)
		if err != nil {
			return s.explain(ctx, err)
		}
		if empty {
			return fmt.Errorf("%s: there is none yet: %w", s.db.place, fs.ErrNotExist)
		}
	}
	if err := migrate(ctx, s.db, migrations); err != nil {
		return s.explain(ctx, err)
	}
	if err := s.unseal(ctx); err != nil {
		return err
	}
	if s.db.name != "sqlite" {
		return nil
	}
	var err error
	if s.slot, err = s.db.PrepareContext(ctx, slotQuery); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// Close closes the store. Nobody may be using it any more.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", s.db.explain(err))
	}
	return nil
}

// write runs one statement that changes something, and tells how many rows. The
// change is on the disk of the database when it returns.
func (s *Store) write(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	if err := s.queue(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.writeNow(ctx, statement, args...)
}

// queue waits until it is our turn to write, which ends with leave.
func (s *Store) queue(ctx context.Context) error {
	select {
	case s.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) leave() { <-s.writing }

func (s *Store) writeNow(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	statement = s.db.words.Replace(statement)
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil && s.db.makeRoom != nil && s.db.makeRoom(ctx, s.db, err) {
		result, err = s.db.ExecContext(ctx, statement, args...)
	}
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	return result.RowsAffected()
}

// read runs a query for one row; found tells whether there is one.
func (s *Store) read(ctx context.Context, query string, id any, into ...any) (found bool, err error) {
	return s.scan(ctx, s.db.QueryRowContext(ctx, query, id), into...)
}

// scan reads the row that a query has found, if it has.
func (s *Store) scan(ctx context.Context, row *sql.Row, into ...any) (found bool, err error) {
	err = row.Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, s.explain(ctx, err)
	}
	return true, nil
}

// explain makes an error one for people: why the context ended where that is
// all there is to it, and otherwise what is wrong with the database.
func (s *Store) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return s.db.explain(err)
}
