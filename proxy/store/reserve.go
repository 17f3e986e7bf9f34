package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	lib "modernc.org/sqlite/lib"
)

// A disk that is full must not end a connection: a refresh needs a lease, and a place
// for what it brings. So room is taken ahead, each time that the store is opened: free
// pages in the file, and a log that is as long. What is written over keeps its blocks,
// though not on file systems that write each block anew (Btrfs, ZFS).
//
// SQLite removes the log when the last one closes the store. Until somebody opens it
// again, a file of ours has the room of the log: a restart is what people try when a disk
// is full.

const (
	// roomName is that file. There is nothing in it.
	roomName = "store.room"

	// reserved is what is taken when the store is opened: room for some dozens of
	// credentials of a few kilobytes.
	reserved = 256 << 10
	// logIndex is what the index of the log takes beside the log.
	logIndex = 128 << 10
)

// A roomError is a write that would have taken of what is reserved.
type roomError struct{ lacks int } // bytes

func (e *roomError) Error() string {
	return fmt.Sprintf("the disk is full: there is room for tokens, and not for %d bytes of anything else", e.lacks)
}

// fullSQLite reports that a write failed for want of room.
func fullSQLite(err error) bool {
	_, reserved := errors.AsType[*roomError](err)
	return reserved || primary(err) == lib.SQLITE_FULL
}

// holdRoom takes the room of a log that takes size bytes, or what is left of it, and
// tells whether it has all.
func holdRoom(path string, size int) (whole bool) {
	random := make([]byte, size+logIndex)
	_, _ = rand.Read(random) // it never fails
	return os.WriteFile(roomOf(path), random, 0o600) == nil
}

// holdRoomOfLog does so where the log is not there any more.
func holdRoomOfLog(path string) {
	if _, err := os.Lstat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		_ = holdRoom(path, reserved)
	}
}

// giveRoom gives it to the log, or to the file.
func giveRoom(path string) { _ = os.Remove(roomOf(path)) }

func roomOf(path string) string { return filepath.Join(filepath.Dir(path), roomName) }

// reserveRoom takes so many bytes. It is no error if there are none.
func reserveRoom(ctx context.Context, db *database, path string, size int) error {
	// Where the log grows in the room that it has, and the file cannot, the log can never
	// begin anew. So the room of the file is held meanwhile; if there is none, only pages
	// are taken that it has.
	var err error
	if !holdRoom(path, size) {
		giveRoom(path)
		size, err = freeRoom(ctx, db, size)
	}
	if err == nil && size > 0 {
		err = fillRoom(ctx, db, path, size)
	}
	giveRoom(path)
	if err == nil || primary(err) == lib.SQLITE_FULL {
		// Dropped after the transaction that filled it: pages that one gives back itself are
		// never written. It may be that of one who was killed in between.
		_, err = db.ExecContext(ctx, `DROP TABLE IF EXISTS outrider_reserve`)
	}
	if primary(err) == lib.SQLITE_FULL {
		return nil // told where something has to be saved
	}
	return err
}

// freeRoom is how much the file takes without growing, up to a size.
func freeRoom(ctx context.Context, db *database, most int) (size int, err error) {
	const inner = 4 // pages for the table itself and for what leads to them
	err = db.QueryRowContext(ctx, `SELECT (freelist_count - $1) * page_size FROM pragma_freelist_count, pragma_page_size`, inner).Scan(&size)
	return min(size, most), err
}

// fillRoom takes so many bytes in the log and in the file. They are random, so that no
// file system keeps them in less; SQLite's own randomblob needs a hundred times as long.
func fillRoom(ctx context.Context, db *database, path string, size int) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS outrider_reserve (room BLOB)`); err != nil {
			return err
		}
		room := make([]byte, size)
		_, _ = rand.Read(room) // it never fails
		_, err := tx.ExecContext(ctx, `INSERT INTO outrider_reserve VALUES ($1)`, room)
		return err
	})
	if err != nil {
		return err
	}
	giveRoom(path)
	_, err = restartLog(ctx, db) // which writes the pages to the file
	return err
}

// makeRoom has the log begin anew, in the room that it has, or takes what a write would
// have taken of the reserve, and tells whether what failed may do better now.
func makeRoom(ctx context.Context, db *database, failed error) bool {
	if wants, ok := errors.AsType[*roomError](failed); ok {
		return reserveRoom(ctx, db, db.place, reserved+wants.lacks) == nil
	}
	if primary(failed) != lib.SQLITE_FULL {
		return false
	}
	restarted, err := restartLog(ctx, db)
	return err == nil && restarted
}

// spareReserve is spare for SQLite, which takes free pages first, and so those that are
// reserved. What is written in place takes none, and is done on a full disk, too.
func spareReserve(ctx context.Context, tx *sql.Tx, do func() error) error {
	before, err := measure(ctx, tx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := measure(ctx, tx)
	if err != nil {
		return err
	}
	taken := (after.pages - after.free) - (before.pages - before.free)
	if taken <= 0 || after.pages == before.pages && after.free*after.size >= reserved {
		return nil
	}
	return &roomError{lacks: taken * after.size}
}

// An extent is how large the file of the database is.
type extent struct {
	pages, free int // free ones are among the pages
	size        int // of a page, in bytes
}

func measure(ctx context.Context, from rowQuerier) (e extent, err error) {
	const query = `SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size`
	err = from.QueryRowContext(ctx, query).Scan(&e.pages, &e.free, &e.size)
	return e, err
}

// restartLog moves what the log has to the file, so that the log begins anew. Readers
// may be in the way.
func restartLog(ctx context.Context, db *database) (restarted bool, err error) {
	var blocked, frames, moved int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&blocked, &frames, &moved)
	return blocked == 0, err
}
