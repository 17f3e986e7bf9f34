package store

import (
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
)

// What is sealed of a letter is in pieces, so that a body of any length is never in
// memory as a whole. Each is bound to its letter, its part, its number, and to being the
// last one: none can be changed, moved, or left out.

// The parts of a letter.
const (
	headPart     = iota // one piece, numbered with the version
	bodyPart            // numbered from the version on: see firstOf
	attemptPart         // a piece for each record, from 1 on
	ansHeadPart         // one piece
	ansBodyPart         // from 0 on
	perVersion   = 1 << 20
	pieceSize    = 256 << 10
	sealOverhead = 12 + 16 // nonce and tag of AES-GCM

	// rowSize is about what a letter takes beside its pieces: its row, and that it can be found.
	rowSize = 512
)

// firstOf is the number of the first piece of a body: those of another version have others.
func firstOf(version int) int64 { return int64(version) * perVersion }

// A letterKey seals the pieces of one letter. The zero letterKey opens none.
type letterKey struct{ aead cipher.AEAD }

func (k *letterKey) seal(part int, n int64, last bool, data []byte) []byte {
	return k.aead.Seal(nil, nil, data, placeOfPiece(part, n, last)) //nolint:gosec // G407: it makes its own nonce, and wants none
}

func (k *letterKey) open(part int, n int64, last bool, sealed []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, ErrDamaged
	}
	data, err := k.aead.Open([]byte{}, nil, sealed, placeOfPiece(part, n, last))
	if err != nil {
		return nil, ErrDamaged
	}
	return data, nil
}

// placeOfPiece names a piece within its letter, whose name is in the key.
func placeOfPiece(part int, n int64, last bool) []byte {
	return fmt.Appendf(nil, "%d %d %t", part, n, last)
}

// A sealedPiece is one that is to be kept.
type sealedPiece struct {
	part   int
	n      int64
	sealed []byte
}

// putPieces keeps pieces of a letter.
func (t *transaction) putPieces(ctx context.Context, id string, pieces ...sealedPiece) error {
	args := []any{id}
	var values []string
	for _, p := range pieces {
		n := len(args)
		values = append(values, fmt.Sprintf("($1, $%d, $%d, $%d)", n+1, n+2, n+3))
		args = append(args, p.part, p.n, p.sealed)
	}
	_, err := t.exec(ctx, `INSERT INTO outrider_pieces (letter, part, n, sealed) VALUES `+strings.Join(values, ", "), args...)
	return err
}

// A cutter cuts what it reads into pieces.
type cutter struct {
	from  io.Reader
	limit int64 // 0: none
	size  int64
	hash  hash.Hash
	ahead []byte // read of the next piece already
}

func cut(from io.Reader, limit int64) *cutter {
	return &cutter{from: from, limit: limit, hash: sha256.New()}
}

// next gives a piece, and whether it is the last one: it reads one byte of the next to
// know. Of an empty body the only piece is empty. ErrTooLarge.
func (c *cutter) next() (piece []byte, last bool, err error) {
	if c.from == nil {
		return nil, true, nil
	}
	room := int64(pieceSize + 1 - len(c.ahead))
	if c.limit > 0 {
		room = min(room, c.limit-c.size-int64(len(c.ahead))+1)
	}
	read, err := io.ReadAll(io.LimitReader(c.from, room))
	if err != nil {
		return nil, false, fmt.Errorf("reading it: %w", err)
	}
	piece = append(c.ahead, read...)
	c.ahead = nil
	last = int64(len(read)) < room
	if c.limit > 0 && c.size+int64(len(piece)) > c.limit {
		return nil, false, fmt.Errorf("%w: %d bytes", ErrTooLarge, c.limit)
	}
	if !last {
		c.ahead = []byte{piece[pieceSize]}
		piece = piece[:pieceSize]
	}
	c.size += int64(len(piece))
	c.hash.Write(piece)
	return piece, last, nil
}

// body is what was read.
func (c *cutter) body() (b Body) {
	b.Size = c.size
	c.hash.Sum(b.SHA256[:0])
	return b
}

// A pieceReader reads a part piece by piece. It holds no connection between them. Close may
// come while a Read is under way, as it does to the body of a request whose time is over, and
// ends it.
type pieceReader struct {
	ctx   context.Context // governs the reads, as that of a response's body
	end   context.CancelFunc
	store *Store
	id    string
	key   *letterKey
	part  int

	mu    sync.Mutex // held while one reads
	next  int64
	left  int64 // bytes that are not opened yet
	piece []byte
	err   error
}

func (r *pieceReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.piece) == 0 && r.err == nil {
		r.err = r.fetch()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

func (r *pieceReader) Close() error {
	r.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.piece, r.err = nil, errors.New("it is closed")
	return nil
}

func (r *pieceReader) fetch() error {
	if r.left == 0 {
		return io.EOF
	}
	var sealed []byte
	err := r.store.db.QueryRowContext(r.ctx, `SELECT sealed FROM outrider_pieces WHERE letter = $1 AND part = $2 AND n = $3`, r.id, r.part, r.next).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading letter %s: %w", r.id, ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("reading letter %s: %w", r.id, r.store.explain(r.ctx, err))
	}
	r.piece, err = r.key.open(r.part, r.next, r.left <= pieceSize, sealed)
	if err == nil && int64(len(r.piece)) != min(r.left, pieceSize) {
		err = ErrDamaged
	}
	if err != nil {
		return fmt.Errorf("reading letter %s: %w", r.id, err)
	}
	r.left -= int64(len(r.piece))
	r.next++
	return nil
}
