package store

import "context"

// Earlier reports whether a call that brings these keys comes after a letter: its dedup key
// stands for one, or one of its order key waits, or is dead and holds its key (skipDead: it
// does not). "" is no key. Nothing is changed.
func (o *Outbox) Earlier(ctx context.Context, dedup, order string, skipDead bool) (there bool, err error) {
	ring, err := o.store.readingRing(ctx, nameKey)
	if err != nil {
		return false, err
	}
	if ring.current == 0 {
		return false, nil // there never was a letter
	}
	dedupName, err := ring.name("dedup", dedup)
	if err != nil {
		return false, err
	}
	orderName, err := ring.name("order", order)
	if err != nil {
		return false, err
	}
	holding := Dead
	if skipDead {
		holding = Waiting
	}
	err = o.store.db.QueryRowContext(ctx, o.store.db.words.Replace(
		`SELECT EXISTS (SELECT 1 FROM outrider_dedups WHERE key = CAST($1 AS {bytes}) AND until > {now})
			OR EXISTS (SELECT 1 FROM outrider_letters WHERE ordered = CAST($2 AS {bytes}) AND state IN ('waiting', $3))`),
		dedupName, orderName, holding).Scan(&there)
	if err != nil {
		return false, o.store.explain(ctx, err)
	}
	return there, nil
}
