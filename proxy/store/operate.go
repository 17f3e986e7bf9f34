package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
)

// portion is how many letters are changed at once: what is done to all of a million leaves
// room for those who keep and send some meanwhile.
const portion = 500

// Release has a whole batch appear, in one transaction, and tells how many letters it has.
func (o *Outbox) Release(ctx context.Context, batch string) (released int, err error) {
	do := func(tx *sql.Tx) error {
		released = 0
		t := &transaction{tx: tx, store: o.store}
		n, err := t.release(ctx, batch)
		released = int(n)
		if err != nil {
			return err
		}
		return t.addTallies(ctx)
	}
	err = o.store.queue(ctx)
	if err == nil {
		defer o.store.leave()
		err = o.store.db.transact(ctx, do) // of any length, and so for as long as ctx allows
	}
	if err != nil {
		return 0, fmt.Errorf("releasing batch %q: %w", batch, o.store.explain(ctx, err))
	}
	return released, nil
}

func (t *transaction) release(ctx context.Context, batch string) (released int64, err error) {
	err = t.rows(ctx, func(rows *sql.Rows) error {
		var upstream string
		var letters, bytes int64
		err := rows.Scan(&upstream, &letters, &bytes)
		t.count(upstream, Arriving, -letters, -bytes)
		t.count(upstream, Waiting, letters, bytes)
		return err
	}, `SELECT upstream, COUNT(*), CAST(SUM(size) AS BIGINT) FROM outrider_letters WHERE batch = $1 AND batch <> '' AND state = 'arriving' AND holder = '' GROUP BY upstream`, batch)
	if err != nil {
		return 0, err
	}
	released, err = t.exec(ctx, `UPDATE outrider_letters SET state = 'waiting', due = {now} WHERE batch = $1 AND batch <> '' AND state = 'arriving' AND holder = ''`, batch)
	if err != nil {
		return 0, err
	}
	// What settle does, for all keys of the batch at once.
	_, err = t.exec(ctx, `UPDATE outrider_letters SET turn = CASE WHEN EXISTS (
			SELECT 1 FROM outrider_letters AS dead WHERE dead.ordered = outrider_letters.ordered AND dead.state = 'dead' AND dead.seq < outrider_letters.seq) THEN 2 ELSE 1 END
		WHERE batch = $1 AND batch <> '' AND state = 'waiting' AND turn = 0
			AND NOT EXISTS (SELECT 1 FROM outrider_letters AS other WHERE other.ordered = outrider_letters.ordered AND other.state = 'waiting' AND other.turn > 0)
			AND NOT EXISTS (SELECT 1 FROM outrider_letters AS other WHERE other.ordered = outrider_letters.ordered AND other.state = 'waiting' AND other.seq < outrider_letters.seq)`, batch)
	return released, err
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

// remove forgets a portion of the letters with a condition, and tells how many. The change
// is one alone.
func (t *transaction) remove(ctx context.Context, condition string, args ...any) (removed int, err error) {
	letters, err := t.store.readLetters(ctx, t.tx, fmt.Sprintf(`SELECT %s FROM outrider_letters WHERE %s ORDER BY id LIMIT %d`, letterColumns, condition, portion), args...)
	if err != nil {
		return 0, err
	}
	weight := int64(0)
	for i := range letters {
		if weight += letters[i].Size; i > 0 && weight > maxWeight {
			return i, nil
		}
		if err := t.removeOne(ctx, &letters[i]); err != nil {
			return 0, err
		}
	}
	return len(letters), nil
}

// removeOne forgets a letter, and its dedup key with it, unless the letter was delivered:
// then another one of that key would be sent a second time.
func (t *transaction) removeOne(ctx context.Context, letter *row) error {
	if letter.State != Delivered {
		if err := t.forgetDedup(ctx, letter.ID); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1`, letter.ID); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM outrider_letters WHERE id = $1`, letter.ID); err != nil {
		return err
	}
	t.count(letter.Upstream, letter.State, -1, -letter.Size)
	t.touch(letter.ordered)
	return nil
}

// forgetDedup has the dedup key of a letter stand for it no more.
func (t *transaction) forgetDedup(ctx context.Context, id string) error {
	_, err := t.exec(ctx, `DELETE FROM outrider_dedups WHERE letter = $1 AND key = (SELECT dedup FROM outrider_letters WHERE id = $1)`, id)
	return err
}

// Cancel withdraws a letter that waits, and frees its dedup key. ErrHeld, ErrEnded,
// ErrUnknown.
func (o *Outbox) Cancel(ctx context.Context, id string) error {
	err := o.store.commit(ctx, &change{id: id, alone: true, do: func(ctx context.Context, t *transaction) error { return t.cancel(ctx, id) }})
	if err != nil {
		return fmt.Errorf("cancelling letter %s: %w", id, err)
	}
	return nil
}

func (t *transaction) cancel(ctx context.Context, id string) error {
	var upstream string
	var size int64
	var order []byte
	err := t.row(ctx, `UPDATE outrider_letters SET state = 'cancelled', ended = {now} WHERE id = $1 AND state = 'waiting' AND holder = ''
		RETURNING upstream, size, ordered`, id).Scan(&upstream, &size, &order)
	if errors.Is(err, sql.ErrNoRows) {
		return t.whyNot(ctx, id)
	}
	if err != nil {
		return err
	}
	t.count(upstream, Waiting, -1, -size)
	t.count(upstream, Cancelled, 1, size)
	t.touch(order)
	if err := t.dropBody(ctx, id); err != nil {
		return err
	}
	if err := t.forgetDedup(ctx, id); err != nil {
		return err
	}
	_, err = t.measure(ctx, upstream, Cancelled, id, size)
	return err
}

// whyNot says why a letter cannot be cancelled.
func (t *transaction) whyNot(ctx context.Context, id string) error {
	var state string
	err := t.row(ctx, `SELECT state FROM outrider_letters WHERE id = $1 AND state <> 'arriving'`, id).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return refusal{ErrUnknown}
	case err != nil:
		return err
	case state == Waiting:
		return refusal{ErrHeld}
	}
	return refusal{ErrEnded}
}

