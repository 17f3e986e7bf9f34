package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"outrider/proxy/statefile"
)

// A new key file waits beside the old one until what it seals is there; the old one
// is kept afterwards, for copies of the store.
const (
	pendingSuffix = ".new"
	formerSuffix  = ".old"
)

// errRefreshing is a lock that somebody holds.
var errRefreshing = errors.New("somebody refreshes a token")

// Rekeyed says what a Rekey did.
type Rekeyed struct {
	Slots   int      // that are sealed with the new key
	Damaged []string // ids of those that did not open with the old one either, and stay as they are; so do data keys
}

// Rekey seals everything anew, with the key that next gives; nil: one that is made,
// for the file store.key. It is one transaction: after a crash the store is sealed
// with the old key or with the new one, and nothing is lost.
//
// Others may have the store open meanwhile. Whoever holds a lock is waited for, until
// ctx ends: it may be about to save what cannot be got again, and perhaps it will not
// find the new key. Afterwards others read their key again where it comes from. Those
// that do not find the new one there can read, lock and save nothing, and say so; what
// they have goes on.
//
// A new file is written as store.key.new, and becomes store.key when the transaction
// is through; what was there becomes store.key.old. Who opens the store in between
// finds the new key, and finishes that.
func (s *Store) Rekey(ctx context.Context, next func() (string, error)) (Rekeyed, error) {
	return s.rekeyBy(ctx, next, func(string) {})
}

// rekeyBy is Rekey that tells after each step what is done, and each time when it "waits".
func (s *Store) rekeyBy(ctx context.Context, next func() (string, error), done func(step string)) (Rekeyed, error) {
	if next == nil && s.key.file == "" {
		return Rekeyed{}, fmt.Errorf("sealing anew: the key comes from %s: say where the new one is", s.key.from)
	}
	text := ""
	if next != nil {
		var err error
		if text, err = newKeyText(next); err != nil {
			return Rekeyed{}, fmt.Errorf("sealing anew: %w", err)
		}
	}
	pause, waited := pauses(), false
	for {
		result, err := s.tryRekey(ctx, text, done)
		if errors.Is(err, errRefreshing) {
			waited = true
			done("waits")
			if pause(ctx) {
				continue
			}
		}
		if err != nil && waited && ctx.Err() != nil {
			return Rekeyed{}, fmt.Errorf("sealing anew: %w, and has not ended: %w", errRefreshing, context.Cause(ctx))
		}
		return result, err
	}
}

// newKeyText reads the new key, before anything is kept from others: a command may take
// its time, or may need a token of ours.
func newKeyText(next func() (string, error)) (string, error) {
	text, err := next()
	if err != nil {
		return "", err
	}
	if text, err = cleanKey(text); err != nil {
		return "", fmt.Errorf("the new key %w", err)
	}
	return text, nil
}

// tryRekey is Rekey with a new key as text, and nobody who is waited for; "": one that is
// made.
func (s *Store) tryRekey(ctx context.Context, next string, done func(string)) (result Rekeyed, err error) {
	var seal *sealer
	err = s.db.transact(ctx, func(tx *sql.Tx) error {
		result, seal, err = s.reseal(ctx, tx, next, done)
		return err
	})
	if err != nil {
		return Rekeyed{}, fmt.Errorf("sealing anew: %w", s.explain(ctx, err))
	}
	done("committed")
	s.seal.Store(seal)
	if next == "" {
		// A transaction of its own, so that no other Rekey has its pending key there.
		err := s.db.transact(ctx, func(tx *sql.Tx) error { return s.adoptKey(ctx, tx) })
		if err != nil {
			return result, fmt.Errorf("everything is sealed anew, and the key is in %s still: %w", s.key.file+pendingSuffix, s.explain(ctx, err))
		}
		done("adopted")
	}
	return result, nil
}

