package store

import (
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
// one: Open has shown that.
var errChanged = errors.New("its sealed value does not open here: it was changed, or moved from another row; remove it and log in again")

// A sealer encrypts values with AES-256-GCM, bound to the row that they are in.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key from text and the store's own salt, by
// HKDF-SHA256 (RFC 5869). HKDF does not make a weak text strong: it takes no
// time to try one, which is why the key that we make ourselves is random.
func newSealer(text string, salt []byte) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(text), salt, purpose, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// Random nonces are good for 2³² values of one key (NIST SP 800-38D section
	// 8.3): saving one each second, for 136 years.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
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

// unseal gives the sealer of the store, and seals a store that is new.
func (s *Store) unseal(ctx context.Context, key *key) (*sealer, error) {
	row, err := readSeal(ctx, s.db)
	if errors.Is(err, sql.ErrNoRows) {
		row, err = s.makeSeal(ctx, key)
	}
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	text, err := key.read()
	if key.file != "" && errors.Is(err, fs.ErrNotExist) {
		// Making another would not open what is kept.
		return nil, fmt.Errorf("%s is sealed and its key is missing: put %s back, or set %s", s.path, key.from, variable)
	}
	if err != nil {
		return nil, err
	}
	sealer, err := newSealer(text, row.salt)
	if err != nil {
		return nil, err
	}
	if _, err := sealer.open(sealTable, proofID, row.proof); err != nil {
		return nil, fmt.Errorf("the key does not open this store; it comes from %s (%s)", key.from, s.path)
	}
	return sealer, nil
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readSeal(ctx context.Context, from rowQuerier) (row sealRow, err error) {
	err = from.QueryRowContext(ctx, `SELECT salt, proof FROM seal`).Scan(&row.salt, &row.proof)
	return row, err
}

// makeSeal seals a new store. The transaction keeps other processes from it, so
// that all agree on one key and one salt; the key is on the disk before what it
// seals.
func (s *Store) makeSeal(ctx context.Context, key *key) (row sealRow, err error) {
	err = transact(ctx, s.db, func(tx *sql.Tx) error {
		row, err = readSeal(ctx, tx)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		row, err = newSealRow(key)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO seal (id, salt, proof) VALUES (1, $1, $2)`, row.salt, row.proof)
		return err
	})
	return row, err
}

func newSealRow(key *key) (row sealRow, err error) {
	text, err := key.readOrMake()
	if err != nil {
		return row, err
	}
	row.salt = make([]byte, saltSize)
	_, _ = rand.Read(row.salt) // it never fails
	sealer, err := newSealer(text, row.salt)
	if err != nil {
		return row, err
	}
	row.proof = sealer.seal(sealTable, proofID, []byte(proof))
	return row, nil
}
