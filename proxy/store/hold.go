package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Holder is a sender: what it claimed nobody else sends, until it gives it back or dies.
// It may be used by several goroutines.
//
// One that died is waited for until its lease ends, 30 seconds after it prolonged it last;
// with SQLite it is not waited for on Linux, see witness. One that stands still for as
// long loses its letters to others, and is told so when it asks for something: ErrLost.
// It is the row of the letter that decides, so that of two who believe to hold it only one
// can have it depart. What nobody took meanwhile is its own still; but once its letters were
// freed it claims none any more, under that name: else one that it had before, and that another
// has had depart meanwhile, would be its own again, and whoever was about to send it would not
// know.
type Holder struct {
	outbox *Outbox
	name   string

	stop    context.CancelFunc
	renewed sync.WaitGroup

	mu   sync.Mutex
	held map[string]*row // id → letter
}

// Hold makes this process a sender, until Close. It starts a goroutine that prolongs the
// lease.
func (o *Outbox) Hold(ctx context.Context) (*Holder, error) {
	h := &Holder{outbox: o, name: o.store.db.witness.sign(rand.Text()), held: map[string]*row{}}
	if _, err := o.store.writeLease(ctx, enrolSender, h.name, lease.Milliseconds()); err != nil {
		return nil, fmt.Errorf("becoming a sender of letters: %w", err)
	}
	o.store.lives(h.name, true)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	h.renewed.Go(func() { h.renew(renewing) })
	return h, nil
}

func (h *Holder) renew(ctx context.Context) {
	ticks := time.NewTicker(renewal)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			// If it failed, the next may not.
			_, _ = h.outbox.store.writeLease(ctx, prolongSender, h.name, lease.Milliseconds())
		case <-ctx.Done():
			return
		}
	}
}

const (
	enrolSender   = `INSERT INTO outrider_senders (holder, until) VALUES ($1, {now} + $2)`
	prolongSender = `UPDATE outrider_senders SET until = {now} + $2 WHERE holder = $1`
)

// Close gives back what is still held, and waits for the goroutine.
func (h *Holder) Close(ctx context.Context) error {
	h.stop()
	h.renewed.Wait()
	h.outbox.store.lives(h.name, false)
	if err := h.outbox.free(ctx, h.name, `holder = $1`); err != nil {
		return fmt.Errorf("giving letters back: %w", err)
	}
	return nil
}

// free has a sender be none any more, if that is so by a condition, and gives back its
// letters.
func (o *Outbox) free(ctx context.Context, holder, condition string) error {
	return o.store.commit(ctx, &change{do: func(ctx context.Context, t *transaction) error {
		rows, err := t.exec(ctx, `DELETE FROM outrider_senders WHERE `+condition, holder)
		if err != nil || rows == 0 {
			return err
		}
		_, err = t.exec(ctx, `UPDATE outrider_letters SET holder = '' WHERE holder = $1 AND holder <> ''`, holder)
		return err
	}})
}

// lives notes whether a sender of this store does.
func (s *Store) lives(sender string, lives bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lives {
		s.senders[sender] = struct{}{}
	} else {
		delete(s.senders, sender)
	}
}

func (s *Store) hasLiving(sender string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, lives := s.senders[sender]
	return lives
}

// bury frees the letters of senders that have died, and tells how many senders. Of one that
// only was silent the lease is looked at again by who deletes it: it may have come back. Those
// of this store live, although a machine that was suspended finds their leases over.
func (o *Outbox) bury(ctx context.Context) (buried int, err error) {
	s := o.store
	var silent, gone []string
	err = eachRow(ctx, s.db, func(rows *sql.Rows) error {
		var holder string
		var over bool
		if err := rows.Scan(&holder, &over); err != nil {
			return err
		}
		switch {
		case s.hasLiving(holder): // and prolongs it
		case over:
			silent = append(silent, holder)
		case s.db.witness.gone(holder):
			gone = append(gone, holder)
		}
		return nil
	}, s.db.words.Replace(`SELECT holder, until <= {now} FROM outrider_senders`))
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	for _, holder := range silent {
		err = errors.Join(err, o.free(ctx, holder, `holder = $1 AND until <= {now}`))
	}
	for _, holder := range gone {
		err = errors.Join(err, o.free(ctx, holder, `holder = $1`))
	}
	return len(silent) + len(gone), err
}

// find gives a letter that we hold, as we claimed it.
func (h *Holder) find(id string) (*row, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	letter, known := h.held[id]
	return letter, known
}

func (h *Holder) add(letters []row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range letters {
		h.held[letters[i].ID] = &letters[i]
	}
}

func (h *Holder) drop(letters ...row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, letter := range letters {
		delete(h.held, letter.ID)
	}
}
