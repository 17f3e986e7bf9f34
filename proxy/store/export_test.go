package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// RenameNew and Blank are how a store's file begins.
var (
	RenameNew = renameNew
	Blank     = blank
)

// Lease is how long a lock outlives its holder.
const Lease = lease

// Exec runs a statement behind the back of the store.
func (s *Store) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.db.ExecContext(ctx, statement, args...)
	return err
}

// Fill makes the store behave as if the disk had no room for another page.
func (s *Store) Fill(ctx context.Context) error {
	s.db.SetMaxOpenConns(1) // the limit is a connection's own
	var pages int
	if err := s.db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	return s.Exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
}

// Migrate brings the store to a version that there is not yet.
func (s *Store) Migrate(ctx context.Context, more ...[]string) error {
	return migrate(ctx, s.db, slices.Concat(migrations, more))
}

// Abandon is Lock by a holder that dies at once, and did so some time ago.
func (s *Slot) Abandon(ctx context.Context, ago time.Duration) (bool, error) {
	taken, err := s.take(ctx, "somebody who died", s.store.seal.Load())
	if err == nil && taken {
		err = s.Age(ctx, ago)
	}
	return taken, err
}

// Prolong is what the holder of Abandon would do, if it lived.
func (s *Slot) Prolong(ctx context.Context) error { return s.prolong(ctx, "somebody who died") }

// Bury takes the lease from a holder that has ended.
func (s *Slot) Bury(ctx context.Context) (bool, error) { return s.bury(ctx) }

// HasWitness tells whether the others can tell that this store is not open any more.
func (s *Store) HasWitness() bool { return s.db.witness != nil }

// Age makes the lease of the slot older.
func (s *Slot) Age(ctx context.Context, by time.Duration) error {
	return s.store.Exec(ctx, `UPDATE outrider_leases SET until = until - $1 WHERE id = $2`, by.Milliseconds(), s.id)
}

// RekeyBy is Rekey that tells after each step what is done.
func (s *Store) RekeyBy(ctx context.Context, next func() (string, error), done func(step string)) (Rekeyed, error) {
	return s.rekeyBy(ctx, next, done)
}

// Block keeps others from the slots of a PostgreSQL until it is released.
func (s *Store) Block(ctx context.Context) (release func() error, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `LOCK TABLE outrider_slots`)
	return tx.Rollback, err
}

// OneConnection leaves the store one connection to its database.
func (s *Store) OneConnection() { s.db.SetMaxOpenConns(1) }

// Exclude keeps all stores of a PostgreSQL from keeping letters until it is released.
func (s *Store) Exclude(ctx context.Context) (release func() error, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, s.db.exclude)
	return tx.Rollback, err
}

// Occupy keeps the others of this store from writing.
func (s *Store) Occupy(ctx context.Context) (release func(), err error) {
	return s.leave, s.queue(ctx)
}

// OccupyAll keeps all of this store from writing.
func (s *Store) OccupyAll(ctx context.Context) (release func()) {
	for range s.db.writers {
		_ = s.queue(ctx)
	}
	return func() {
		for range s.db.writers {
			s.leave()
		}
	}
}

// InLine is how many changes wait to be made.
func (s *Store) InLine() int {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return len(s.line.waiting)
}

// EndQuota has a kept quota be over.
func (s *Store) EndQuota(ctx context.Context, key string) error {
	return s.Exec(ctx, `UPDATE outrider_quotas SET until = 1 WHERE key = $1`, key)
}

// QuotaRows counts the quotas that are kept, and over or not.
func (s *Store) QuotaRows(ctx context.Context) (rows int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM outrider_quotas`).Scan(&rows)
	return rows, err
}

// Free is how many bytes of the file are free.
func (s *Store) Free(ctx context.Context) (int, error) {
	e, err := measure(ctx, s.db)
	return e.free * e.size, err
}

// WrongTallies names the tallies that are not what a count of all letters gives, and the
// letters whose size is not what their pieces take.
func (s *Store) WrongTallies(ctx context.Context) (wrong []string, err error) {
	each := func(rows *sql.Rows) error {
		var what string
		err := rows.Scan(&what)
		wrong = append(wrong, what)
		return err
	}
	err = eachRow(ctx, s.db, each, `WITH counted AS (SELECT upstream, state, reason, COUNT(*) AS letters, SUM(size) AS bytes FROM outrider_letters GROUP BY upstream, state, reason)
		SELECT counted.upstream || ' ' || counted.state FROM counted LEFT JOIN outrider_tallies AS t ON t.upstream = counted.upstream AND t.state = counted.state AND t.reason = counted.reason
			WHERE t.letters IS NULL OR t.letters <> counted.letters OR t.bytes <> counted.bytes
		UNION ALL SELECT t.upstream || ' ' || t.state FROM outrider_tallies AS t LEFT JOIN counted ON t.upstream = counted.upstream AND t.state = counted.state AND t.reason = counted.reason
			WHERE counted.letters IS NULL AND (t.letters <> 0 OR t.bytes <> 0)
		UNION ALL SELECT id FROM outrider_letters WHERE size <> 512 + (SELECT COALESCE(SUM(length(sealed)), 0) FROM outrider_pieces WHERE letter = id)
		UNION ALL SELECT letter FROM outrider_pieces AS piece WHERE NOT EXISTS (SELECT 1 FROM outrider_letters WHERE id = piece.letter)`)
	return wrong, err
}

// Rows counts the rows of a table.
func (s *Store) Rows(ctx context.Context, table string) (rows int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM outrider_`+table).Scan(&rows)
	return rows, err
}

