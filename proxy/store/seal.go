package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
)

const (
	sealTable = "seal"

	// purpose is part of the key that is derived, so that the same text may
	// seal other things under other purposes (RFC 5869 section 3.2).
	purpose = "outrider store 1"

	keySize  = 32 // AES-256
	saltSize = 32 // as long as the hash of HKDF (RFC 5869 section 3.1)

	// proofID and proof are the sealed value that tells a wrong key apart.
	proofID, proof = "proof", "the key opens this store"
)

// errChanged is what a value that does not open is told as. The key is the right
// one: the proof has shown that.
var errChanged = errors.New("its sealed value does not open here: it was changed, or moved from another row; remove it and log in again")

// A sealer encrypts values with AES-256-GCM, bound to the row that they are in.
type sealer struct {
	aead cipher.AEAD
	salt []byte // of the seal that it is for, which no other has
}

// newSealer derives the key from text and the store's own salt, by
// HKDF-SHA256 (RFC 5869). HKDF does not make a weak text strong: it takes no
// time to try one, which is why the key that we make ourselves is random.
func newSealer(text string, salt []byte) (*sealer, error) {
	// Random nonces are good for 2³² values of one key (NIST SP 800-38D section
	// 8.3): saving one each second, for 136 years.
	aead, err := derive([]byte(text), salt, purpose)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, salt}, nil
}

// derive gives what seals for a purpose: AES-256-GCM with random nonces, under a key that
// HKDF makes of a secret.
func derive(secret, salt []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, purpose, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s *sealer) seal(table, id string, data []byte) []byte {
	return s.aead.Seal(nil, nil, data, place(table, id)) //nolint:gosec // G407: it makes its own nonce, and wants none
}

func (s *sealer) open(table, id string, sealed []byte) ([]byte, error) {
	data, err := s.aead.Open([]byte{}, nil, sealed, place(table, id))
	if err != nil {
		return nil, errChanged
	}
	return data, nil
}

// place names a row. No name of a table has a zero byte, so that no two rows
// have the same.
func place(table, id string) []byte { return []byte(table + "\x00" + id) }

// A sealRow is what the store keeps in order to know its key again.
type sealRow struct{ salt, proof []byte }

// opener gives the sealer of a seal, if text is its key; nil if it is not.
func (r sealRow) opener(text string) (*sealer, error) {
	sealer, err := newSealer(text, r.salt)
	if err != nil {
		return nil, err
	}
	if _, err := sealer.open(sealTable, proofID, r.proof); err != nil {
		return nil, nil //nolint:nilerr // another key is an answer
	}
	return sealer, nil
}

// unseal finds the key of the store, and seals a store that is new.
func (s *Store) unseal(ctx context.Context) error {
	row, err := readSeal(ctx, s.db)
	if errors.Is(err, sql.ErrNoRows) {
		row, err = s.makeSeal(ctx)
	}
	if err != nil {
		return s.explain(ctx, err)
	}
	return s.useSeal(ctx, row)
}

// renewSeal looks whether the store was sealed anew since its seal had this salt,
// and goes on with the new key.
func (s *Store) renewSeal(ctx context.Context, salt []byte) error {
	row, err := readSeal(ctx, s.db)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: its seal is gone: somebody has emptied it; put a copy back, or restart Outrider to begin anew", s.db.place)
	}
	if err != nil {
		return s.explain(ctx, err)
	}
	if bytes.Equal(row.salt, salt) {
		return nil
	}
	return s.useSeal(ctx, row)
}

// useSeal reads the key, and goes on with it if it is that of the seal.
func (s *Store) useSeal(ctx context.Context, row sealRow) error {
	sealer, pending, err := s.findKey(row)
	for err != nil {
		// Was it sealed anew after its seal was read, and before the key was?
		now, failed := readSeal(ctx, s.db)
		if failed != nil || bytes.Equal(now.salt, row.salt) {
			return err
		}
		row = now
		sealer, pending, err = s.findKey(row)
	}
	if pending {
		// If that fails, the next one who looks for the key finds it as we did.
		_ = s.db.transact(ctx, func(tx *sql.Tx) error { return s.adoptKey(ctx, tx) })
	}
	s.seal.Store(sealer)
	return nil
}

// findKey reads the key of a seal. It is pending where it is in the file that is to
// take the place of store.key: see Rekey.
func (s *Store) findKey(row sealRow) (found *sealer, pending bool, err error) {
	found, err = s.tryKey(row)
	if found != nil || err != nil {
		return found, false, err
	}
	if s.key.file != "" {
		if found = s.pendingKey(row); found != nil {
			return found, true, nil
		}
		// It may have taken its place after we looked there.
		if found, err = s.tryKey(row); found != nil || err != nil {
			return found, false, err
		}
	}
	return nil, false, keyError{fmt.Errorf("the key does not open this store; it comes from %s (%s): it was sealed with another one, by another Outrider or since: %s",
		s.key.from, s.db.place, s.key.cure)}
}

// tryKey reads the key where it comes from; nil if it is that of another seal.
func (s *Store) tryKey(row sealRow) (*sealer, error) {
	text, err := s.key.read()
	if s.key.file != "" && errors.Is(err, fs.ErrNotExist) {
		// Making another would not open what is kept.
		return nil, keyError{fmt.Errorf("%s is sealed and its key is missing: put %s back (the Outrider that sealed it has it), or give the key by %s or [store] key",
			s.db.place, s.key.from, variable)}
	}
	if err != nil {
		return nil, err
	}
	return row.opener(text)
}

func readSeal(ctx context.Context, from rowQuerier) (row sealRow, err error) {
	err = from.QueryRowContext(ctx, `SELECT salt, proof FROM outrider_seal`).Scan(&row.salt, &row.proof)
	return row, err
}

// makeSeal seals a new store. The transaction keeps other processes from it, so
// that all agree on one key and one salt; the key is on the disk before what it
// seals.
func (s *Store) makeSeal(ctx context.Context) (row sealRow, err error) {
	err = s.db.transact(ctx, func(tx *sql.Tx) error {
		row, err = readSeal(ctx, tx)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		text, err := s.key.readOrMake()
		if err != nil {
			return err
		}
		if row, _, err = newSeal(text); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO outrider_seal (id, salt, proof) VALUES (1, $1, $2)`, row.salt, row.proof)
		return err
	})
	return row, err
}

func newSeal(text string) (row sealRow, by *sealer, err error) {
	row.salt = make([]byte, saltSize)
	_, _ = rand.Read(row.salt) // it never fails
	by, err = newSealer(text, row.salt)
	if err != nil {
		return row, nil, err
	}
	row.proof = by.seal(sealTable, proofID, []byte(proof))
	return row, by, nil
}
