package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxQuotas bounds how many quotas are kept. Of more, those that end first go: they
	// are worth the least.
	maxQuotas = 10_000
	// maxState bounds the state of one, in bytes.
	maxState = 4 << 10

	// sameEnd is how far apart two may say that one window ends: who is told so in
	// seconds from now knows it no better than the answer was fast.
	sameEnd = time.Minute
)

// A Quota is how far a quota is spent, so that a restart does not believe in a fresh day.
// It is kept in the clear: a Key may name a credential by a fingerprint, and nothing of
// a Quota may be a secret, or say more of one.
//
// The names and the state are text of at most 512 bytes each, and 4 KiB.
type Quota struct {
	Upstream string // that it belongs to
	Table    string // which of its limits it is
	Key      string // which of the quotas under that limit
	// Spent is how much of a window is, in whatever units. 0: it has no fixed end, as a
	// bucket that fills evenly, and the one that was saved last stays.
	Spent int64
	State []byte // JSON, which the store does not read
	// Until is when it means nothing any more, such as the end of the window; to
	// the millisecond.
	Until time.Time
}

// SaveQuotas keeps quotas, all or none, durable (fsynced) when it returns. It forgets
// those that are over, and beyond 10,000 those that end first.
//
// Whoever saves a quota last is right, but for one thing: while a window lasts, what was
// spent of it stays spent. Where the kept Quota ends at about the same time (to a minute)
// and says that more is spent, it stays. So of several processes that share a quota, the
// one that knows of more is believed after a restart, and one that was started without
// what is kept does not undo it. This is all that is done for several at once:
//
//   - What each has spent is not added up. Where the provider says what is left, each
//     knows of all of it; where it does not, each counts alone.
//   - Of a quota that has no fixed end the last one stays, whoever has spent more.
//   - A number that was corrected downwards in its window comes back with a restart.
//
// A Quota that is longer than it may be, or whose names are no text that every engine
// keeps, is left out, without an error: it is the provider that names its quotas, and
// no name may keep the others from being kept.
func (s *Store) SaveQuotas(ctx context.Context, quotas []Quota) error {
	if err := s.saveQuotas(ctx, quotas); err != nil {
		return fmt.Errorf("saving quotas: %w", err)
	}
	return nil
}

func (s *Store) saveQuotas(ctx context.Context, quotas []Quota) error {
	if err := s.queue(ctx); err != nil {
		return err
	}
	defer s.leave()
	save := func(tx *sql.Tx) error {
		put := func() error { return s.putQuotas(ctx, tx, quotas) }
		if s.db.spare == nil {
			return put()
		}
		return s.db.spare(ctx, tx, put)
	}
	err := s.db.transact(ctx, save)
	if err != nil && s.db.makeRoom != nil && s.db.makeRoom(ctx, s.db, err) {
		err = s.db.transact(ctx, save)
	}
	if err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

func (s *Store) putQuotas(ctx context.Context, tx *sql.Tx, quotas []Quota) (err error) {
	put, err := tx.PrepareContext(ctx, s.db.words.Replace(`INSERT INTO outrider_quotas (upstream, limits, key, spent, until, state)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (upstream, limits, key) DO UPDATE SET spent = excluded.spent, until = excluded.until, state = excluded.state
		WHERE outrider_quotas.until <= {now} OR outrider_quotas.spent <= excluded.spent
			OR ABS(outrider_quotas.until - excluded.until) > $7`))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, put.Close()) }()
	for _, q := range quotas {
		if !q.keepable() {
			continue
		}
		if _, err := put.ExecContext(ctx, q.Upstream, q.Table, q.Key, q.Spent, q.Until.UnixMilli(), q.State, sameEnd.Milliseconds()); err != nil {
			return err
		}
	}
	return s.forgetQuotas(ctx, tx)
}

// keepable reports whether every engine keeps q: PostgreSQL takes no zero byte in a text,
// and nothing that is not UTF-8.
func (q Quota) keepable() bool {
	return keepable(q.Upstream) && keepable(q.Table) && keepable(q.Key) && q.State != nil && len(q.State) <= maxState
}

// keepable reports so of a name.
func keepable(name string) bool {
	return len(name) <= maxID && utf8.ValidString(name) && !strings.Contains(name, "\x00")
}

// forgetQuotas removes those that are over, and those that are too many.
func (s *Store) forgetQuotas(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, s.db.words.Replace(`DELETE FROM outrider_quotas WHERE until <= {now}`)); err != nil {
		return err
	}
	var kept int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM outrider_quotas`).Scan(&kept); err != nil {
		return err
	}
	if kept <= maxQuotas {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM outrider_quotas WHERE (upstream, limits, key) IN
		(SELECT upstream, limits, key FROM outrider_quotas ORDER BY until, upstream, limits, key LIMIT $1)`, kept-maxQuotas)
	return err
}

// Quotas gives those that are kept and not over, by the clock of the database, in the
// order of their names.
func (s *Store) Quotas(ctx context.Context) ([]Quota, error) {
	quotas, err := s.quotas(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading quotas: %w", s.explain(ctx, err))
	}
	return quotas, nil
}

func (s *Store) quotas(ctx context.Context) (quotas []Quota, err error) {
	rows, err := s.db.QueryContext(ctx, s.db.words.Replace(`SELECT upstream, limits, key, spent, until, state
		FROM outrider_quotas WHERE until > {now} ORDER BY upstream, limits, key`))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var q Quota
		var until int64
		if err := rows.Scan(&q.Upstream, &q.Table, &q.Key, &q.Spent, &until, &q.State); err != nil {
			return nil, err
		}
		q.Until = time.UnixMilli(until)
		quotas = append(quotas, q)
	}
	return quotas, rows.Err()
}
