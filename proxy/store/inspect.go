package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	lib "modernc.org/sqlite/lib"
)

// An Inspection is what can be seen of a store from outside.
type Inspection struct {
	// Read tells that it is known what is kept: the store could be read, or there is none.
	Read bool
	// Kept has the slots that were asked for and that keep something.
	Kept map[string]bool
}

// Inspect looks for what Open would refuse: files that others can get at, a key that is none,
// a key that does not open the store. ids are slots that somebody wants to know of. It makes
// nothing, changes nothing, waits for nobody and connects to nothing, also beside processes
// that have the store open; what it cannot know so is left out, as all but the text of the
// key is where the store is a PostgreSQL.
func (s Settings) Inspect(ctx context.Context, ids ...string) (Inspection, error) {
	found, err := s.inspect(ctx, ids)
	if errors.Is(err, fs.ErrPermission) || primary(err) == lib.SQLITE_CANTOPEN {
		return Inspection{}, nil // it is another user's, who may start on it
	}
	if err != nil {
		return Inspection{}, fmt.Errorf("opening the store: %w", err) // as Open says it
	}
	return found, nil
}

func (s Settings) inspect(ctx context.Context, ids []string) (Inspection, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return Inspection{}, err
	}
	path := filepath.Join(dir, fileName)
	seen := sight{key: newKey(s.Key, dir), place: path}
	if s.URL != "" {
		return Inspection{}, seen.anyKey()
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return Inspection{Read: true}, seen.anyKey()
	case err == nil && !info.Mode().IsRegular():
		return Inspection{}, fmt.Errorf("%s is no file", path)
	}
	if err := cmp.Or(allPrivate(path), emptied(path)); err != nil {
		return Inspection{}, err
	}
	source, readable := quietSource(path)
	if !readable {
		return Inspection{}, seen.anyKey()
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return Inspection{}, explainSQLite(path, err)
	}
	defer func() { _ = db.Close() }() // nothing was written
	return seen.read(ctx, db, ids)
}

// quietSource opens a file so that none is made, and nothing is written but how far somebody
// reads, in the index of the log. A log has the latest of what is kept, so that
// it is read with the index that it has; SQLite would make one for a log that has none.
// Without a log there is nobody who writes.
func quietSource(path string) (source string, readable bool) {
	pragmas := []string{"cell_size_check(1)", "trusted_schema(0)"}
	_, noLog := os.Stat(path + "-wal")
	_, noIndex := os.Stat(path + "-shm")
	switch {
	case noLog == nil && noIndex == nil:
		return uriOf(path, url.Values{"mode": {"ro"}, "_pragma": pragmas}), true
	case errors.Is(noLog, fs.ErrNotExist):
		return uriOf(path, url.Values{"immutable": {"1"}, "_pragma": pragmas}), true
	}
	return "", false
}

// A sight is a store that is looked at.
type sight struct {
	key   *key
	place string
}

// anyKey tells what is wrong with the key of a store that it need not open. One whose file
// is missing would be made.
func (s sight) anyKey() error {
	_, err := s.key.read()
	if s.key.file != "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// findSeal is readSeal of a store that may have no tables yet, which is not sealed either:
// sql.ErrNoRows. Both of these come with the first step.
func findSeal(ctx context.Context, from rowQuerier) (row sealRow, err error) {
	var set bool
	err = from.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name IN ('outrider_seal', 'outrider_slots'))`).Scan(&set)
	if err != nil {
		return row, err
	}
	if !set {
		return row, sql.ErrNoRows
	}
	return readSeal(ctx, from)
}

// read looks at what is there. Only damage is told of what cannot be read: somebody who is
// at work keeps us from it as well.
func (s sight) read(ctx context.Context, from rowQuerier, ids []string) (Inspection, error) {
	ours, err := isOurs(ctx, from)
	var row sealRow
	if ours && err == nil {
		row, err = findSeal(ctx, from)
	}
	switch code := primary(err); {
	case !ours && err == nil, errors.Is(err, sql.ErrNoRows):
		return Inspection{Read: true}, s.anyKey() // it was made, and not sealed yet
	case err != nil && code == 0, code == lib.SQLITE_NOTADB, code == lib.SQLITE_CORRUPT:
		return Inspection{}, explainSQLite(s.place, err)
	case err != nil:
		return Inspection{}, s.anyKey()
	}
	unopened := &Store{db: &database{engine: engine{place: s.place}}, key: s.key}
	if _, _, err := unopened.findKey(row); err != nil {
		return Inspection{}, err
	}
	found := Inspection{Read: true, Kept: make(map[string]bool)}
	for _, id := range ids {
		var kept bool
		if err := from.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM outrider_slots WHERE id = $1)`, id).Scan(&kept); err != nil {
			return Inspection{}, nil //nolint:nilerr // the key opens it, and no more was to be known
		}
		found.Kept[id] = kept
	}
	return found, nil
}
