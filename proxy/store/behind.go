package store

import (
	"context"
	"database/sql"
	"fmt"
)

// A Block is a dead letter that holds its order key.
type Block struct {
	ID, Reason string
}

// behindDead gives letters that wait, with the first dead one that was kept before each in its
// order key. It costs two searches of an index for each of them.
const behindDead = `SELECT l.id, dead.id, dead.reason FROM outrider_letters AS l JOIN outrider_letters AS dead ON dead.id = (
		SELECT id FROM outrider_letters AS before WHERE before.ordered = l.ordered AND before.state = 'dead' AND before.seq < l.seq ORDER BY before.seq LIMIT 1)
	WHERE l.state = 'waiting' AND l.ordered IS NOT NULL AND l.id IN (`

// Behind tells which of some letters, at most 500, wait behind a dead one of their order key,
// and behind which: if there are several, the first. id → that.
func (o *Outbox) Behind(ctx context.Context, ids []string) (map[string]Block, error) {
	behind := map[string]Block{}
	if len(ids) == 0 {
		return behind, nil
	}
	places, args := inList(min(len(ids), portion), func(i int) any { return ids[i] })
	err := eachRow(ctx, o.store.db, func(rows *sql.Rows) error {
		var id string
		var by Block
		err := rows.Scan(&id, &by.ID, &by.Reason)
		behind[id] = by
		return err
	}, behindDead+places+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what letters wait behind: %w", o.store.explain(ctx, err))
	}
	return behind, nil
}
