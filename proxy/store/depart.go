package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
)

// Depart notes that a request for the letter goes on the wire, durably when it returns.
// The first time stays, until Later forgets it. ErrLost: the letter is another's, and
// nothing may be sent.
func (h *Holder) Depart(ctx context.Context, id string) error {
	if err := h.depart(ctx, id); err != nil {
		return fmt.Errorf("sending letter %s: %w", id, err)
	}
	return nil
}

func (h *Holder) depart(ctx context.Context, id string) error {
	letter, held := h.find(id)
	if !held {
		return ErrLost
	}
	err := h.outbox.store.commit(ctx, &change{id: id, do: func(ctx context.Context, t *transaction) error {
		rows, err := t.exec(ctx, `UPDATE outrider_letters SET departed = CASE departed WHEN 0 THEN {now} ELSE departed END
			WHERE id = $1 AND holder = $2 AND state = 'waiting'`, id, h.name)
		if err == nil && rows == 0 {
			return refusal{ErrLost}
		}
		return err
	}})
	if errors.Is(err, ErrLost) {
		h.drop(*letter)
	}
	return err
}

// A Later says when a letter is tried again.
type Later struct {
	Delay        time.Duration
	Attempt      []byte    // the record of the attempt, sealed; nil: there was none
	ForgetDepart bool      // it is known that nothing was done
	ResponseHead []byte    // takes the place of an earlier answer, sealed; nil: that stays
	Response     io.Reader // its body; nil: it has none
}

// Later gives a letter back, to be tried again. The record of its attempt and the answer are
// left out where the disk has no room for them. ErrLost; after any other error, such as
// that of reading Response, the letter is still held.
func (h *Holder) Later(ctx context.Context, id string, l Later) error {
	err := h.later(ctx, id, l)
	if h.outbox.store.db.full(err) {
		bare := Later{Delay: l.Delay, ForgetDepart: l.ForgetDepart}
		if l.Attempt != nil {
			bare.Attempt = []byte{} // which counts
		}
		err = h.later(ctx, id, bare)
	}
	if err != nil {
		return fmt.Errorf("giving letter %s back: %w", id, err)
	}
	return nil
}

func (h *Holder) later(ctx context.Context, id string, l Later) error {
	letter, held := h.find(id)
	if !held {
		return ErrLost
	}
	a, err := h.answer(ctx, letter, l.ResponseHead, l.Response)
	if err == nil {
		err = h.outbox.store.commit(ctx, &change{
			id: id, grows: len(l.Attempt) > 0 || l.ResponseHead != nil, weight: len(a.piece),
			do: func(ctx context.Context, t *transaction) error { return t.later(ctx, h.name, letter, l, a) },
		})
	}
	if err == nil || errors.Is(err, ErrLost) {
		h.drop(*letter)
	}
	return err
}

// later gives back a letter that holder holds.
func (t *transaction) later(ctx context.Context, holder string, letter *row, l Later, a answer) error {
	keep := 1
	if l.ForgetDepart {
		keep = 0
	}
	var before int64
	var key, n int
	err := t.row(ctx, `UPDATE outrider_letters SET holder = '', due = {now} + $1, departed = departed * $2, attempts = attempts + $3, records = records + $3
		WHERE id = $4 AND holder = $5 AND state = 'waiting' RETURNING size, key, records`,
		l.Delay.Milliseconds(), keep, attempted(l.Attempt), letter.ID, holder).Scan(&before, &key, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return refusal{ErrLost}
	}
	if err != nil {
		return err
	}
	if len(l.Attempt) == 0 && l.ResponseHead == nil {
		return nil
	}
	if err := t.record(ctx, letter.ID, key, n, l.Attempt); err != nil {
		return err
	}
	if err := t.putAnswer(ctx, letter.ID, key, l.ResponseHead, a); err != nil {
		return err
	}
	return t.weigh(ctx, tallied{upstream: letter.Upstream, state: Waiting}, letter.ID, before)
}

// attempted is how many attempts a record is of.
func attempted(record []byte) int {
	if record == nil {
		return 0
	}
	return 1
}

