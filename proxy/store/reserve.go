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

// holdRoom takes the room of a log that is not there any more, or what is left of it.
func holdRoom(path string) {
	if _, err := os.Lstat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return // others have the store open, or nothing is known
	}
	random := make([]byte, logRoom)
	_, _ = rand.Read(random)                      // it never fails
	_ = os.WriteFile(roomOf(path), random, 0o600) // as much of it as there is
}

// giveRoom gives it to the log.
func giveRoom(path string) { _ = os.Remove(roomOf(path)) }

func roomOf(path string) string { return filepath.Join(filepath.Dir(path), roomName) }

// reserveRoom takes 256 KiB, which is room for some dozens of credentials of a few
// kilobytes. It is no error if there is none.
func reserveRoom(ctx context.Context, db *database) error {
	// Filled in one transaction and dropped in the next: pages that a transaction gives
	// back itself are never written. At random, so that no file system keeps it in less;
	// SQLite's own randomblob needs a hundred times as long for it.
	err := db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS outrider_reserve (room BLOB)`); err != nil {
			return err
		}
		room := make([]byte, reserved)
		_, _ = rand.Read(room) // it never fails
		_, err := tx.ExecContext(ctx, `INSERT INTO outrider_reserve VALUES ($1)`, room)
		return err
	})
	if err == nil {
		_, err = restartLog(ctx, db) // which writes the pages to the file
	}
	if err == nil {
		err = db.transact(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DROP TABLE IF EXISTS outrider_reserve`)
			return err
		})
	}
	if primary(err) == lib.SQLITE_FULL {
		return nil // told where something has to be saved
	}
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
