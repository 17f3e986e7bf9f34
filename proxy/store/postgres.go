package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// oldest is the first version of the server that we take. Older ones get no
	// fixes any more, and nobody has tried them.
	oldest = 13

	// dialing bounds one attempt to connect, where the URL has no connect_timeout.
	dialing = 5 * time.Second

	// abandoned is after how long the server gives up the transaction of a machine that
	// lost its power, or its network, in the middle: until then all others wait for it, and
	// the server itself would notice in two hours.
	abandoned = "30s"

	// reuse is how long a connection is used. After a failover, or a change of the
	// name, none stays with the old server for longer.
	reuse = 30 * time.Minute
)

// CheckURL says what is wrong with the URL of a PostgreSQL database, without
// repeating it. It connects to nothing.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL reads the URL. Where it says nothing, PostgreSQL's own variables of the
// environment do (PGUSER, PGPASSWORD, PGSSLMODE…), as for every client of it.
func parseURL(text string) (*pgx.ConnConfig, error) {
	text = strings.TrimSpace(text) // the line end of a mounted secret
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New(`must be a URL of PostgreSQL, such as "postgres://user:password@host:5432/database"; what is special in a password is written as %40`)
	}
	config, err := pgx.ParseConfig(text)
	if missing, ok := errors.AsType[*fs.PathError](err); ok { // of a certificate
		return nil, fmt.Errorf("names a file that cannot be read: %w", missing)
	}
	if err != nil { // whose text has the URL in it
		return nil, errors.New(`is no URL that a client of PostgreSQL takes: look at host, port, and what follows the "?", such as sslmode`)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = dialing
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "outrider"
	}
	return config, nil
}

// placeOf says where a database is, without user and password.
func placeOf(config *pgx.ConnConfig) string {
	host := config.Host
	if config.Port != 5432 {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return "postgres at " + host + "/" + config.Database
}

// openPostgres connects to the database, which exists; it may be empty.
func openPostgres(ctx context.Context, text string) (*database, error) {
	config, err := parseURL(text)
	if err != nil {
		return nil, fmt.Errorf("the URL of the database %w", err)
	}
	place := placeOf(config)
	db := &database{stdlib.OpenDB(*config, stdlib.OptionAfterConnect(settle)), engine{
		name: "postgres", place: place,
		words: strings.NewReplacer("{bytes}", "BYTEA", "{text}", `TEXT COLLATE "C"`, "{share}", "FOR SHARE", "{skip}", "FOR UPDATE SKIP LOCKED",
			// The clock, and not the beginning of a statement that may have waited.
			"{now}", `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`),
		// So that each statement after the wait for the lock sees what others did before.
		isolation: sql.LevelReadCommitted,
		exclude:   fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, application),
		writers:   connections,
		tables:    `SELECT count(*) FROM pg_class WHERE oid = to_regclass('outrider_migrations')`,
		size: `SELECT CAST(COALESCE(SUM(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class
			WHERE oid IN (to_regclass('outrider_slots'), to_regclass('outrider_leases'), to_regclass('outrider_quotas'), to_regclass('outrider_seal'), to_regclass('outrider_migrations'),
				to_regclass('outrider_data_keys'), to_regclass('outrider_letters'), to_regclass('outrider_pieces'), to_regclass('outrider_dedups'), to_regclass('outrider_tallies'), to_regclass('outrider_senders'))`,
		full:    fullPostgres,
		explain: func(err error) error { return explainPostgres(place, err) },
	}}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(reuse)
	// With the first connection: how does it keep what it is given?
	var durable string
	if err := db.QueryRowContext(ctx, `SELECT COALESCE(current_setting('fsync', true), 'on')`).Scan(&durable); err != nil {
		_ = db.Close() // what went wrong is known
		return nil, db.explain(err)
	}
	if durable == "off" {
		db.warnings = append(db.warnings, place+" runs with fsync = off: what is kept may be lost with the power there")
	}
	return db, nil
}

// settle prepares a new connection, or closes it.
func settle(ctx context.Context, conn *pgx.Conn) error {
	err := prepareSession(ctx, conn)
	if err != nil {
		_ = conn.Close(ctx) // which the driver leaves to us
	}
	return err
}

// prepareSession refuses a server that cannot keep anything, and has it keep a
// commit, whatever the role or the database has as its default: when a commit
// returns it is on the server's disk. Where more is asked for, it stays
// (https://www.postgresql.org/docs/current/wal-async-commit.html).
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	const session = `SELECT
		set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
		set_config('default_transaction_isolation', 'read committed', false),
		set_config('idle_in_transaction_session_timeout', $1, false),
		CAST(current_setting('server_version_num') AS INTEGER) / 10000,
		pg_is_in_recovery()`
	var commit, isolation, gone string
	var version int
	var standby bool
	if err := conn.QueryRow(ctx, session, abandoned).Scan(&commit, &isolation, &gone, &version, &standby); err != nil {
		return err
	}
	switch {
	case version < oldest:
		return fmt.Errorf("it is PostgreSQL %d: Outrider needs %d or newer", version, oldest)
	case standby:
		return errStandby
	}
	return nil
}