// tables of each version of the schema that is not the first
var newTables = map[int][]string{
	2: {"quotas"},
	3: {"data_keys", "letters", "pieces", "dedups", "tallies", "senders"},
}

// Downgrade makes the store what it was when the newest version was an earlier one.
func (s *Store) Downgrade(ctx context.Context, to int) error {
	for version, tables := range newTables {
		if version <= to {
			continue
		}
		for _, table := range tables {
			if err := s.Exec(ctx, `DROP TABLE outrider_`+table); err != nil {
				return err
			}
		}
	}
	return s.Exec(ctx, fmt.Sprintf(`DELETE FROM outrider_migrations WHERE version > %d`, to))
}

// Name is who holds the letters of a sender.
func (h *Holder) Name() string { return h.name }

// A Piece is a sealed one of a letter.
type Piece struct {
	At     int // among those of its letter
	letter string
	part   int
	N      int64
	Sealed []byte
}

// Name is what part of the letter it belongs to.
func (p Piece) Name() string {
	return map[int]string{headPart: "head", bodyPart: "body", attemptPart: "record", ansHeadPart: "answer", ansBodyPart: "answer"}[p.part]
}

// Pieces gives those of a letter.
func (s *Store) Pieces(ctx context.Context, id string) (pieces []Piece, err error) {
	err = eachRow(ctx, s.db, func(rows *sql.Rows) error {
		p := Piece{At: len(pieces), letter: id}
		err := rows.Scan(&p.part, &p.N, &p.Sealed)
		pieces = append(pieces, p)
		return err
	}, `SELECT part, n, sealed FROM outrider_pieces WHERE letter = $1 ORDER BY part, n`, id)
	return pieces, err
}

// PutPiece has a piece be something else.
func (s *Store) PutPiece(ctx context.Context, p Piece, sealed []byte) error {
	return s.Exec(ctx, `UPDATE outrider_pieces SET sealed = $1 WHERE letter = $2 AND part = $3 AND n = $4`, sealed, p.letter, p.part, p.N)
}

// Double adds a copy of each letter.
func (s *Store) Double(ctx context.Context, suffix string) error {
	for _, statement := range []string{
		`INSERT INTO outrider_pieces SELECT letter || $1, part, n, sealed FROM outrider_pieces`,
		`INSERT INTO outrider_letters SELECT id || $1, upstream, lane, state, reason, created, due, expires, departed, ended, attempts, records, size, body, answer,
			key, version, holder, batch, ordered, seq + 1000000, CASE WHEN ordered IS NULL THEN turn ELSE 0 END, dedup FROM outrider_letters WHERE $1 <> ''`,
	} {
		if err := s.Exec(ctx, statement, suffix); err != nil {
			return err
		}
	}
	return s.Exec(ctx, `UPDATE outrider_tallies SET letters = letters * 2, bytes = bytes * 2`)
}

// A Search is a statement that looks for rows by the time in a column.
type Search struct {
	Column, Statement string
	Args              []any
}

// SearchesByTime are those of the outbox.
var SearchesByTime = []Search{
	{"due", dueLetters, []any{"lane", 16}},
	{"expires", expiredLetters, []any{0, 16}},
	{"ended", `SELECT id FROM outrider_letters WHERE ` + endedBefore, []any{Dead, 1000}},
	{"due", `SELECT id FROM outrider_letters WHERE ` + silentArrival, nil},
	{"until", `SELECT key FROM outrider_dedups WHERE ` + overDedup, nil},
}

// SearchBehind asks of two letters what they wait behind.
const SearchBehind = behindDead + `$1, $2)`

// WayOf tells how the database carries a statement out.
func (s *Store) WayOf(ctx context.Context, statement string, args ...any) (way string, err error) {
	err = s.db.transact(ctx, func(tx *sql.Tx) error {
		explain := `EXPLAIN QUERY PLAN `
		if s.db.name == "postgres" {
			explain = `EXPLAIN `
			if _, err := tx.ExecContext(ctx, `SET LOCAL enable_seqscan = off`); err != nil { // which it prefers for a few rows
				return err
			}
		}
		return eachRow(ctx, tx, func(rows *sql.Rows) error {
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			var line string
			into := make([]any, len(columns))
			for i := range into {
				into[i] = new(any)
			}
			into[len(into)-1] = &line
			err = rows.Scan(into...)
			way += line + "\n"
			return err
		}, explain+s.db.words.Replace(statement), args...)
	})
	return way, err
}
