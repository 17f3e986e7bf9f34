package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Release has a whole batch appear, in one transaction, and tells how many letters. Those
// whose dedup key another letter has got meanwhile are forgotten instead: duplicates. letters is
// how many were kept: where they are not all there any more none appears, ErrIncomplete.
//
// Nobody else keeps a letter meanwhile, and on SQLite nobody writes: about a second for ten
// thousand letters.
func (o *Outbox) Release(ctx context.Context, batch string, letters int) (released, duplicates int, err error) {
	do := func(tx *sql.Tx) (err error) {
		t := &transaction{tx: tx, store: o.store}
		if duplicates, err = t.dropDuplicates(ctx, batch); err != nil {
			return err
		}
		if released, err = t.release(ctx, batch); err != nil {
			return err
		}
		if released+duplicates != letters {
			return fmt.Errorf("%w: %d of %d are there", ErrIncomplete, released+duplicates, letters)
		}
		return t.addTallies(ctx)
	}
	err = o.store.queue(ctx)
	if err == nil {
		defer o.store.leave()
		err = o.store.db.transact(ctx, do) // of any length, and so for as long as ctx allows
	}
	if err != nil {
		return 0, 0, fmt.Errorf("releasing batch %q: %w", batch, o.store.explain(ctx, err))
	}
	return released, duplicates, nil
}

// ofBatch is the condition for the letters of a batch that are complete, and to be released.
const ofBatch = `batch = $1 AND batch <> '' AND state = 'arriving' AND holder = ''`

// dropDuplicates forgets the letters of a batch whose dedup key stands for another one.
func (t *transaction) dropDuplicates(ctx context.Context, batch string) (dropped int, err error) {
	for {
		n, err := t.remove(ctx, ofBatch+` AND EXISTS (SELECT 1 FROM outrider_dedups AS taken WHERE taken.key = outrider_letters.dedup AND taken.until > {now})`, batch)
		dropped += n
		if err != nil || n == 0 {
			return dropped, err
		}
	}
}

// release has the other letters appear.
func (t *transaction) release(ctx context.Context, batch string) (released int, err error) {
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var upstream string
		var letters, bytes int64
		err := rows.Scan(&upstream, &letters, &bytes)
		t.count(tallied{upstream: upstream, state: Arriving}, -letters, -bytes)
		t.count(tallied{upstream: upstream, state: Waiting}, letters, bytes)
		released += int(letters)
		return err
	}, `SELECT upstream, COUNT(*), CAST(SUM(size) AS BIGINT) FROM outrider_letters WHERE `+ofBatch+` GROUP BY upstream`, batch)
	if err != nil {
		return 0, err
	}
	for _, statement := range []string{
		// From now on their dedup keys count, in the place of some whose time is over.
		`DELETE FROM outrider_dedups WHERE key IN (SELECT dedup FROM outrider_letters WHERE ` + ofBatch + `)`,
		`UPDATE outrider_dedups SET until = {now} + span, key = (SELECT dedup FROM outrider_letters AS letter WHERE letter.id = outrider_dedups.letter)
			WHERE letter IN (SELECT id FROM outrider_letters WHERE ` + ofBatch + `)`,
		// What settle does, for all order keys of the batch at once; before they wait, for so
		// there is an index of them; and numbered, so that none is compared with each other one.
		`WITH first AS MATERIALIZED (
				SELECT id FROM (SELECT id, ordered, ROW_NUMBER() OVER (PARTITION BY ordered ORDER BY seq) AS place FROM outrider_letters WHERE ` + ofBatch + ` AND ordered IS NOT NULL) AS numbered
				WHERE place = 1 AND NOT EXISTS (SELECT 1 FROM outrider_letters AS other WHERE other.ordered = numbered.ordered AND other.state = 'waiting'))
			UPDATE outrider_letters SET turn = CASE WHEN EXISTS (
				SELECT 1 FROM outrider_letters AS dead WHERE dead.ordered = outrider_letters.ordered AND dead.state = 'dead' AND dead.seq < outrider_letters.seq) THEN 2 ELSE 1 END
			WHERE id IN (SELECT id FROM first)`,
		`UPDATE outrider_letters SET state = 'waiting', due = {now} WHERE ` + ofBatch,
	} {
		if _, err := t.exec(ctx, statement, batch); err != nil {
			return 0, err
		}
	}
	return released, nil
}

// DropBatch forgets a batch that was not released, and tells how many letters it had.
func (o *Outbox) DropBatch(ctx context.Context, batch string) (dropped int, err error) {
	for {
		var n int
		err := o.store.commit(ctx, &change{alone: true, do: func(ctx context.Context, t *transaction) (err error) {
			n, err = t.remove(ctx, `batch = $1 AND batch <> '' AND state = 'arriving'`, batch)
			return err
		}})
		dropped += n
		if err != nil {
			return dropped, fmt.Errorf("dropping batch %q: %w", batch, err)
		}
		if n == 0 {
			return dropped, nil
		}
	}
}
