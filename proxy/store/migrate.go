package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// migrations are the versions of the schema: number n+1 leads from version n to
// n+1. What is here was released and is never changed; a change is a new one.
var migrations = [][]string{
	{ // 1: slots
		`CREATE TABLE seal (
			id    INTEGER PRIMARY KEY CHECK (id = 1), -- one row
			salt  {bytes} NOT NULL,
			proof {bytes} NOT NULL
		)`,
		`CREATE TABLE slots (
			id     TEXT    PRIMARY KEY,
			sealed {bytes} NOT NULL,
			saved  BIGINT  NOT NULL -- Unix milliseconds, as all times
		)`,
		`CREATE TABLE leases (
			id     TEXT   PRIMARY KEY,
			holder TEXT   NOT NULL,
			until  BIGINT NOT NULL
		)`,
	},
}

// migrate brings the schema to the newest version, one transaction each, so that
// a process that dies in between has lost nothing, and processes that start
// together do each step once.
func migrate(ctx context.Context, db *sql.DB, migrations [][]string) error {
	version, err := current(ctx, db)
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("it is of version %d and this Outrider knows up to %d: run the newer Outrider that wrote it, or put back a copy from before", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if err := step(ctx, db, version+1, migrations[version]); err != nil {
			return fmt.Errorf("migrating to version %d: %w", version+1, err)
		}
	}
	return nil
}

// current gives the version of the schema, 0 for a new one.
func current(ctx context.Context, db *sql.DB) (version int, err error) {
	err = transact(ctx, db, func(tx *sql.Tx) error {
		const table = `CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied BIGINT NOT NULL)`
		if _, err := tx.ExecContext(ctx, table); err != nil {
			return err
		}
		version, err = newest(ctx, tx)
		return err
	})
	return version, err
}

// step does one migration, unless another process did.
func step(ctx context.Context, db *sql.DB, to int, statements []string) error {
	return transact(ctx, db, func(tx *sql.Tx) error {
		version, err := newest(ctx, tx)
		if err != nil || version >= to {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, strings.ReplaceAll(statement, "{bytes}", bytesType)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO migrations (version, applied) VALUES ($1, $2)`, to, time.Now().UnixMilli())
		return err
	})
}

func newest(ctx context.Context, tx *sql.Tx) (version int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM migrations`).Scan(&version)
	return version, err
}

// transact runs do in a transaction that nobody else writes beside.
func transact(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil) // immediate, by the data source
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // what went wrong is known
		return err
	}
	return tx.Commit()
}