// A Requeue says how dead letters wait again.
type Requeue struct {
	MaxAge       time.Duration // from now on; 0: they do not expire
	ForgetDepart bool          // as if nothing had been sent
}

// Requeue has dead letters wait again, with no attempts made, and tells how many. It does
// so by portions: after an error some are done.
func (o *Outbox) Requeue(ctx context.Context, f Filter, r Requeue) (requeued int, err error) {
	f.States = []string{Dead}
	requeued, err = o.byPortion(ctx, f, func(ctx context.Context, t *transaction, letter *row) (bool, error) {
		return t.requeue(ctx, letter, r)
	})
	if err != nil {
		return requeued, fmt.Errorf("requeueing letters: %w", err)
	}
	return requeued, nil
}

func (t *transaction) requeue(ctx context.Context, letter *row, r Requeue) (done bool, err error) {
	keep := 1
	if r.ForgetDepart {
		keep = 0
	}
	rows, err := t.exec(ctx, `UPDATE outrider_letters SET state = 'waiting', reason = '', ended = 0, attempts = 0, due = {now},
			expires = CASE WHEN CAST($1 AS BIGINT) > 0 THEN {now} + $1 ELSE 0 END, departed = departed * $2, turn = CASE WHEN ordered IS NULL THEN 1 ELSE 0 END
		WHERE id = $3 AND state = 'dead'`, r.MaxAge.Milliseconds(), keep, letter.ID)
	if err != nil || rows == 0 {
		return false, err
	}
	t.count(letter.Upstream, Dead, -1, -letter.Size)
	t.count(letter.Upstream, Waiting, 1, letter.Size)
	t.touch(letter.ordered)
	return true, nil
}

// Drop forgets letters that nobody sends at the moment, and tells how many. It does so by
// portions. A dead one that is dropped no longer holds its order key.
func (o *Outbox) Drop(ctx context.Context, f Filter) (dropped int, err error) {
	dropped, err = o.byPortion(ctx, f, func(ctx context.Context, t *transaction, letter *row) (bool, error) {
		if letter.Held {
			return false, nil
		}
		return true, t.removeOne(ctx, letter)
	})
	if err != nil {
		return dropped, fmt.Errorf("dropping letters: %w", err)
	}
	return dropped, nil
}

