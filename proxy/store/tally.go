package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"
)

// tallied is what a tally is of.
type tallied struct{ upstream, state, reason string }

// A tally is so many letters, and the bytes that they take.
type tally struct{ letters, bytes int64 }

// count adds letters and bytes to what there is, or takes them off.
func (t *transaction) count(of tallied, letters, bytes int64) {
	if t.tallies == nil {
		t.tallies = map[tallied]tally{}
	}
	t.tallies[of] = tally{t.tallies[of].letters + letters, t.tallies[of].bytes + bytes}
}

// addTallies writes what was counted: at the end, and in an order, because everybody waits
// for these rows.
func (t *transaction) addTallies(ctx context.Context) error {
	byName := func(a, b tallied) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.state, b.state), cmp.Compare(a.reason, b.reason))
	}
	for _, of := range slices.SortedFunc(maps.Keys(t.tallies), byName) {
		add := t.tallies[of]
		if add == (tally{}) {
			continue
		}
		_, err := t.exec(ctx, `INSERT INTO outrider_tallies (upstream, state, reason, letters, bytes) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (upstream, state, reason) DO UPDATE SET letters = outrider_tallies.letters + excluded.letters, bytes = outrider_tallies.bytes + excluded.bytes`,
			of.upstream, of.state, of.reason, add.letters, add.bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// fits reports whether so many bytes more are within a bound. The change is one alone, so
// that nobody else takes the room meanwhile.
func (t *transaction) fits(ctx context.Context, bytes, bound int64) (bool, error) {
	if bound <= 0 {
		return true, nil
	}
	if !t.sized {
		if err := t.row(ctx, sizeOfAll).Scan(&t.size); err != nil {
			return false, err
		}
		t.sized = true
	}
	size := t.size
	for _, added := range t.tallies {
		size += added.bytes
	}
	return size+bytes <= bound, nil
}

const sizeOfAll = `SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM outrider_tallies`

// Size is what all letters take, in bytes.
func (o *Outbox) Size(ctx context.Context) (size int64, err error) {
	if err := o.store.db.QueryRowContext(ctx, sizeOfAll).Scan(&size); err != nil {
		return 0, fmt.Errorf("measuring the outbox: %w", o.store.explain(ctx, err))
	}
	return size, nil
}

// Counts gives what there is, by upstream, state and reason. It costs the same for a million
// letters.
func (o *Outbox) Counts(ctx context.Context) (counts []Count, err error) {
	each := func(rows *sql.Rows) error {
		var c Count
		var oldest int64
		if err := rows.Scan(&c.Upstream, &c.State, &c.Reason, &c.Letters, &c.Bytes, &oldest); err != nil {
			return err
		}
		if oldest > 0 {
			c.Oldest = time.UnixMilli(oldest)
		}
		counts = append(counts, c)
		return nil
	}
	err = eachRow(ctx, o.store.db, each, `SELECT upstream, state, reason, letters, bytes, COALESCE((SELECT created FROM outrider_letters AS letter
			WHERE letter.upstream = outrider_tallies.upstream AND letter.state = outrider_tallies.state ORDER BY id LIMIT 1), 0)
		FROM outrider_tallies WHERE letters > 0 ORDER BY upstream, state, reason`)
	if err != nil {
		return nil, fmt.Errorf("counting letters: %w", o.store.explain(ctx, err))
	}
	return counts, nil
}
