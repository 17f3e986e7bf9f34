package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// A Lane is one with letters that wait and that nobody holds.
type Lane struct {
	Name, Upstream string
	Due            time.Duration // until the first of them is due, from now; 0 or less: it is
}

// Lanes gives them in the order of their names, and what time it is by the clock of the
// database. It costs by lanes, and not by letters.
//
// Before, it frees the letters of senders that have died; and where skipDead says so, those
// whose order key a dead letter holds, a portion each time. Otherwise these wait until the
// dead one is requeued, dropped or forgotten.
func (h *Holder) Lanes(ctx context.Context, skipDead bool) (lanes []Lane, now time.Time, err error) {
	if _, err = h.outbox.bury(ctx); err == nil {
		err = h.collect(ctx)
	}
	if err == nil && skipDead {
		err = h.outbox.skipDead(ctx)
	}
	if err == nil {
		lanes, now, err = h.outbox.lanes(ctx)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("looking for letters: %w", err)
	}
	return lanes, now, nil
}

func (o *Outbox) lanes(ctx context.Context) (lanes []Lane, now time.Time, err error) {
	s := o.store
	var ms int64
	if err := s.db.QueryRowContext(ctx, s.db.words.Replace(`SELECT {now}`)).Scan(&ms); err != nil {
		return nil, now, s.explain(ctx, err)
	}
	each := func(rows *sql.Rows) error {
		var lane Lane
		var due int64
		err := rows.Scan(&lane.Name, &lane.Upstream, &due)
		lane.Due = time.Duration(due-ms) * time.Millisecond
		lanes = append(lanes, lane)
		return err
	}
	// From each name to the next, by the index: a skip scan.
	const open = ` FROM outrider_letters WHERE state = 'waiting' AND holder = '' AND turn = 1 AND lane `
	const first = ` ORDER BY lane, due, id LIMIT 1` // as the index has them
	if err := eachRow(ctx, s.db, each, `WITH RECURSIVE lanes (name) AS (
			SELECT (SELECT lane`+open+`>= ''`+first+`)
			UNION ALL SELECT (SELECT lane`+open+`> name`+first+`) FROM lanes WHERE name IS NOT NULL)
		SELECT name, (SELECT upstream`+open+`= name`+first+`), (SELECT due`+open+`= name`+first+`)
		FROM lanes WHERE name IS NOT NULL`); err != nil {
		return nil, now, s.explain(ctx, err)
	}
	return lanes, time.UnixMilli(ms), nil
}

// skipDead gives letters their turn that a dead one holds, if there are any.
func (o *Outbox) skipDead(ctx context.Context) error {
	var some bool
	if err := o.store.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM outrider_letters WHERE state = 'waiting' AND turn = 2)`).Scan(&some); err != nil {
		return o.store.explain(ctx, err)
	}
	if !some {
		return nil
	}
	return o.store.commit(ctx, &change{alone: true, do: func(ctx context.Context, t *transaction) error { return t.skipDead(ctx) }})
}

// Claim takes letters of a lane that are due, those that have waited longest first, at most
// so many. One that is Expired or Damaged is among them, to be ended by whoever claims it.
// Of an order key it is the first one that has not ended.
//
// Each is held until Later or End; after an error of these it still is, and they are to be
// tried again. ErrLost: this sender was taken for dead, and claims nothing any more; another
// Hold is another one.
func (h *Holder) Claim(ctx context.Context, lane string, limit int) ([]Stored, error) {
	return h.claim(ctx, dueLetters, lane, min(limit, portion))
}

const (
	dueLetters = `SELECT id FROM outrider_letters WHERE lane = $1 AND state = 'waiting' AND holder = '' AND turn = 1 AND due <= (SELECT {now})
		ORDER BY due, id LIMIT $2 {skip}`

	expired        = ` FROM outrider_letters WHERE state = 'waiting' AND holder = '' AND expires > 0 AND expires <= (SELECT {now} - $1) `
	expiredLetters = `SELECT id` + expired + `ORDER BY expires LIMIT $2 {skip}`
)

// ClaimExpired takes letters that are by grace older than they may be, due or not, of any lane,
// at most so many.
func (h *Holder) ClaimExpired(ctx context.Context, grace time.Duration, limit int) ([]Stored, error) {
	s := h.outbox.store
	var some bool
	late := grace.Milliseconds()
	if err := s.db.QueryRowContext(ctx, s.db.words.Replace(`SELECT EXISTS (SELECT 1`+expired+`)`), late).Scan(&some); err != nil {
		return nil, fmt.Errorf("claiming letters: %w", s.explain(ctx, err))
	}
	if !some {
		return nil, nil
	}
	return h.claim(ctx, expiredLetters, late, min(limit, portion))
}

// claim takes the letters whose ids a query gives.
func (h *Holder) claim(ctx context.Context, picked string, args ...any) (claimed []Stored, err error) {
	s := h.outbox.store
	var letters []row
	// As MATERIALIZED it runs once, and locks no more than it may.
	take := fmt.Sprintf(`WITH picked AS MATERIALIZED (%s) UPDATE outrider_letters SET holder = $%d WHERE id IN (SELECT id FROM picked) RETURNING %s`,
		picked, len(args)+1, letterColumns)
	err = s.commit(ctx, &change{do: func(ctx context.Context, t *transaction) error {
		// The row of the lease is ours until this ends, so that nobody buries us meanwhile, and
		// leaves behind what we claim now.
		rows, err := t.exec(ctx, prolongSender, h.name, lease.Milliseconds())
		if err == nil && rows == 0 {
			return refusal{ErrLost}
		}
		if err != nil {
			return err
		}
		h.drop(letters...)
		if letters, err = s.readLetters(ctx, t.tx, take, append(args, h.name)...); err != nil {
			return err
		}
		slices.SortFunc(letters, func(a, b row) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
		h.add(letters) // before it is known, so that collect gives none of them back
		return readHeads(ctx, t.tx, letters, func(of *row) (*letterKey, error) { return t.openLetter(ctx, of) })
	}})
	if err != nil {
		h.drop(letters...)
		return nil, fmt.Errorf("claiming letters: %w", err)
	}
	for _, letter := range letters {
		claimed = append(claimed, letter.Stored)
	}
	return claimed, nil
}

// collect gives back what is held in our name and not known to us: a claim took it whose answer
// was lost.
func (h *Holder) collect(ctx context.Context) error {
	s := h.outbox.store
	strays, err := h.strays(ctx, s.db, ``)
	if err != nil {
		return s.explain(ctx, err)
	}
	if len(strays) == 0 {
		return nil
	}
	return s.commit(ctx, &change{do: func(ctx context.Context, t *transaction) error {
		// Once more: what is read is locked now, so that it is known to us if it was claimed.
		strays, err := h.strays(ctx, t.tx, `{skip}`)
		for _, id := range strays {
			if err == nil {
				_, err = t.exec(ctx, `UPDATE outrider_letters SET holder = '' WHERE id = $1`, id)
			}
		}
		return err
	}})
}

func (h *Holder) strays(ctx context.Context, from querier, lock string) (ids []string, err error) {
	words := h.outbox.store.db.words
	err = eachRow(ctx, from, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		if _, known := h.find(id); !known {
			ids = append(ids, id)
		}
		return err
	}, words.Replace(`SELECT id FROM outrider_letters WHERE holder = $1 AND holder <> '' ORDER BY id `+lock), h.name)
	return ids, err
}
