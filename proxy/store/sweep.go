package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// SweepSettings say for how long what has ended is kept.
type SweepSettings struct {
	KeepResults time.Duration // letters that were delivered or cancelled
	KeepDead    time.Duration // dead ones
}

// A Swept is what one Sweep did.
type Swept struct {
	Forgotten int  // letters that had ended
	Arrivals  int  // letters that never were complete
	Senders   int  // that have died, and whose letters are free
	More      bool // there is more to do: sweep again
}

// What is over.
const (
	endedBefore   = `state = $1 AND ended > 0 AND ended <= (SELECT {now}) - $2`
	silentArrival = `state = 'arriving' AND due <= (SELECT {now})`
	overDedup     = `until <= (SELECT {now})`
)

// Sweep forgets what is over, a portion at a time. A dead letter that is forgotten no longer
// holds its order key.
func (o *Outbox) Sweep(ctx context.Context, s SweepSettings) (Swept, error) {
	swept, err := o.sweep(ctx, s)
	if err != nil {
		return swept, fmt.Errorf("sweeping letters: %w", err)
	}
	return swept, nil
}

func (o *Outbox) sweep(ctx context.Context, s SweepSettings) (swept Swept, err error) {
	if swept.Senders, err = o.bury(ctx); err != nil {
		return swept, err
	}
	if swept.Arrivals, err = o.sweepArrivals(ctx); err != nil {
		return swept, err
	}
	most := 0
	for _, ended := range []struct {
		state string
		keep  time.Duration
	}{{Delivered, s.KeepResults}, {Cancelled, s.KeepResults}, {Dead, s.KeepDead}} {
		n, err := o.removeSome(ctx, endedBefore, ended.state, ended.keep.Milliseconds())
		if err != nil {
			return swept, err
		}
		swept.Forgotten += n
		most = max(most, n)
	}
	dedups, err := o.sweepDedups(ctx)
	swept.More = max(most, swept.Arrivals, dedups) >= 1
	return swept, err
}

// removeSome forgets a portion of the letters with a condition. Where there are none it
// writes nothing.
func (o *Outbox) removeSome(ctx context.Context, condition string, args ...any) (removed int, err error) {
	var some bool
	query := o.store.db.words.Replace(`SELECT EXISTS (SELECT 1 FROM outrider_letters WHERE ` + condition + `)`)
	if err := o.store.db.QueryRowContext(ctx, query, args...).Scan(&some); err != nil {
		return 0, o.store.explain(ctx, err)
	}
	if !some {
		return 0, nil
	}
	err = o.store.commit(ctx, &change{alone: true, do: func(ctx context.Context, t *transaction) (err error) {
		removed, err = t.remove(ctx, condition, args...)
		return err
	}})
	return removed, err
}

// sweepArrivals forgets letters that nobody completes any more.
func (o *Outbox) sweepArrivals(ctx context.Context) (removed int, err error) {
	removed, err = o.removeSome(ctx, silentArrival)
	if err != nil {
		return removed, err
	}
	var gone []string
	err = eachRow(ctx, o.store.db, func(rows *sql.Rows) error {
		var holder string
		err := rows.Scan(&holder)
		if o.store.db.witness.gone(holder) {
			gone = append(gone, holder)
		}
		return err
	}, `SELECT holder FROM outrider_letters WHERE state = 'arriving' AND holder <> ''`)
	if err != nil {
		return removed, o.store.explain(ctx, err)
	}
	for _, holder := range gone {
		n, failed := o.removeSome(ctx, `state = 'arriving' AND holder = $1`, holder)
		removed, err = removed+n, errors.Join(err, failed)
	}
	return removed, err
}

// sweepDedups forgets a portion of the dedup keys whose window is over.
func (o *Outbox) sweepDedups(ctx context.Context) (forgotten int, err error) {
	s := o.store
	var some bool
	const over = `SELECT EXISTS (SELECT 1 FROM outrider_dedups WHERE ` + overDedup + `)`
	if err := s.db.QueryRowContext(ctx, s.db.words.Replace(over)).Scan(&some); err != nil {
		return 0, s.explain(ctx, err)
	}
	if !some {
		return 0, nil
	}
	err = s.commit(ctx, &change{alone: true, do: func(ctx context.Context, t *transaction) error {
		rows, err := t.exec(ctx, `DELETE FROM outrider_dedups WHERE key IN (SELECT key FROM outrider_dedups WHERE `+overDedup+` ORDER BY until LIMIT $1)`, portion)
		forgotten = int(rows)
		return err
	}})
	return forgotten, err
}
