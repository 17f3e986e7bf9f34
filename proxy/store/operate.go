package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// portion is how many letters are changed at once: what is done to all of a million leaves
// room for those who keep and send some meanwhile.
const portion = 500

// remove forgets a portion of the letters with a condition, and tells how many. The change
// is one alone.
func (t *transaction) remove(ctx context.Context, condition string, args ...any) (removed int, err error) {
	letters, err := t.store.readLetters(ctx, t.tx, fmt.Sprintf(`SELECT %s FROM outrider_letters WHERE %s LIMIT %d`, letterColumns, condition, portion), args...)
	if err != nil {
		return 0, err
	}
	weight := int64(0)
	for i := range letters {
		if weight += letters[i].Size; i > 0 && weight > maxWeight {
			break
		}
		did, err := t.removeOne(ctx, &letters[i])
		if err != nil {
			return 0, err
		}
		if did {
			removed++
		}
	}
	return removed, nil
}

// removeOne forgets a letter, and its dedup key with it, unless the letter was delivered:
// then another one of that key would be sent a second time.
func (t *transaction) removeOne(ctx context.Context, letter *row) (done bool, err error) {
	var size int64
	err = t.row(ctx, `DELETE FROM outrider_letters WHERE id = $1 AND holder = $2 AND state = $3 RETURNING size`, letter.ID, letter.holder, letter.State).Scan(&size)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // it was claimed this moment
	}
	if err != nil {
		return false, err
	}
	if _, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1`, letter.ID); err != nil {
		return false, err
	}
	if letter.State != Delivered {
		if err := t.forgetDedup(ctx, letter.ID); err != nil {
			return false, err
		}
	}
	t.count(letter.tallied(), -1, -size)
	t.touch(letter.ordered)
	return true, nil
}

// forgetDedup has the dedup key of a letter stand for it no more.
func (t *transaction) forgetDedup(ctx context.Context, id string) error {
	_, err := t.exec(ctx, `DELETE FROM outrider_dedups WHERE letter = $1`, id)
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
	t.count(tallied{upstream: upstream, state: Waiting}, -1, -size)
	t.count(tallied{upstream: upstream, state: Cancelled}, 1, size)
	t.touch(order)
	if err := t.dropBody(ctx, id); err != nil {
		return err
	}
	if err := t.forgetDedup(ctx, id); err != nil {
		return err
	}
	return t.weigh(ctx, tallied{upstream: upstream, state: Cancelled}, id, size)
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
	t.count(letter.tallied(), -1, -letter.Size)
	t.count(tallied{upstream: letter.Upstream, state: Waiting}, 1, letter.Size)
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
		return t.removeOne(ctx, letter)
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
			weight := int64(0)
			for i := range found {
				if weight += found[i].Size; i > 0 && weight > maxWeight {
					found = found[:i]
					return nil
				}
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

// Hurry has letters that wait be due now, and tells how many were not. Where the clock of the
// database was set back by some time, that is taken off when they departed, too. Those that
// were kept in what is the future now were kept now, and expire so much earlier: those that
// were kept since have their whole time. It does so by portions. To do it twice makes what has
// departed look older, which keeps it from being done twice, and takes nobody's time.
func (o *Outbox) Hurry(ctx context.Context, f Filter, back time.Duration) (hurried int, err error) {
	f.States = []string{Waiting}
	hurried, err = o.byPortion(ctx, f, func(ctx context.Context, t *transaction, letter *row) (bool, error) {
		return t.hurry(ctx, letter.ID, back)
	})
	if err != nil {
		return hurried, fmt.Errorf("hurrying letters: %w", err)
	}
	return hurried, nil
}

func (t *transaction) hurry(ctx context.Context, id string, back time.Duration) (hurried bool, err error) {
	rows, err := t.exec(ctx, `UPDATE outrider_letters SET due = {now} WHERE id = $1 AND state = 'waiting' AND due > {now}`, id)
	if err == nil && back > 0 {
		_, err = t.exec(ctx, `UPDATE outrider_letters SET departed = CASE WHEN departed > $1 THEN departed - $1 ELSE departed END
			WHERE id = $2 AND state = 'waiting'`, back.Milliseconds(), id)
		if err == nil {
			_, err = t.exec(ctx, `UPDATE outrider_letters SET created = now.ms, expires = CASE WHEN expires > 0 THEN expires - (created - now.ms) ELSE 0 END
				FROM (SELECT {now} AS ms) AS now WHERE id = $1 AND state = 'waiting' AND created > now.ms`, id)
		}
	}
	return rows > 0, err
}
