package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	// application marks the file as ours (https://sqlite.org/pragma.html#pragma_application_id).
	application = 0x4f757472 // "Outr"

	// busy is how long a statement waits for a write of another process.
	busy = 10 * time.Second

	// connections bounds the pool: one that writes, and some that read meanwhile.
	connections = 4
)

// openSQLite opens the file at path, which exists; it may be blank, or empty.
func openSQLite(ctx context.Context, path string) (*database, error) {
	giveRoom(path)
	connected, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return nil, explainSQLite(path, err)
	}
	connected.SetMaxOpenConns(connections)
	connected.SetMaxIdleConns(connections) // opening one costs more than keeping it
	db := &database{connected, engine{
		name: "sqlite", place: path,
		words: strings.NewReplacer("{bytes}", "BLOB", "{text}", "TEXT", "{now}", `CAST(unixepoch('subsec') * 1000 AS INTEGER)`,
			"{share}", "", "{skip}", ""), // a statement that writes excludes the others from its beginning
		writers:  1, // a queue of ours is in order and ends with a context, SQLite's is a wait that tries again
		tables:   `SELECT count(*) FROM sqlite_master WHERE name = 'outrider_migrations'`,
		makeRoom: makeRoom,
		spare:    spareReserve,
		full:     fullSQLite,
		closed:   func() { holdRoomOfLog(path) },
		size:     `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`,
		explain:  func(err error) error { return explainSQLite(path, err) },
	}}
	err = adopt(ctx, db)
	if err == nil {
		err = readTables(ctx, db)
	}
	if err != nil {
		_ = db.Close() // what went wrong is known
		return nil, explainSQLite(path, err)
	}
	if db.witness, err = newWitness(filepath.Dir(path)); err != nil {
		_ = db.Close() // what went wrong is known
		return nil, err
	}
	if err := reserveRoom(ctx, db, path, reserved); err != nil {
		_ = db.Close() // what went wrong is known
		return nil, explainSQLite(path, err)
	}
	return db, nil
}

// dataSource says how each connection is set up.
func dataSource(path string) string {
	// _txlock: a transaction excludes other writers from its beginning.
	return uriOf(path, url.Values{"_txlock": {"immediate"}, "_dqs": {"0"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"synchronous(FULL)", // each commit is on the disk; NORMAL would lose the last ones with the power
		"foreign_keys(1)",
		"cell_size_check(1)", // damage is found where it is read, and not by what it leads to
		"trusted_schema(0)",
	}})
}

// uriOf names a file to SQLite.
func uriOf(path string, settings url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… of Windows (https://sqlite.org/uri.html, section 3.1)
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}

// adopt makes sure that the file is ours, and turns it to WAL. It tries again
// while the file is busy: processes that start together all turn a new file, and
// where SQLite fears a deadlock it says that it is busy without waiting for its
// timeout.
func adopt(ctx context.Context, db *database) error {
	ctx, cancel := context.WithTimeoutCause(ctx, busy, errors.New("another process keeps the store busy"))
	defer cancel()
	pause := pauses()
	for {
		err := mark(ctx, db)
		if err == nil {
			err = useWAL(ctx, db)
		}
		if !isBusy(err) {
			return err
		}
		if !pause(ctx) {
			return context.Cause(ctx)
		}
	}
}

// mark marks a new file as ours, and refuses one of another program as it is.
func mark(ctx context.Context, db *database) error {
	var marked int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&marked); err != nil || marked == application {
		return err
	}
	return db.transact(ctx, func(tx *sql.Tx) error {
		if ours, err := isOurs(ctx, tx); err != nil || ours {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", application))
		return err
	})
}

// isOurs reports whether a file is marked as ours. One that is not is new, or else refused.
func isOurs(ctx context.Context, from rowQuerier) (bool, error) {
	var marked, tables int64
	if err := from.QueryRowContext(ctx, "PRAGMA application_id").Scan(&marked); err != nil || marked == application {
		return err == nil, err
	}
	if err := from.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return false, err
	}
	if marked != 0 || tables > 0 {
		return false, errors.New("it is a database of another program: give Outrider a state directory of its own")
	}
	return false, nil
}

// useWAL turns the file, and with it all connections, to the write-ahead log.
// Without one, synchronous=FULL does not sync the directory in which a commit
// deletes its journal: the last one could be undone by a power failure
// (https://sqlite.org/pragma.html#pragma_synchronous).
func useWAL(ctx context.Context, db *database) error {
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("this file system takes no write-ahead log (journal_mode stays %q): put the state directory on a local disk", mode)
	}
	return nil
}

// readTables finds a table that is damaged where it begins, before anything is written: a
// file that is refused stays as it is.
func readTables(ctx context.Context, db *database) error {
	var reads []string
	err := eachRow(ctx, db, func(rows *sql.Rows) error {
		var read string
		err := rows.Scan(&read)
		reads = append(reads, read)
		return err
	}, `SELECT 'SELECT EXISTS (SELECT 1 FROM "' || name || '")' FROM sqlite_master WHERE type = 'table' AND name GLOB 'outrider_*' AND name <> 'outrider_reserve'`)
	for _, read := range reads {
		var some bool
		if err == nil {
			err = db.QueryRowContext(ctx, read).Scan(&some)
		}
	}
	return err
}

func isBusy(err error) bool {
	switch primary(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// explainSQLite says which file an error is about, and what can be done where that
// is known.
func explainSQLite(path string, err error) error {
	var advice string
	switch primary(err) {
	case lib.SQLITE_NOTADB:
		advice = "it is no database, or its beginning is damaged: put a copy back, or move it away to start without what it kept"
	case lib.SQLITE_CORRUPT:
		advice = "it is damaged: put a copy back, or move it away (with its -wal and -shm) to start without what it kept"
	case lib.SQLITE_FULL:
		advice = "the disk is full; what was kept before is unchanged"
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
		advice = "it and its directory must be writable for the user that runs Outrider"
	case lib.SQLITE_IOERR:
		advice = "its disk fails, or was made read-only: see the log of the system"
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: %s (%w)", path, advice, err)
}

// primary is the result code without what SQLite adds to it
// (https://sqlite.org/rescode.html, section 2); 0 if err is not SQLite's. No room for the
// index of the log is a disk that is full as well.
func primary(err error) int {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return 0
	}
	if failure.Code() == lib.SQLITE_IOERR_SHMSIZE {
		return lib.SQLITE_FULL
	}
	return failure.Code() & 0xff
}
