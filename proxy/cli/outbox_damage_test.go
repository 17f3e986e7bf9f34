//go:build unix

package cli

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/outbox"
)

// laden is a depot with letters, of which every fifth has a body of several pieces, that was
// asked to end.
func laden(t *testing.T, state string, letters int) *depot {
	t.Helper()
	d := newDepot(t, state)
	d.up()
	for n := range letters {
		size := 1 << 10
		if n%5 == 0 {
			size = 600 << 10
		}
		if !d.call(t, size) {
			t.Fatal("it is not kept")
		}
	}
	d.end()
	return d
}

// onDatabase opens the database of a store that nobody has open.
func onDatabase(t *testing.T, state string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(state, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// A sealed is a value in the database.
type sealed struct {
	letter string
	part   int // 0: the head; 1: the body; others: what came of attempts
	n      int64
	value  []byte
}

func sealedOf(t *testing.T, db *sql.DB) (all []sealed) {
	t.Helper()
	rows, err := db.Query(`SELECT letter, part, n, sealed FROM outrider_pieces`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s sealed
		if err := rows.Scan(&s.letter, &s.part, &s.n, &s.value); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// flip changes a bit of some letters, each in one of its values, and tells of which letters
// that has to cost the letter.
func flip(t *testing.T, state string, letters int) (lost []string) {
	t.Helper()
	chance := rand.New(rand.NewPCG(4, 4))
	db := onDatabase(t, state)
	defer func() { _ = db.Close() }()
	all := sealedOf(t, db)
	chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var touched []string
	for _, s := range all {
		if len(touched) == letters {
			break
		}
		if slices.Contains(touched, s.letter) {
			continue
		}
		touched = append(touched, s.letter)
		s.value[chance.IntN(len(s.value))] ^= 1 << chance.IntN(8)
		if _, err := db.Exec(`UPDATE outrider_pieces SET sealed = $1 WHERE letter = $2 AND part = $3 AND n = $4`, s.value, s.letter, s.part, s.n); err != nil {
			t.Fatal(err)
		}
		if s.part <= 1 {
			lost = append(lost, s.letter)
		}
	}
	return lost
}

// A disk that forgets bits, or somebody who changes the database, costs the letters that
// were changed, and no others: these are never sent as what they have become, the operator
// is told, and all others arrive.
func TestFlippedBitsCostTheirLettersOnly(t *testing.T) {
	if !apart(t) {
		return
	}
	state := filepath.Join(t.TempDir(), "state")
	d := laden(t, state, 60)
	lost := flip(t, state, 20)
	d.outage("off")
	d.up()
	for _, id := range d.kept {
		view := d.ends(t, id)
		damaged := view.State == outbox.StateDead && view.Reason == outbox.ReasonDamaged
		switch {
		case slices.Contains(lost, id) && !damaged:
			t.Errorf("the letter %s was changed, and is %s %s", id, view.State, view.Reason)
		case !slices.Contains(lost, id) && view.State != outbox.StateDelivered:
			t.Errorf("the letter %s was not changed, and is %s %s", id, view.State, view.Reason)
		}
	}
	t.Logf("of %d letters %d were changed", len(d.kept), len(lost))
	d.wantEffects(t, len(d.kept)-len(lost))
	eventually(t, "the alert", func() (bool, string) {
		log := d.log.String()
		return strings.Contains(log, `"rule":"letters-damaged"`), lastLines(log, 20)
	})
}

// A database that is no database any more is refused at the start, with what to do, and
// stays as it is: whoever repairs it, or has a copy, finds everything.
func TestDamagedDatabaseIsRefusedAndKept(t *testing.T) {
	if !apart(t) {
		return
	}
	state := filepath.Join(t.TempDir(), "state")
	d := laden(t, state, 20)
	path := filepath.Join(state, "store.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for what, damage := range map[string]func(file []byte) []byte{
		"its beginning":     func(file []byte) []byte { copy(file, noise(100)); return file },
		"its first page":    func(file []byte) []byte { copy(file[100:], noise(page-100)); return file },
		"its first 8 pages": func(file []byte) []byte { copy(file[page:], noise(7*page)); return file },
		"its end":           func(file []byte) []byte { return file[:len(file)/2] },
		"half a page":       func(file []byte) []byte { return file[:page/2] },
	} {
		t.Run(what, func(t *testing.T) {
			damaged := damage(bytes.Clone(whole))
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			d.begin()
			select {
			case <-d.ready:
				t.Error("it starts")
				d.kill()
			case <-d.ended:
				if told := lastLines(d.log.String(), 2); !strings.Contains(told, "put a copy back") {
					t.Errorf("it says %q", told)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, damaged) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
	for _, name := range []string{"store.db-wal", "store.db-shm"} {
		_ = os.Remove(filepath.Join(state, name))
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	d.outage("off")
	d.up()
	d.wantDelivered(t)
}

func noise(size int) []byte {
	random := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random) // it never fails
	return random
}
