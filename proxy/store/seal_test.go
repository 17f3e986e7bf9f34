package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"outrider/proxy/store"
)

func TestSwappedRowsAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		save(t, opened, "crm/one", canary)
		save(t, opened, "crm/two", canary)
		const swap = `WITH old AS MATERIALIZED (SELECT id, sealed FROM outrider_slots)
			UPDATE outrider_slots SET sealed = (SELECT old.sealed FROM old WHERE old.id <> outrider_slots.id)`
		if err := opened.Exec(t.Context(), swap); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"crm/one", "crm/two"} {
			_, err := opened.Slot(id).Load(t.Context())
			wantRefused(t, err, id, "moved from another row")
		}
		save(t, opened, "crm/one", "new") // logging in again repairs it
		wantKept(t, opened, "crm/one", "new")
	})
}

func TestChangedValueIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		for _, size := range []int{60, 3, 0} {
			save(t, opened, "crm/one", canary)
			if err := opened.Exec(t.Context(), `UPDATE outrider_slots SET sealed = $1`, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			_, err := opened.Slot("crm/one").Load(t.Context())
			wantRefused(t, err, "crm/one", "changed")
		}
	})
}

func TestEqualValuesAreSealedDifferently(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		save(t, opened, "crm/one", canary)
		save(t, opened, "crm/two", canary)
		const unique = `CREATE UNIQUE INDEX different ON outrider_slots (sealed)`
		if err := opened.Exec(t.Context(), unique); err != nil {
			t.Error(err)
		}
	})
}

func TestWrongKeyIsToldApart(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		seed(t, s)
		wrong := s
		wrong.Key = key("canary-another-key")
		wantNotOpened(t, wrong, "the key does not open this store; it comes from the configuration", "sealed with another one")
		wantKept(t, open(t, s), "a/b", canary)
	})
}

func TestKeyComesFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OUTRIDER_KEY", secret+"\n") // as a mounted secret ends
	opened := open(t, store.Settings{Dir: dir})
	if from := opened.Plan().KeyFrom; from != "OUTRIDER_KEY" {
		t.Errorf("the key comes from %q", from)
	}
	save(t, opened, "a/b", canary)
	wantKept(t, open(t, settings(dir)), "a/b", canary) // the same text elsewhere
	if _, err := os.Stat(filepath.Join(dir, "store.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
}

func TestUnusableKeysAreRefused(t *testing.T) {
	t.Setenv("OUTRIDER_KEY", "")
	wantNotOpened(t, store.Settings{Dir: t.TempDir()}, "OUTRIDER_KEY", "0 bytes", "at least 16")
	wantNotOpened(t, store.Settings{Dir: t.TempDir(), Key: key(" canary-too-shor \n\n")}, "the configuration", "15 bytes")
	failing := func() (string, error) { return "", errors.New("the vault is sealed") }
	wantNotOpened(t, store.Settings{Dir: t.TempDir(), Key: failing}, "the configuration", "the vault is sealed")
}

func TestKeyFileIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "store.key")
	seed(t, store.Settings{Dir: dir})
	made, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	opened := open(t, store.Settings{Dir: dir})
	wantKept(t, opened, "a/b", canary)
	if from := opened.Plan().KeyFrom; from != file {
		t.Errorf("the key comes from %q, want %q", from, file)
	}

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "store.key"), made, 0o600); err != nil {
		t.Fatal(err)
	}
	seed(t, store.Settings{Dir: other})
	if now, _ := os.ReadFile(filepath.Join(other, "store.key")); string(now) != string(made) {
		t.Error("a key file that was there was replaced")
	}
	if entries, _ := os.ReadDir(other); len(entries) != 4 { // with store.db, store.alive and store.room
		t.Errorf("left behind: %v", entries)
	}
}

// TestMissingKeyOfTheConfigurationIsToldAsItsOwn: the file that it names is not
// ours to speak of.
func TestMissingKeyOfTheConfigurationIsToldAsItsOwn(t *testing.T) {
	dir := t.TempDir()
	seed(t, settings(dir))
	missing := func() (string, error) {
		data, err := os.ReadFile(filepath.Join(dir, "mounted"))
		return string(data), err
	}
	wantNotOpened(t, store.Settings{Dir: dir, Key: missing}, "the configuration", filepath.Join(dir, "mounted"))
}

// TestMissingKeyFileIsNotMadeAgain: another key would not open what is kept, and
// would be in the way of the one that is put back.
func TestMissingKeyFileIsNotMadeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		file := filepath.Join(s.Dir, "store.key")
		seed(t, s)
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		wantNotOpened(t, s, "its key is missing", file, "OUTRIDER_KEY")
		if err := os.Rename(file+".away", file); err != nil {
			t.Fatal(err)
		}
		wantKept(t, open(t, s), "a/b", canary)
	})
}
