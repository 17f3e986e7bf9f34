package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	slotsTable = "slots"

	// maxData bounds what one slot keeps: tokens are some kilobytes.
	maxData = 1 << 20
	// maxID bounds the name of a slot, which every page and log shows.
	maxID = 512
)

// A Slot is the place of one credential's tokens. It has no state of its own:
// two of one id are the same place.
type Slot struct {
	store *Store
	id    string
}

// Slot is the place that is named id, such as "crm/default". The name is kept
// in the clear.
func (s *Store) Slot(id string) *Slot { return &Slot{store: s, id: id} }

// Load gives what is kept; nil when nothing is, and never nil when something is.
func (s *Slot) Load(ctx context.Context) ([]byte, error) {
	data, err := s.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading slot %q: %w", s.id, err)
	}
	return data, nil
}

// slotQuery reads what a slot keeps with the seal of the same moment, so that a value which
// does not open is told apart from a store that was sealed anew.
const slotQuery = `SELECT slot.sealed, seal.salt
	FROM outrider_slots AS slot LEFT JOIN outrider_seal AS seal ON seal.id = 1 WHERE slot.id = $1`

// query looks at the slot. Each credential that is in use does so every few seconds, so that
// to understand the statement each time is half of the work.
func (s *Slot) query(ctx context.Context) *sql.Row {
	if s.store.slot != nil {
		return s.store.slot.QueryRowContext(ctx, s.id)
	}
	return s.store.db.QueryRowContext(ctx, slotQuery, s.id)
}

func (s *Slot) load(ctx context.Context) ([]byte, error) {
	for {
		var sealed, salt []byte
		found, err := s.store.scan(ctx, s.query(ctx), &sealed, &salt)
		if err != nil || !found {
			return nil, err
		}
		seal := s.store.seal.Load()
		if bytes.Equal(salt, seal.salt) {
			data, err := seal.open(slotsTable, s.id, sealed)
			if err != nil {
				return nil, s.store.db.explain(err)
			}
			return data, nil
		}
		if err := s.store.renewSeal(ctx, seal.salt); err != nil {
			return nil, err
		}
	}
}

// Save keeps data, durable (fsynced) when it returns. After an error the slot
// keeps what it kept; only where the context ended, or the disk or the connection
// failed at the last moment, it may be data already. So what cannot be got again, such as a
// token that was rotated, is saved under a context that does not end with a call
// ([context.WithoutCancel]).
func (s *Slot) Save(ctx context.Context, data []byte) error {
	if err := s.save(ctx, data); err != nil {
		return fmt.Errorf("saving slot %q: %w", s.id, err)
	}
	return nil
}

func (s *Slot) save(ctx context.Context, data []byte) error {
	if s.id == "" || len(s.id) > maxID {
		return fmt.Errorf("its name must have 1 to %d bytes", maxID)
	}
	if len(data) > maxData {
		return fmt.Errorf("%d bytes are more than the %d that a slot keeps", len(data), maxData)
	}
	for {
		// Under the seal that it was sealed for, and no other: what is sealed with a
		// key that was replaced a moment ago could not be opened again.
		seal := s.store.seal.Load()
		rows, err := s.store.write(ctx, `INSERT INTO outrider_slots (id, sealed, saved)
			SELECT $1, $2, {now} FROM outrider_seal WHERE salt = $3 {share}
			ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, saved = excluded.saved`,
			s.id, seal.seal(slotsTable, s.id, data), seal.salt)
		if err != nil || rows > 0 {
			return err
		}
		if err := s.store.renewSeal(ctx, seal.salt); err != nil {
			return err
		}
	}
}

// Remove forgets what is kept. It is no error if nothing is. Who holds the
// slot's lock holds it still.
func (s *Slot) Remove(ctx context.Context) error {
	if _, err := s.store.write(ctx, `DELETE FROM outrider_slots WHERE id = $1`, s.id); err != nil {
		return fmt.Errorf("removing slot %q: %w", s.id, err)
	}
	return nil
}

// An Entry is a slot that keeps something.
type Entry struct {
	ID    string
	Saved time.Time // the last time, to the millisecond
}

// List names the slots with when they were saved last, in the order of their
// names.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	entries, err := s.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing slots: %w", s.explain(ctx, err))
	}
	return entries, nil
}

func (s *Store) list(ctx context.Context) (entries []Entry, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, saved FROM outrider_slots ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var entry Entry
		var saved int64
		if err := rows.Scan(&entry.ID, &saved); err != nil {
			return nil, err
		}
		entry.Saved = time.UnixMilli(saved)
		entries = append(entries, entry)
	}
	return entries, rows.Err()
}
