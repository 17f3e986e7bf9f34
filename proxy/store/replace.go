package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
)

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
		if err := t.putPieces(ctx, letter.ID, sealedPiece{bodyPart, n, sealer.seal(bodyPart, n, last, piece)}); err != nil {
			return err
		}
		return t.weigh(ctx, letter.tallied(), letter.ID, before)
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
	if err := t.putPieces(ctx, letter.ID, sealedPiece{headPart, int64(version), sealer.seal(headPart, int64(version), true, head)}); err != nil {
		return err
	}
	return t.weigh(ctx, letter.tallied(), letter.ID, before)
}
