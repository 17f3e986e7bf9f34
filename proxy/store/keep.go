package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// silence is how long an arrival may take for a piece before it is given up, where
	// nobody can tell whether it goes on.
	silence = 10 * time.Minute

	// abandonment is how long a batch may stand still.
	abandonment = 24 * time.Hour
)

// Keep keeps a letter. It is durable (fsynced) when Keep returns, and nothing is kept where
// it fails: ErrFull, ErrTooLarge, *ConflictError, the error of body, or what is wrong with
// the database. Only where the database goes away at the last moment, and does not come
// back at once, nobody can tell: ErrUncertain.
//
// A short body is kept with its letter in one transaction, which many share. A longer one
// is kept in pieces while it comes; what breaks off leaves nothing.
func (o *Outbox) Keep(ctx context.Context, l NewLetter, body io.Reader, b Bounds) (Receipt, error) {
	receipt, err := o.keep(ctx, &l, body, b)
	if err != nil {
		return Receipt{}, fmt.Errorf("keeping letter %s: %w", l.ID, err)
	}
	return receipt, nil
}

func (o *Outbox) keep(ctx context.Context, l *NewLetter, body io.Reader, b Bounds) (Receipt, error) {
	if err := l.check(); err != nil {
		return Receipt{}, err
	}
	from := cut(body, b.MaxBody)
	piece, last, err := from.next()
	if err != nil {
		return Receipt{}, err
	}
	if last {
		return o.accept(ctx, l, len(piece), func(ctx context.Context, t *transaction) (Receipt, error) {
			return t.keep(ctx, l, piece, from.body(), b.MaxSize)
		})
	}
	return o.keepArriving(ctx, l, piece, from, b)
}

// check refuses what some engine does not keep.
func (l *NewLetter) check() error {
	for what, name := range map[string]string{"id": l.ID, "upstream": l.Upstream, "lane": l.Lane, "batch": l.Batch} {
		if !keepable(name) {
			return refusal{fmt.Errorf("its %s must be UTF-8 of at most %d bytes, without a zero byte", what, maxID)}
		}
	}
	if l.ID == "" {
		return refusal{errors.New("it has no id")}
	}
	return nil
}

// accept makes the change that a letter appears by. Where the database went away it tries
// again: the letter's id tells whether it appeared.
func (o *Outbox) accept(ctx context.Context, l *NewLetter, weight int, do func(context.Context, *transaction) (Receipt, error)) (receipt Receipt, err error) {
	uncertain, absent := false, false
	write := func() error {
		return o.store.commit(ctx, &change{id: l.ID, alone: true, grows: true, weight: weight, do: func(ctx context.Context, t *transaction) (err error) {
			if uncertain {
				var known bool
				if receipt, known, err = t.receipt(ctx, l.ID); known || err != nil {
					return err
				}
				absent = true
			}
			receipt, err = do(ctx, t)
			return err
		}})
	}
	if err = write(); isUncertain(err) {
		uncertain = true
		if err = write(); err != nil && (!absent || isUncertain(err)) {
			err = fmt.Errorf("%w: %w", ErrUncertain, err)
		}
	}
	return receipt, err
}

// isUncertain reports that a change may have been made although there was no answer.
func isUncertain(err error) bool {
	_, late := errors.AsType[uncommitted](err)
	return late && (errors.Is(err, ErrAway) || errors.Is(err, errUncommitted))
}

// receipt is that of a letter which has appeared.
func (t *transaction) receipt(ctx context.Context, id string) (r Receipt, known bool, err error) {
	var created int64
	err = t.row(ctx, `SELECT id, size, created FROM outrider_letters WHERE id = $1 AND (state <> 'arriving' OR holder = '')`, id).Scan(&r.ID, &r.Size, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	r.Created = time.UnixMilli(created)
	return r, err == nil, err
}

// keep keeps a letter whose body is one piece, unless its dedup key has another one.
func (t *transaction) keep(ctx context.Context, l *NewLetter, piece []byte, body Body, bound int64) (Receipt, error) {
	dedup, earlier, err := t.dedup(ctx, l, body)
	if err != nil || earlier != nil {
		return orNone(earlier), err
	}
	sealer, err := t.ring.letter(t.ring.current, l.ID)
	if err != nil {
		return Receipt{}, err
	}
	head, err := l.Head(body)
	if err != nil {
		return Receipt{}, refusal{err}
	}
	pieces := []sealedPiece{{headPart, 0, sealer.seal(headPart, 0, true, head)}}
	if len(piece) > 0 {
		pieces = append(pieces, sealedPiece{bodyPart, 0, sealer.seal(bodyPart, 0, true, piece)})
	}
	size := int64(rowSize)
	for _, p := range pieces {
		size += int64(len(p.sealed))
	}
	if fits, err := t.fits(ctx, size, bound); err != nil {
		return Receipt{}, err
	} else if !fits {
		return Receipt{}, refusal{ErrFull}
	}
	row := letterRow{state: Waiting, size: size, body: body.Size, dedup: dedup, giveUp: l.Delay}
	if l.Batch != "" {
		row.state, row.giveUp = Arriving, abandonment
	}
	created, err := t.insert(ctx, l, row)
	if err != nil {
		return Receipt{}, err
	}
	if err := t.putPieces(ctx, l.ID, pieces...); err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: l.ID, Size: size, Created: created}, t.remember(ctx, l, dedup, body)
}

