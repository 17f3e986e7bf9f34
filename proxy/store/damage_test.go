package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"outrider/proxy/store"
)

// damaged says what of a letter does not open.
func damaged(t *testing.T, o *store.Outbox, id string) (parts []string) {
	t.Helper()
	l, err := o.Get(t.Context(), id)
	must(t, err)
	if l.Damaged {
		parts = append(parts, "head")
	}
	whole := func(part string, open func() (io.ReadCloser, error)) {
		from, err := open()
		if err == nil {
			_, err = io.Copy(io.Discard, from)
		}
		if errors.Is(err, store.ErrDamaged) {
			parts = append(parts, part)
		} else if err != nil {
			t.Error(err)
		}
	}
	whole("body", func() (io.ReadCloser, error) { return o.Body(t.Context(), id) })
	whole("answer", func() (io.ReadCloser, error) { _, from, err := o.Response(t.Context(), id); return from, err })
	records, err := o.Attempts(t.Context(), id)
	must(t, err)
	for _, record := range records {
		if record == nil {
			parts = append(parts, "record")
		}
	}
	return parts
}

// TestFlippedBitIsFoundInItsLetterAlone flips one bit of each sealed piece in turn, at
// random places, and moves pieces to where they do not belong: that letter is known to be
// damaged, and what it was is never taken for another; the others are as they were.
func TestFlippedBitIsFoundInItsLetterAlone(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		holder := hold(t, o)
		long := strings.Repeat("0123456789abcdef", 40_000)
		for _, id := range []string{"a", "b"} {
			keep(t, o, letter(id), long)
			wantIDs(t, claim(t, holder, 1), id)
			must(t, holder.Later(t.Context(), id, store.Later{Attempt: []byte("first")}))
			wantIDs(t, claim(t, holder, 1), id)
			must(t, holder.End(t.Context(), id, store.End{State: store.Dead, Attempt: []byte("second"), ResponseHead: []byte("400"), Response: strings.NewReader(long)}))
		}
		pieces, err := opened.Pieces(t.Context(), "a")
		if err != nil || len(pieces) != 1+3+2+1+3 {
			t.Fatalf("there are %d pieces, %v", len(pieces), err)
		}
		for _, piece := range pieces {
			for range 5 {
				changed := append([]byte(nil), piece.Sealed...)
				changed[rand.IntN(len(changed))] ^= 1 << rand.IntN(8)
				must(t, opened.PutPiece(t.Context(), piece, changed))
				if found := damaged(t, o, "a"); len(found) != 1 || found[0] != piece.Name() {
					t.Errorf("piece %s %d is changed, and found were %q", piece.Name(), piece.N, found)
				}
			}
			for what, sealed := range map[string][]byte{"empty": {}, "another piece": pieces[(piece.At+1)%len(pieces)].Sealed, "cut off": piece.Sealed[:len(piece.Sealed)-1]} {
				must(t, opened.PutPiece(t.Context(), piece, sealed))
				if found := damaged(t, o, "a"); len(found) != 1 || found[0] != piece.Name() {
					t.Errorf("piece %s %d is %s, and found were %q", piece.Name(), piece.N, what, found)
				}
			}
			must(t, opened.PutPiece(t.Context(), piece, piece.Sealed))
		}
		for _, id := range []string{"a", "b"} {
			if found := damaged(t, o, id); len(found) != 0 || body(t, o, id) != long {
				t.Errorf("of %s: %q", id, found)
			}
		}
		for _, statement := range []string{
			`DELETE FROM outrider_pieces WHERE letter = 'a' AND part = 1 AND n = 1`,
			`UPDATE outrider_letters SET body = 262144 WHERE id = 'b'`, // as if it were shorter
		} {
			must(t, opened.Exec(t.Context(), statement))
		}
		for _, id := range []string{"a", "b"} {
			if found := damaged(t, o, id); len(found) != 1 || found[0] != "body" {
				t.Errorf("of %s: %q", id, found)
			}
		}
	})
}

// TestDamagedLetterIsClaimedToBeEnded, and does not keep the others from being sent, even
// where the key that sealed it is damaged.
func TestDamagedLetterIsClaimedToBeEnded(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for n := range 6 {
			keep(t, o, letter(fmt.Sprint(n)), "body")
		}
		must(t, opened.Exec(t.Context(), `UPDATE outrider_pieces SET sealed = $1 WHERE letter = '2' AND part = 0`, []byte("nonsense, and longer than a nonce and a tag")))
		must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET key = 7 WHERE id = '4'`))
		holder := hold(t, o)
		claimed, err := holder.Claim(t.Context(), "crm/default", 10)
		if err != nil || len(claimed) != 6 {
			t.Fatalf("claimed %d, %v", len(claimed), err)
		}
		for _, l := range claimed {
			if l.Damaged != (l.ID == "2" || l.ID == "4") {
				t.Errorf("got %+v", l)
			}
			end := store.End{State: store.Delivered}
			if l.Damaged {
				end = store.End{State: store.Dead, Reason: "damaged"}
			}
			must(t, holder.End(t.Context(), l.ID, end))
		}
		counts, err := o.Counts(t.Context())
		if err != nil || len(counts) != 2 || counts[0].Reason != "damaged" || counts[0].Letters != 2 || counts[1].Letters != 4 {
			t.Errorf("got %+v, %v", counts, err)
		}
		wantTallied(t, opened)
	})
}

// TestDamagedDataKeyCostsItsLetters, and not those that come.
func TestDamagedDataKeyCostsItsLetters(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		keep(t, opened.Outbox(), letter("before"), "body")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_data_keys SET sealed = $1 WHERE id = 1`, []byte("nonsense, and longer than a nonce and a tag")))
		again := open(t, s).Outbox()
		if l := get(t, again, "before"); !l.Damaged {
			t.Errorf("got %+v", l)
		}
		keep(t, again, letter("after"), "body")
		if l := get(t, again, "after"); l.Damaged || body(t, again, "after") != "body" {
			t.Errorf("got %+v", l)
		}
	})
}

// TestNothingOfALetterIsInTheClear looks for a canary in all that a letter has, in the
// file and in what is beside it.
func TestNothingOfALetterIsInTheClear(t *testing.T) {
	s := settings(t.TempDir())
	opened := open(t, s)
	o := opened.Outbox()
	l := once("a", canary)
	l.Order, l.Fingerprint = canary, []byte(canary)
	l.Head = func(store.Body) ([]byte, error) { return []byte(canary), nil }
	keep(t, o, l, canary)
	holder := hold(t, o)
	claim(t, holder, 1)
	must(t, holder.End(context.Background(), "a", store.End{State: store.Dead, Attempt: []byte(canary), ResponseHead: []byte(canary), Response: strings.NewReader(canary)}))
	for _, file := range []string{database(s.Dir), database(s.Dir) + "-wal"} {
		if strings.Contains(read(t, file), "canary") {
			t.Errorf("%s shows what a letter holds", file)
		}
	}
}