// record keeps the record of an attempt; an empty one is none.
func (t *transaction) record(ctx context.Context, id string, key, n int, record []byte) error {
	if len(record) == 0 {
		return nil
	}
	sealer, err := t.writerOf(id, key)
	if err != nil {
		return err
	}
	return t.putPieces(ctx, id, sealedPiece{attemptPart, int64(n), sealer.seal(attemptPart, int64(n), true, record)})
}

// writerOf gives the key of a letter that is there.
func (t *transaction) writerOf(id string, key int) (*letterKey, error) {
	sealer, err := t.ring.letter(key, id)
	if errors.Is(err, ErrDamaged) {
		return nil, breach{err}
	}
	return sealer, err
}

// An End says how a letter ends.
type End struct {
	State, Reason string
	Attempt       []byte    // the record of the last attempt, sealed; nil: there was none
	ResponseHead  []byte    // takes the place of an earlier answer, sealed; nil: that stays
	Response      io.Reader // its body; nil: it has none
	Follow        *Follow   // is kept in the same transaction; nil: nothing is
}

// A Follow is a letter that comes of another one's end, such as a callback. It is small,
// and kept although the outbox is full. Its Dedup is as that of any other.
type Follow struct {
	Letter NewLetter
	Body   []byte
}

// End ends a letter that we hold: Delivered, Dead or Cancelled. The body of one that is not
// dead is forgotten; the head stays for as long as the letter.
//
// ErrLost: it is another's. ErrUnrecorded: it has ended, and the disk had no room for
// Attempt and the answer; with a Follow, it has not, and the error says that the disk is
// full. After any other error, such as that of reading Response, it is still held.
func (h *Holder) End(ctx context.Context, id string, e End) error {
	err := h.end(ctx, id, e)
	if h.outbox.store.db.full(err) && e.Follow == nil {
		if err = h.end(ctx, id, End{State: e.State, Reason: e.Reason}); err == nil {
			err = ErrUnrecorded
		}
	}
	if err != nil {
		return fmt.Errorf("ending letter %s: %w", id, err)
	}
	return nil
}

func (h *Holder) end(ctx context.Context, id string, e End) error {
	letter, held := h.find(id)
	if !held {
		return ErrLost
	}
	a, err := h.answer(ctx, letter, e.ResponseHead, e.Response)
	if err == nil {
		err = h.outbox.store.commit(ctx, &change{
			id: id, alone: letter.ordered != nil || e.Follow != nil, grows: e.Attempt != nil || e.ResponseHead != nil || e.Follow != nil,
			weight: len(e.ResponseHead) + len(a.piece),
			do:     func(ctx context.Context, t *transaction) error { return t.end(ctx, h.name, letter, e, a) },
		})
	}
	if err == nil || errors.Is(err, ErrLost) {
		h.drop(*letter)
	}
	return err
}

// An answer is the body of one, as far as it is not kept yet.
type answer struct {
	size     int64 // of all, in bytes
	piece    []byte
	streamed bool // it is kept in pieces already
}

// answer reads the body of the answer. A long one is kept in pieces while it comes: it may
// be as slow as the network.
func (h *Holder) answer(ctx context.Context, letter *row, head []byte, body io.Reader) (a answer, err error) {
	if head == nil {
		return answer{}, nil
	}
	from := cut(body, 0)
	piece, last, err := from.next()
	if err != nil || last {
		return answer{size: from.size, piece: piece}, err
	}
	for n := int64(0); ; n++ {
		if err := h.stream(ctx, letter, n, last, piece); err != nil {
			return answer{}, err
		}
		if last {
			return answer{size: from.size, streamed: true}, nil
		}
		if piece, last, err = from.next(); err != nil {
			return answer{}, err
		}
	}
}

// incomplete is the size of an answer that has not been kept as a whole.
const incomplete = -2

