package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
)

// Letters of one order key are sent one after the other, in the order in which they were
// kept. At most one of those that wait has a turn, and only such a one is claimed: so a
// million letters behind a slow one cost nothing. The turn is
//
//	1  its own
//	2  its own, but for a dead one that was kept before it, which holds it
//	0  somebody else's
//
// and is settled anew after each change to a key, by one transaction at a time.

// nextOfOrder is the number of a new letter among those of its order key, the last
// parameter of the statement. It looks at the last one of each state, which the index has.
const nextOfOrder = `1 + COALESCE((SELECT MAX(seq) FROM (
		SELECT MAX(seq) AS seq FROM outrider_letters WHERE ordered = $15 AND state = 'arriving'
		UNION ALL SELECT MAX(seq) FROM outrider_letters WHERE ordered = $15 AND state = 'waiting'
		UNION ALL SELECT MAX(seq) FROM outrider_letters WHERE ordered = $15 AND state = 'dead'
		UNION ALL SELECT MAX(seq) FROM outrider_letters WHERE ordered = $15 AND state = 'delivered'
		UNION ALL SELECT MAX(seq) FROM outrider_letters WHERE ordered = $15 AND state = 'cancelled') AS last), 0)`

// touch says that something changed in an order key, as a hash; nil: none. The change is
// one alone.
func (t *transaction) touch(order []byte) {
	if order == nil {
		return
	}
	if t.orders == nil {
		t.orders = map[string]struct{}{}
	}
	t.orders[string(order)] = struct{}{}
}

// settleOrders gives the turns in the keys in which something changed.
func (t *transaction) settleOrders(ctx context.Context) error {
	for _, order := range slices.Sorted(maps.Keys(t.orders)) {
		if err := t.settle(ctx, []byte(order)); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) settle(ctx context.Context, order []byte) error {
	var first string
	var seq int64
	err := t.row(ctx, `SELECT id, seq FROM outrider_letters WHERE ordered = $1 AND state = 'waiting' ORDER BY seq LIMIT 1`, order).Scan(&first, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var current, holder string
	err = t.row(ctx, `SELECT id, holder FROM outrider_letters WHERE ordered = $1 AND state = 'waiting' AND turn > 0 ORDER BY turn LIMIT 1`, order).Scan(&current, &holder)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if holder != "" {
		return nil // it is on its way, and settles again when it ends
	}
	if current != "" && current != first {
		rows, err := t.exec(ctx, `UPDATE outrider_letters SET turn = 0 WHERE id = $1 AND holder = ''`, current)
		if err != nil || rows == 0 { // it was claimed this moment
			return err
		}
	}
	_, err = t.exec(ctx, `UPDATE outrider_letters SET turn = CASE WHEN EXISTS (
			SELECT 1 FROM outrider_letters AS dead WHERE dead.ordered = $1 AND dead.state = 'dead' AND dead.seq < $2) THEN 2 ELSE 1 END
		WHERE id = $3`, order, seq, first)
	return err
}

// skipDead gives those their turn that a dead one holds, a portion of them.
func (t *transaction) skipDead(ctx context.Context) error {
	_, err := t.exec(ctx, `UPDATE outrider_letters SET turn = 1 WHERE id IN
		(SELECT id FROM outrider_letters WHERE state = 'waiting' AND turn = 2 ORDER BY id LIMIT $1)`, portion)
	return err
}
