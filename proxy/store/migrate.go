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
	{ // 3: letters
		`CREATE TABLE outrider_data_keys (
			id     INTEGER PRIMARY KEY, -- 0: of names; else the number that letters have
			sealed {bytes} NOT NULL
		)`,
		`CREATE TABLE outrider_letters (
			id       {text}  PRIMARY KEY,
			upstream {text}  NOT NULL,
			lane     {text}  NOT NULL,
			state    {text}  NOT NULL,
			reason   TEXT    NOT NULL,
			created  BIGINT  NOT NULL, -- of these times 0 is: not, or never
			due      BIGINT  NOT NULL, -- while it arrives: when it is given up
			expires  BIGINT  NOT NULL,
			departed BIGINT  NOT NULL,
			ended    BIGINT  NOT NULL,
			attempts INTEGER NOT NULL, -- since it was kept or requeued
			records  INTEGER NOT NULL, -- of attempts, in all
			size     BIGINT  NOT NULL, -- with all its pieces
			body     BIGINT  NOT NULL, -- bytes, as those of the answer; -1: there is none
			answer   BIGINT  NOT NULL,
			key      INTEGER NOT NULL, -- number of the data key
			version  INTEGER NOT NULL, -- of head and body
			holder   TEXT    NOT NULL, -- who sends it, or brings it; '' for nobody
			batch    {text}  NOT NULL,
			ordered  {bytes},          -- hash of its order key
			seq      BIGINT  NOT NULL, -- among those of its order key
			turn     INTEGER NOT NULL, -- 1: its turn; 2: but for a dead one before it; 0: others come first
			dedup    {bytes}           -- hash of its dedup key
		)`,
		`CREATE INDEX outrider_letters_due ON outrider_letters (lane, due, id) WHERE state = 'waiting' AND holder = '' AND turn = 1`,
		`CREATE INDEX outrider_letters_state ON outrider_letters (upstream, state, id)`,
		`CREATE INDEX outrider_letters_expiry ON outrider_letters (expires) WHERE state = 'waiting' AND holder = '' AND expires > 0`,
		`CREATE INDEX outrider_letters_ended ON outrider_letters (state, ended) WHERE ended > 0`,
		`CREATE INDEX outrider_letters_arriving ON outrider_letters (due) WHERE state = 'arriving'`,
		`CREATE INDEX outrider_letters_batch ON outrider_letters (batch) WHERE state = 'arriving' AND batch <> ''`,
		`CREATE INDEX outrider_letters_holder ON outrider_letters (holder) WHERE holder <> ''`,
		`CREATE INDEX outrider_letters_order ON outrider_letters (ordered, state, seq) WHERE ordered IS NOT NULL`,
		`CREATE INDEX outrider_letters_turn ON outrider_letters (ordered, turn) WHERE ordered IS NOT NULL AND state = 'waiting' AND turn > 0`,
		`CREATE INDEX outrider_letters_behind ON outrider_letters (id) WHERE state = 'waiting' AND turn = 2`,
		`CREATE TABLE outrider_pieces (
			letter {text}  NOT NULL,
			part   INTEGER NOT NULL, -- see piece.go
			n      BIGINT  NOT NULL,
			sealed {bytes} NOT NULL,
			PRIMARY KEY (letter, part, n)
		)`,
		`CREATE TABLE outrider_dedups (
			key         {bytes} PRIMARY KEY,
			letter      {text}  NOT NULL,
			fingerprint {bytes} NOT NULL,
			span        BIGINT  NOT NULL, -- how long it is to count
			until       BIGINT  NOT NULL
		)`,
		`CREATE INDEX outrider_dedups_until ON outrider_dedups (until)`,
		`CREATE INDEX outrider_dedups_letter ON outrider_dedups (letter)`,
		`CREATE TABLE outrider_tallies ( -- what there is of letters, so that nobody has to count
			upstream {text} NOT NULL,
			state    {text} NOT NULL,
			reason   {text} NOT NULL,
			letters  BIGINT NOT NULL,
			bytes    BIGINT NOT NULL,
			PRIMARY KEY (upstream, state, reason)
		)`,
		`CREATE TABLE outrider_senders (
			holder {text} PRIMARY KEY,
			until  BIGINT NOT NULL
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
