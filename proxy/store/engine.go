package store

import (
	"context"
	"database/sql"
	"strings"
)

// An engine is what SQLite and PostgreSQL do not have in common. The statements
// of the store are common to both: numbered parameters that first appear in their
// order, ON CONFLICT … DO UPDATE, times as whole numbers, tables whose names begin
// with outrider_, because a PostgreSQL has other tenants, and five words:
//
//	{bytes}  the type of a column of bytes
//	{text}   that of a column of text, in the order of its bytes
//	{now}    the time of the database, in Unix milliseconds: of whoever shares a store, one clock decides;
//	         where an index is to be searched by it (SELECT {now}), which is asked for once, and not for each row
//	{share}  at the end of a SELECT: the rows stay as they are until this transaction ends
//	{skip}   at the end of a SELECT: so that they can be changed, without those that somebody else changes
type engine struct {
	name  string // "sqlite" or "postgres"
	place string // for people, without any secret: "/path/store.db", "postgres at host/database"
	words *strings.Replacer

	isolation sql.IsolationLevel
	exclude   string // keeps other transactions of this kind away until its own ends; "": to begin one does that
	writers   int    // how many of a process may write at once
	tables    string // counts the tables of the store
	size      string // gives the bytes that the store takes

	makeRoom func(ctx context.Context, db *database, failed error) bool // after a write that failed: whether it may be tried again; nil: no

	// spare runs do, which writes in tx what matters less than tokens, and fails if that
	// took of the room that is reserved for them. nil: none is reserved.
	spare func(ctx context.Context, tx *sql.Tx, do func() error) error

	full func(error) bool // that there is no room on the disk

	closed func() // is called when it was closed; nil: nothing is

	witness *witness // of our holding leases; nil: only time tells

	explain  func(error) error // makes an error one for people
	warnings []string          // what works, and should not stay so
}

// A database is an engine with its connections.
type database struct {
	*sql.DB
	engine
}

// A rowQuerier is a database, or a transaction of it.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Close closes the connections.
func (d *database) Close() error {
	defer d.witness.close()
	err := d.DB.Close()
	if d.closed != nil {
		d.closed()
	}
	return err
}

// transact runs do in a transaction that no other one of this store runs beside,
// in whatever process.
func (d *database) transact(ctx context.Context, do func(*sql.Tx) error) error {
	return d.begin(ctx, d.exclude, do)
}

// begin runs do in a transaction that begins with a statement; "": with none.
func (d *database) begin(ctx context.Context, first string, do func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, &sql.TxOptions{Isolation: d.isolation})
	if err != nil {
		return err
	}
	if first != "" {
		_, err = tx.ExecContext(ctx, first)
	}
	if err == nil {
		err = do(tx)
	}
	if err != nil {
		_ = tx.Rollback() // what went wrong is known
		return err
	}
	if err := tx.Commit(); err != nil {
		return uncommitted{err}
	}
	return nil
}

// An uncommitted transaction is one whose commit failed: where the database went away, it
// may have carried it out.
type uncommitted struct{ error }

func (u uncommitted) Unwrap() error { return u.error }

// empty reports that there is no store in the database yet, as from sees it.
func (d *database) empty(ctx context.Context, from rowQuerier) (bool, error) {
	var tables int
	err := from.QueryRowContext(ctx, d.tables).Scan(&tables)
	return tables == 0, err
}