// byPortion does something to each letter that a filter finds, and tells to how many.
func (o *Outbox) byPortion(ctx context.Context, f Filter, do func(context.Context, *transaction, *row) (bool, error)) (done int, err error) {
	for after := ""; ; {
		var made int
		var found []row
		err := o.store.commit(ctx, &change{alone: true, do: func(ctx context.Context, t *transaction) (err error) {
			made = 0
			if found, err = o.store.find(ctx, t.tx, f, page{from: after, limit: portion}); err != nil {
				return err
			}
			for i := range found {
				did, err := do(ctx, t, &found[i])
				if err != nil {
					return err
				}
				if did {
					made++
				}
			}
			return nil
		}})
		if err != nil {
			return done, err
		}
		done += made
		if len(found) == 0 {
			return done, nil
		}
		after = found[len(found)-1].ID
	}
}

// A Replacement is the new content of a dead letter.
type Replacement struct {
	Head    func(Body) ([]byte, error) // as in NewLetter; where the body stays it gets the size alone
	Body    io.Reader                  // nil: it stays
	MaxBody int64                      // in bytes; 0: no bound
}

// Replace gives a dead letter another content. It stays dead, until it is requeued.
// ErrUnknown, ErrTooLarge; ErrEnded: it is not dead, but waits, or was delivered or cancelled.
func (o *Outbox) Replace(ctx context.Context, id string, r Replacement) error {
	if err := o.replace(ctx, id, r); err != nil {
		return fmt.Errorf("changing letter %s: %w", id, err)
	}
	return nil
}

func (o *Outbox) replace(ctx context.Context, id string, r Replacement) error {
	letter, err := o.letter(ctx, id)
	if err == nil && letter.State != Dead {
		err = ErrEnded
	}
	if err != nil {
		return err
	}
	n := firstOf(letter.version + 1)
	body := Body{Size: letter.BodySize}
	if r.Body != nil {
		from := cut(r.Body, r.MaxBody)
		for last := false; !last; n++ {
			var piece []byte
			if piece, last, err = from.next(); err != nil {
				return err
			}
			if err := o.replacePiece(ctx, &letter, n, last, piece); err != nil {
				return err
			}
		}
		body = from.body()
	}
	return o.store.commit(ctx, &change{id: id, alone: true, grows: true, do: func(ctx context.Context, t *transaction) error {
		return t.replace(ctx, &letter, r, body)
	}})
}

// replacePiece keeps a piece of the body that is to be.
func (o *Outbox) replacePiece(ctx context.Context, letter *row, n int64, last bool, piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	return o.store.commit(ctx, &change{id: letter.ID, alone: true, grows: true, weight: len(piece), do: func(ctx context.Context, t *transaction) error {
		sealer, err := t.writerOf(letter.ID, letter.key)
		if err != nil {
			return err
		}
		var before int64
		err = t.row(ctx, `SELECT size FROM outrider_letters WHERE id = $1 AND state = 'dead' AND version = $2`, letter.ID, letter.version).Scan(&before)
		if errors.Is(err, sql.ErrNoRows) {
			return refusal{ErrEnded}
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1 AND part = 1 AND n >= $2`, letter.ID, n); err != nil {
			return err // of a replacement that broke off
		}
		if _, err := t.putPieces(ctx, letter.ID, sealedPiece{bodyPart, n, sealer.seal(bodyPart, n, last, piece)}); err != nil {
			return err
		}
		_, err = t.measure(ctx, letter.Upstream, Dead, letter.ID, before)
		return err
	}})
}

// replace has the new content take the place of the old.
func (t *transaction) replace(ctx context.Context, letter *row, r Replacement, body Body) error {
	head, err := r.Head(body)
	if err != nil {
		return refusal{err}
	}
	sealer, err := t.writerOf(letter.ID, letter.key)
	if err != nil {
		return err
	}
	version := letter.version
	if r.Body != nil {
		version++
	}
	var before int64
	err = t.row(ctx, `UPDATE outrider_letters SET version = $1, body = $2 WHERE id = $3 AND state = 'dead' AND version = $4 RETURNING size`,
		version, body.Size, letter.ID, letter.version).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return refusal{ErrEnded}
	}
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1 AND (part = 0 OR part = 1 AND n < $2)`, letter.ID, firstOf(version)); err != nil {
		return err
	}
	if _, err := t.putPieces(ctx, letter.ID, sealedPiece{headPart, int64(version), sealer.seal(headPart, int64(version), true, head)}); err != nil {
		return err
	}
	_, err = t.measure(ctx, letter.Upstream, Dead, letter.ID, before)
	return err
}