// stream keeps one piece of a long answer.
func (h *Holder) stream(ctx context.Context, letter *row, n int64, last bool, piece []byte) error {
	return h.outbox.store.commit(ctx, &change{id: letter.ID, grows: true, weight: len(piece), do: func(ctx context.Context, t *transaction) error {
		var key int
		var before int64
		err := t.row(ctx, `UPDATE outrider_letters SET answer = $1 WHERE id = $2 AND holder = $3 AND state = 'waiting' RETURNING key, size`,
			incomplete, letter.ID, h.name).Scan(&key, &before)
		if errors.Is(err, sql.ErrNoRows) {
			return refusal{ErrLost}
		}
		if err != nil {
			return err
		}
		if n == 0 {
			if err := t.dropAnswer(ctx, letter.ID); err != nil {
				return err
			}
		}
		sealer, err := t.writerOf(letter.ID, key)
		if err != nil {
			return err
		}
		if err := t.putPieces(ctx, letter.ID, sealedPiece{ansBodyPart, n, sealer.seal(ansBodyPart, n, last, piece)}); err != nil {
			return err
		}
		return t.weigh(ctx, tallied{upstream: letter.Upstream, state: Waiting}, letter.ID, before)
	}})
}

func (t *transaction) dropAnswer(ctx context.Context, id string) error {
	_, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1 AND part IN (3, 4)`, id)
	return err
}

// weigh sets the size of a letter to what its pieces take, and counts the difference.
func (t *transaction) weigh(ctx context.Context, of tallied, id string, before int64) error {
	var size int64
	err := t.row(ctx, `UPDATE outrider_letters SET size = $1 + (SELECT COALESCE(SUM(length(sealed)), 0) FROM outrider_pieces WHERE letter = $2)
		WHERE id = $2 RETURNING size`, rowSize, id).Scan(&size)
	t.count(of, 0, size-before)
	return err
}

// end ends a letter that holder holds.
func (t *transaction) end(ctx context.Context, holder string, letter *row, e End, a answer) error {
	var before int64
	var key, n int
	err := t.row(ctx, `UPDATE outrider_letters SET state = $1, reason = $2, ended = {now}, holder = '', attempts = attempts + $3, records = records + $3
		WHERE id = $4 AND holder = $5 AND state = 'waiting' RETURNING size, key, records`,
		e.State, e.Reason, attempted(e.Attempt), letter.ID, holder).Scan(&before, &key, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return refusal{ErrLost}
	}
	if err != nil {
		return err
	}
	ended := tallied{letter.Upstream, e.State, e.Reason}
	t.count(tallied{upstream: letter.Upstream, state: Waiting}, -1, -before)
	t.count(ended, 1, before)
	if e.State != Dead {
		if err := t.dropBody(ctx, letter.ID); err != nil {
			return err
		}
	}
	if err := t.putAnswer(ctx, letter.ID, key, e.ResponseHead, a); err != nil {
		return err
	}
	if err := t.record(ctx, letter.ID, key, n, e.Attempt); err != nil {
		return err
	}
	if err := t.weigh(ctx, ended, letter.ID, before); err != nil {
		return err
	}
	t.touch(letter.ordered)
	return t.follow(ctx, e.Follow)
}

func (t *transaction) dropBody(ctx context.Context, id string) error {
	_, err := t.exec(ctx, `DELETE FROM outrider_pieces WHERE letter = $1 AND part = 1`, id)
	return err
}

// putAnswer keeps an answer in the place of an earlier one; with no head it leaves that.
func (t *transaction) putAnswer(ctx context.Context, id string, key int, head []byte, a answer) error {
	if head == nil {
		return nil
	}
	sealer, err := t.writerOf(id, key)
	if err != nil {
		return err
	}
	if !a.streamed {
		if err := t.dropAnswer(ctx, id); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `UPDATE outrider_letters SET answer = $1 WHERE id = $2`, a.size, id); err != nil {
		return err
	}
	pieces := []sealedPiece{{ansHeadPart, 0, sealer.seal(ansHeadPart, 0, true, head)}}
	if len(a.piece) > 0 {
		pieces = append(pieces, sealedPiece{ansBodyPart, 0, sealer.seal(ansBodyPart, 0, true, a.piece)})
	}
	return t.putPieces(ctx, id, pieces...)
}

func (t *transaction) follow(ctx context.Context, f *Follow) error {
	if f == nil {
		return nil
	}
	err := f.Letter.check()
	if err == nil {
		_, err = t.keep(ctx, &f.Letter, f.Body, Body{int64(len(f.Body)), sha256.Sum256(f.Body)}, 0)
	}
	if refuses, ok := errors.AsType[refusal](err); ok {
		return breach(refuses)
	}
	return err
}