func orNone(r *Receipt) Receipt {
	if r == nil {
		return Receipt{}
	}
	return *r
}

// A letterRow is what a letter's row begins with, beside what its NewLetter says.
type letterRow struct {
	state      string
	size, body int64
	holder     string
	dedup      []byte
	giveUp     time.Duration // until it is due
}

// insert adds the row of a letter.
func (t *transaction) insert(ctx context.Context, l *NewLetter, row letterRow) (created time.Time, err error) {
	order, err := t.ring.name("order", l.Order)
	if err != nil {
		return created, err
	}
	turn, seq := 1, "0"
	if order != nil {
		turn, seq = 0, nextOfOrder // until it is settled
		if row.state == Waiting {
			t.touch(order)
		}
	}
	departed := int64(-1)
	if l.Sent {
		departed = l.Departed.Milliseconds()
	}
	var at int64
	err = t.row(ctx, `INSERT INTO outrider_letters (id, upstream, lane, state, reason, created, due, expires, departed, ended,
			attempts, records, size, body, answer, key, version, holder, batch, turn, dedup, ordered, seq)
		SELECT $1, $2, $3, $4, '', now.ms, now.ms + $5, CASE WHEN CAST($6 AS BIGINT) > 0 THEN now.ms + $6 ELSE 0 END, CASE WHEN CAST($7 AS BIGINT) >= 0 THEN now.ms - $7 ELSE 0 END, 0,
			0, 0, $8, $9, -1, $10, 0, $11, $12, $13, $14, CAST($15 AS {bytes}), `+seq+`
		FROM (SELECT {now} AS ms) AS now RETURNING created`,
		l.ID, l.Upstream, l.Lane, row.state, row.giveUp.Milliseconds(), l.MaxAge.Milliseconds(), departed,
		row.size, row.body, t.ring.current, row.holder, l.Batch, turn, row.dedup, order).Scan(&at)
	if err != nil {
		return created, err
	}
	t.count(tallied{upstream: l.Upstream, state: row.state}, 1, row.size)
	return time.UnixMilli(at), nil
}

// dedup gives the hash of a letter's dedup key, and the receipt of the letter that has it:
// of one that is to be sent or was, or of one of the same batch.
func (t *transaction) dedup(ctx context.Context, l *NewLetter, body Body) (key []byte, earlier *Receipt, err error) {
	key, err = t.ring.name("dedup", l.Dedup)
	if err != nil || key == nil {
		return nil, nil, err
	}
	beside, err := t.dedupInBatch(l)
	if err != nil {
		return nil, nil, err
	}
	var created int64
	var fingerprint []byte
	there := Receipt{Duplicate: true}
	err = t.row(ctx, `SELECT dedup.letter, dedup.fingerprint, COALESCE(letter.size, 0), COALESCE(letter.created, 0)
		FROM outrider_dedups AS dedup LEFT JOIN outrider_letters AS letter ON letter.id = dedup.letter
		WHERE dedup.key IN ($1, $2) AND dedup.until > {now} LIMIT 1`, key, beside).Scan(&there.ID, &fingerprint, &there.Size, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return key, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	ours, err := t.fingerprint(l, body)
	if err != nil {
		return nil, nil, err
	}
	if l.Strict && !hmac.Equal(ours, fingerprint) {
		return nil, nil, refusal{&ConflictError{ID: there.ID}}
	}
	there.Created = instant(created)
	return key, &there, nil
}

// dedupInBatch is the key that stands for a letter until its batch is released: within the
// batch, and to nobody else. nil: it has no batch.
func (t *transaction) dedupInBatch(l *NewLetter) ([]byte, error) {
	if l.Batch == "" {
		return nil, nil
	}
	return t.ring.name("dedup in a batch", l.Batch+"\x00"+l.Dedup)
}

func (t *transaction) fingerprint(l *NewLetter, body Body) ([]byte, error) {
	return t.ring.name("request", string(body.SHA256[:])+string(l.Fingerprint))
}

// remember has the dedup key stand for the letter.
func (t *transaction) remember(ctx context.Context, l *NewLetter, key []byte, body Body) error {
	if key == nil {
		return nil
	}
	fingerprint, err := t.fingerprint(l, body)
	if err != nil {
		return err
	}
	counts := l.DedupFor
	if l.Batch != "" {
		counts = abandonment
		if key, err = t.dedupInBatch(l); err != nil {
			return err
		}
	}
	_, err = t.exec(ctx, `INSERT INTO outrider_dedups (key, letter, fingerprint, span, until) VALUES ($1, $2, $3, $4, {now} + $5)
		ON CONFLICT (key) DO UPDATE SET letter = excluded.letter, fingerprint = excluded.fingerprint, span = excluded.span, until = excluded.until`,
		key, l.ID, fingerprint, l.DedupFor.Milliseconds(), counts.Milliseconds())
	return err
}