// reseal does the work of Rekey, in its transaction.
func (s *Store) reseal(ctx context.Context, tx *sql.Tx, next string, done func(string)) (result Rekeyed, by *sealer, err error) {
	// First the seal is taken, and with it everybody who is saving or locking is
	// waited for; who comes later finds another seal.
	if _, err := tx.ExecContext(ctx, `UPDATE outrider_seal SET salt = salt`); err != nil {
		return result, nil, err
	}
	old, err := readSeal(ctx, tx)
	if err != nil {
		return result, nil, err
	}
	from, pending, err := s.findKey(old)
	if err != nil {
		return result, nil, err
	}
	if pending { // of an earlier one that died: before it is written over
		if err := s.adoptKey(ctx, tx); err != nil {
			return result, nil, err
		}
	}
	var held int
	if err := tx.QueryRowContext(ctx, s.db.words.Replace(`SELECT count(*) FROM outrider_leases WHERE until > {now}`)).Scan(&held); err != nil {
		return result, nil, err
	}
	if held > 0 {
		return result, nil, errRefreshing
	}
	row, by, err := s.nextSeal(old, next)
	if err != nil {
		return result, nil, err
	}
	done("key")
	if result, err = resealSlots(ctx, tx, from, by); err != nil {
		return result, nil, err
	}
	damaged, err := resealKeys(ctx, tx, from, by)
	if err != nil {
		return result, nil, err
	}
	result.Damaged = append(result.Damaged, damaged...)
	done("slots")
	_, err = tx.ExecContext(ctx, `UPDATE outrider_seal SET salt = $1, proof = $2`, row.salt, row.proof)
	return result, by, err
}

// nextSeal makes the new seal. A key that is made is on the disk before.
func (s *Store) nextSeal(old sealRow, next string) (row sealRow, by *sealer, err error) {
	if next == "" {
		next = RandomKey()
		if err := replaceSecret(s.key.file+pendingSuffix, []byte(next+"\n")); err != nil {
			return row, nil, err
		}
	}
	if same, err := old.opener(next); err != nil {
		return row, nil, err
	} else if same != nil {
		return row, nil, errors.New("the new key is the one that it is sealed with already")
	}
	return newSeal(next)
}

func resealSlots(ctx context.Context, tx *sql.Tx, from, to *sealer) (result Rekeyed, err error) {
	slots, err := sealedSlots(ctx, tx)
	if err != nil {
		return result, err
	}
	for _, slot := range slots {
		data, err := from.open(slotsTable, slot.id, slot.sealed)
		if err != nil {
			result.Damaged = append(result.Damaged, slot.id)
			continue
		}
		const update = `UPDATE outrider_slots SET sealed = $1 WHERE id = $2`
		if _, err := tx.ExecContext(ctx, update, to.seal(slotsTable, slot.id, data), slot.id); err != nil {
			return result, err
		}
		result.Slots++
	}
	return result, nil
}

type sealedSlot struct {
	id     string
	sealed []byte
}

func sealedSlots(ctx context.Context, tx *sql.Tx) (slots []sealedSlot, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, sealed FROM outrider_slots ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var slot sealedSlot
		if err := rows.Scan(&slot.id, &slot.sealed); err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	return slots, rows.Err()
}

// pendingKey opens a seal with the file that is to become store.key; nil if there is
// none, or it is for another seal.
func (s *Store) pendingKey(row sealRow) *sealer {
	text, err := readKeyFile(s.key.file + pendingSuffix)
	if err == nil {
		text, err = cleanKey(text)
	}
	if err != nil {
		return nil
	}
	opener, err := row.opener(text)
	if err != nil {
		return nil
	}
	return opener
}

// adoptKey makes the pending key file the key file, if it is that of the seal. The
// transaction keeps those away who would write another pending one.
func (s *Store) adoptKey(ctx context.Context, tx *sql.Tx) error {
	row, err := readSeal(ctx, tx)
	if err != nil {
		return err
	}
	if s.pendingKey(row) == nil {
		return nil // somebody has done it
	}
	former, err := readKeyFile(s.key.file)
	if err == nil {
		err = replaceSecret(s.key.file+formerSuffix, []byte(former))
	}
	if err == nil {
		err = os.Rename(s.key.file+pendingSuffix, s.key.file)
	}
	if err != nil {
		return err
	}
	return statefile.SyncDir(filepath.Dir(s.key.file))
}
