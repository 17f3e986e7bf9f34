package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

const (
	keysTable = "data keys"

	// nameKey is the number of the key of names. It is never replaced: a name must have the
	// hash that it had.
	nameKey = 0

	// letterPurpose is that of the keys of letters: see purpose.
	letterPurpose = "outrider letter 1"
)

// A ring is the data keys of the store, opened. It never changes.
type ring struct {
	salt    []byte         // of the seal that it was opened with
	keys    map[int][]byte // number → key
	current int            // number of the one for letters from now on; 0: there is none
}

// letter gives the key of a letter, by the number of its data key. Each letter has a key of its own, so that
// no data key seals more values than random nonces are good for.
func (r *ring) letter(number int, id string) (*letterKey, error) {
	key, known := r.keys[number]
	if !known || number == nameKey {
		return nil, ErrDamaged
	}
	aead, err := derive(key, nil, letterPurpose+"\x00"+id)
	if err != nil {
		return nil, err
	}
	return &letterKey{aead}, nil
}

// opener gives the key of a letter that is there; of one whose data key is damaged, or unknown,
// a key that opens nothing.
func (r *ring) opener(of *row) (*letterKey, error) {
	key, err := r.letter(of.key, of.ID)
	if errors.Is(err, ErrDamaged) {
		return &letterKey{}, nil
	}
	return key, err
}

// name gives the hash by which a name is found, and not read. What it is the name of is
// part of it. nil for no name.
func (r *ring) name(of, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key, known := r.keys[nameKey]
	if !known {
		return nil, errors.New("the key of the outbox's names does not open: it was changed in the store; put a copy back")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(of + "\x00" + text))
	return mac.Sum(nil), nil
}

// writingRing gives the keys that letters are written with, and makes what is missing.
func (s *Store) writingRing(ctx context.Context) (*ring, error) {
	for {
		seal := s.seal.Load()
		if known := s.ring.Load(); known != nil && known.current > 0 && bytes.Equal(known.salt, seal.salt) {
			return known, nil
		}
		opened, err := s.openRing(ctx)
		if err == nil && opened.current == 0 {
			err = s.makeKeys(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readingRing gives the keys with the one of a number, if there is such a one.
func (s *Store) readingRing(ctx context.Context, number int) (*ring, error) {
	if known := s.ring.Load(); known != nil && known.keys[number] != nil {
		return known, nil
	}
	return s.openRing(ctx)
}

// openRing reads the keys. One that does not open is left out, and with it what it sealed.
func (s *Store) openRing(ctx context.Context) (*ring, error) {
	for {
		seal := s.seal.Load()
		opened, err := readRing(ctx, s.db, seal)
		if errors.Is(err, errResealed) {
			if err := s.renewSeal(ctx, seal.salt); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, s.explain(ctx, err)
		}
		s.ring.Store(opened)
		return opened, nil
	}
}

// readRing reads keys that are sealed by a seal.
func readRing(ctx context.Context, from querier, by *sealer) (*ring, error) {
	opened := &ring{salt: by.salt, keys: map[int][]byte{}}
	newest := 0
	err := eachRow(ctx, from, func(rows *sql.Rows) error {
		var salt, sealed []byte
		var number sql.NullInt64
		if err := rows.Scan(&salt, &number, &sealed); err != nil {
			return err
		}
		if !bytes.Equal(salt, by.salt) {
			return errResealed
		}
		if !number.Valid {
			return nil
		}
		newest = max(newest, int(number.Int64))
		key, err := by.open(keysTable, strconv.FormatInt(number.Int64, 10), sealed)
		if err == nil && len(key) == keySize {
			opened.keys[int(number.Int64)] = key
		}
		return nil
	}, `SELECT seal.salt, key.id, key.sealed FROM outrider_seal AS seal LEFT JOIN outrider_data_keys AS key ON key.id >= 0`)
	if opened.keys[newest] != nil {
		opened.current = newest
	}
	return opened, err
}

// makeKeys makes the key of names, where there is none, and a new data key.
func (s *Store) makeKeys(ctx context.Context) error {
	err := s.db.transact(ctx, func(tx *sql.Tx) error {
		row, err := readSeal(ctx, tx)
		if err != nil {
			return err
		}
		seal := s.seal.Load()
		if !bytes.Equal(row.salt, seal.salt) {
			return nil // and so they are read again
		}
		there, err := readRing(ctx, tx, seal)
		if err != nil || there.current > 0 {
			return err
		}
		next, err := nextKey(ctx, tx)
		if err != nil {
			return err
		}
		return addKey(ctx, tx, seal, next)
	})
	if err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// nextKey is the number of the next data key; 0: there is none so far, not even that of names.
func nextKey(ctx context.Context, tx *sql.Tx) (next int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(id) + 1, 0) FROM outrider_data_keys`).Scan(&next)
	return next, err
}

// addKey makes a new data key, sealed by a seal, and the key of names before the first.
func addKey(ctx context.Context, tx *sql.Tx, by *sealer, next int) error {
	for _, number := range slices.Compact([]int{next, max(next, 1)}) {
		key := make([]byte, keySize)
		_, _ = rand.Read(key) // it never fails
		const insert = `INSERT INTO outrider_data_keys (id, sealed) VALUES ($1, $2)`
		if _, err := tx.ExecContext(ctx, insert, number, by.seal(keysTable, strconv.Itoa(number), key)); err != nil {
			return err
		}
	}
	return nil
}

// resealKeys seals the data keys anew, drops those that no letter needs, and makes one for
// the letters to come. It names those that do not open, which stay as they are.
func resealKeys(ctx context.Context, tx *sql.Tx, from, to *sealer) (damaged []string, err error) {
	// Before some are dropped: who knows one of them must not take the new one for it.
	next, err := nextKey(ctx, tx)
	if err != nil || next == 0 {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM outrider_data_keys
		WHERE id > 0 AND NOT EXISTS (SELECT 1 FROM outrider_letters AS letter WHERE letter.key = outrider_data_keys.id)`); err != nil {
		return nil, err
	}
	sealed := map[int][]byte{} // number → sealed key
	each := func(rows *sql.Rows) error {
		var number int
		var value []byte
		err := rows.Scan(&number, &value)
		sealed[number] = value
		return err
	}
	if err := eachRow(ctx, tx, each, `SELECT id, sealed FROM outrider_data_keys`); err != nil {
		return nil, err
	}
	for number, value := range sealed {
		place := strconv.Itoa(number)
		key, err := from.open(keysTable, place, value)
		if err != nil {
			damaged = append(damaged, fmt.Sprintf("data key %d of the outbox", number))
			continue
		}
		const update = `UPDATE outrider_data_keys SET sealed = $1 WHERE id = $2`
		if _, err := tx.ExecContext(ctx, update, to.seal(keysTable, place, key), number); err != nil {
			return nil, err
		}
	}
	return damaged, addKey(ctx, tx, to, next)
}
