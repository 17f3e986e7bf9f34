package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
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

	reserved = 256 << 10
	// logRoom is what the log takes for that, and the index of the log beside it.
	logRoom = reserved + 128<<10
)

// holdRoom takes the room of a log, or what is left of it, and tells whether it has all.
func holdRoom(path string) (whole bool) {
	random := make([]byte, logRoom)
	_, _ = rand.Read(random) // it never fails
	return os.WriteFile(roomOf(path), random, 0o600) == nil
}

// holdRoomOfLog does so where the log is not there any more.
func holdRoomOfLog(path string) {
	if _, err := os.Lstat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		_ = holdRoom(path)
	}
}

// giveRoom gives it to the log, or to the file.
func giveRoom(path string) { _ = os.Remove(roomOf(path)) }

func roomOf(path string) string { return filepath.Join(filepath.Dir(path), roomName) }

// reserveRoom takes 256 KiB, which is room for some dozens of credentials of a few
// kilobytes. It is no error if there is none.
func reserveRoom(ctx context.Context, db *database, path string) error {
	// Where the log grows in the room that it has, and the file cannot, the log can never
	// begin anew. So the room of the file is held meanwhile; if there is none, only pages
	// are taken that it has.
	size, err := reserved, error(nil)
	if !holdRoom(path) {
		giveRoom(path)
		size, err = freeRoom(ctx, db)
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

// freeRoom is how much the file takes without growing, up to what is reserved.
func freeRoom(ctx context.Context, db *database) (size int, err error) {
	const inner = 4 // pages for the table itself and for what leads to them
	err = db.QueryRowContext(ctx, `SELECT (freelist_count - $1) * page_size FROM pragma_freelist_count, pragma_page_size`, inner).Scan(&size)
	return min(size, reserved), err
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

// makeRoom has the log begin anew, in the room that it has, and tells whether what
// failed may do better now.
func makeRoom(ctx context.Context, db *database, failed error) bool {
	if primary(failed) != lib.SQLITE_FULL {
		return false
	}
	restarted, err := restartLog(ctx, db)
	return err == nil && restarted
}

// restartLog moves what the log has to the file, so that the log begins anew. Readers
// may be in the way.
func restartLog(ctx context.Context, db *database) (restarted bool, err error) {
	var blocked, frames, moved int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&blocked, &frames, &moved)
	return blocked == 0, err
}
