package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// An arrival is a letter whose body is still coming.
type arrival struct {
	outbox *Outbox
	letter *NewLetter
	bound  int64  // of all letters
	holder string // who brings it
}

// keepArriving keeps a letter whose body comes in pieces, of which one is here.
func (o *Outbox) keepArriving(ctx context.Context, l *NewLetter, piece []byte, from *cutter, b Bounds) (receipt Receipt, err error) {
	a := arrival{o, l, b.MaxSize, o.store.db.witness.sign(rand.Text())}
	defer func() {
		if err != nil || receipt.Duplicate {
			// The work is done, or given up: whoever waited may be gone. What stays is swept.
			_ = a.giveUp(context.WithoutCancel(ctx))
		}
	}()
	if err := a.begin(ctx); err != nil {
		return Receipt{}, err
	}
	for n, last := int64(0), false; ; n++ {
		if err := a.add(ctx, n, last, piece); err != nil {
			return Receipt{}, err
		}
		if last {
			return a.complete(ctx, from.body())
		}
		if piece, last, err = from.next(); err != nil {
			return Receipt{}, err
		}
	}
}

func (a *arrival) commit(ctx context.Context, weight int, do func(context.Context, *transaction) error) error {
	return a.outbox.store.commit(ctx, &change{id: a.letter.ID, alone: true, grows: true, weight: weight, do: do})
}

func (a *arrival) begin(ctx context.Context) error {
	return a.commit(ctx, 0, func(ctx context.Context, t *transaction) error {
		if fits, err := t.fits(ctx, rowSize, a.bound); err != nil {
			return err
		} else if !fits {
			return refusal{ErrFull}
		}
		_, err := t.insert(ctx, a.letter, letterRow{state: Arriving, size: rowSize, holder: a.holder, giveUp: silence})
		return err
	})
}

// add keeps one piece more.
func (a *arrival) add(ctx context.Context, n int64, last bool, piece []byte) error {
	return a.commit(ctx, len(piece), func(ctx context.Context, t *transaction) error {
		size := int64(len(piece) + sealOverhead)
		if fits, err := t.fits(ctx, size, a.bound); err != nil {
			return err
		} else if !fits {
			return refusal{ErrFull}
		}
		number, err := a.prolong(ctx, t, size)
		if err != nil {
			return err
		}
		sealer, err := t.ring.letter(number, a.letter.ID)
		if err != nil {
			return err
		}
		return t.putPieces(ctx, a.letter.ID, sealedPiece{bodyPart, n, sealer.seal(bodyPart, n, last, piece)})
	})
}

// prolong counts bytes that have arrived, and gives the number of the letter's data key.
// ErrLost: it was swept.
func (a *arrival) prolong(ctx context.Context, t *transaction, size int64) (key int, err error) {
	err = t.row(ctx, `UPDATE outrider_letters SET size = size + $1, due = {now} + $2 WHERE id = $3 AND holder = $4 RETURNING key`,
		size, silence.Milliseconds(), a.letter.ID, a.holder).Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, refusal{fmt.Errorf("%w: its body was too slow", ErrLost)}
	}
	t.count(tallied{upstream: a.letter.Upstream, state: Arriving}, 0, size)
	return key, err
}

// complete has the letter appear.
func (a *arrival) complete(ctx context.Context, body Body) (Receipt, error) {
	return a.outbox.accept(ctx, a.letter, 0, func(ctx context.Context, t *transaction) (Receipt, error) {
		dedup, earlier, err := t.dedup(ctx, a.letter, body)
		if err != nil || earlier != nil {
			return orNone(earlier), err
		}
		head, err := a.letter.Head(body)
		if err != nil {
			return Receipt{}, refusal{err}
		}
		key, err := a.prolong(ctx, t, int64(len(head)+sealOverhead))
		if err != nil {
			return Receipt{}, err
		}
		sealer, err := t.ring.letter(key, a.letter.ID)
		if err != nil {
			return Receipt{}, err
		}
		if err := t.putPieces(ctx, a.letter.ID, sealedPiece{headPart, 0, sealer.seal(headPart, 0, true, head)}); err != nil {
			return Receipt{}, err
		}
		if err := t.remember(ctx, a.letter, dedup, body); err != nil {
			return Receipt{}, err
		}
		return a.appear(ctx, t, body, dedup)
	})
}

// appear makes the letter one that waits, or that waits for its batch.
func (a *arrival) appear(ctx context.Context, t *transaction, body Body, dedup []byte) (receipt Receipt, err error) {
	l, state, due := a.letter, Waiting, a.letter.Delay
	if l.Batch != "" {
		state, due = Arriving, abandonment
	}
	var created int64
	var order []byte
	err = t.row(ctx, `UPDATE outrider_letters SET state = $1, due = {now} + $2, holder = '', body = $3, dedup = $4 WHERE id = $5 RETURNING size, created, ordered`,
		state, due.Milliseconds(), body.Size, dedup, l.ID).Scan(&receipt.Size, &created, &order)
	if err != nil {
		return receipt, err
	}
	if state == Waiting {
		t.count(tallied{upstream: l.Upstream, state: Arriving}, -1, -receipt.Size)
		t.count(tallied{upstream: l.Upstream, state: Waiting}, 1, receipt.Size)
		t.touch(order)
	}
	receipt.ID, receipt.Created = l.ID, time.UnixMilli(created)
	return receipt, nil
}

// giveUp forgets what has arrived.
func (a *arrival) giveUp(ctx context.Context) error {
	return a.outbox.store.commit(ctx, &change{id: a.letter.ID, alone: true, do: func(ctx context.Context, t *transaction) error {
		_, err := t.remove(ctx, `id = $1 AND holder = $2 AND state = 'arriving'`, a.letter.ID, a.holder)
		return err
	}})
}
