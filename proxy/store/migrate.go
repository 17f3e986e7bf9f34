package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations are the versions of the schema: number n+1 leads from version n to
// n+1. What is here was released and is never changed; a change is a new one.
var migrations = [][]string{
	{ // 1: slots
		`CREATE TABLE outrider_seal (
			id    INTEGER PRIMARY KEY CHECK (id = 1), -- one row
			salt  {bytes} NOT NULL,
			proof {bytes} NOT NULL
		)`,
		`CREATE TABLE outrider_slots (
			id     {text}  PRIMARY KEY,
			sealed {bytes} NOT NULL,
			saved  BIGINT  NOT NULL -- Unix milliseconds, as all times
		)`,
		`CREATE TABLE outrider_leases (
			id     TEXT   PRIMARY KEY,
			holder TEXT   NOT NULL,
			until  BIGINT NOT NULL
		)`,
	},
	{ // 2: quotas
		`CREATE TABLE outrider_quotas (
			upstream {text}  NOT NULL,
			limits   {text}  NOT NULL, -- a word that is free in both: table and limit are not
			key      {text}  NOT NULL,
			spent    BIGINT  NOT NULL,
			until    BIGINT  NOT NULL,
			state    {bytes} NOT NULL,
			PRIMARY KEY (upstream, limits, key)
		)`,
	},
}

// migrate brings the schema to the newest version, one transaction each, so that
// a process that dies in between has lost nothing, and processes that start
// together do each step once.
func migrate(ctx context.Context, db *database, migrations [][]string) error {
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
func current(ctx context.Context, db *database) (version int, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		// Not IF NOT EXISTS: that asks for the right to create where there is nothing to.
		empty, err := db.empty(ctx, tx)
		if err != nil {
			return err
		}
		if empty {
			const table = `CREATE TABLE outrider_migrations (version INTEGER PRIMARY KEY, applied BIGINT NOT NULL)`
			if _, err := tx.ExecContext(ctx, table); err != nil {
				return err
			}
		}
		version, err = newest(ctx, tx)
		return err
	})
	return version, err
}

// step does one migration, unless another process did.
func step(ctx context.Context, db *database, to int, statements []string) error {
	return db.transact(ctx, func(tx *sql.Tx) error {
		version, err := newest(ctx, tx)
		if err != nil || version >= to {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, db.words.Replace(statement)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, db.words.Replace(`INSERT INTO outrider_migrations (version, applied) VALUES ($1, {now})`), to)
		return err
	})
}

func newest(ctx context.Context, tx *sql.Tx) (version int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM outrider_migrations`).Scan(&version)
	return version, err
}
