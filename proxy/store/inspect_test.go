package store_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"outrider/proxy/store"
)

// contents are the files of a directory: name → mode and bytes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		found[entry.Name()] = info.Mode().String() + string(data)
	}
	return found
}

// wantUntouched looks at a store, which has to be as it was, but for the index of the log:
// whoever reads the log notes there how far, and makes it anew for a process that was killed.
func wantUntouched(t *testing.T, s store.Settings, ids ...string) (store.Inspection, error) {
	t.Helper()
	lasting := func() map[string]string {
		found := contents(t, s.Dir)
		if index := "store.db-shm"; found[index] != "" {
			found[index] = "is there"
		}
		return found
	}
	before := lasting()
	seen, err := s.Inspect(t.Context(), ids...)
	if after := lasting(); !maps.Equal(before, after) {
		t.Errorf("looking has changed the files")
	}
	return seen, err
}

// `outrider check` said that a store was in order which `outrider run` refused: it had never
// looked. Now it does, and leaves no trace.
func TestInspectionRefusesWhatOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		part  string
	}{
		"a key file for everybody": {func(t *testing.T, dir string) { mode(t, filepath.Join(dir, "store.key"), 0o644) }, "mode 0644"},
		"a store for everybody":    {func(t *testing.T, dir string) { mode(t, database(dir), 0o640) }, "mode 0640"},
		"another key file":         {func(t *testing.T, dir string) { put(t, filepath.Join(dir, "store.key"), "canary-another-key") }, "put back the store.key that sealed it"},
		"no key file":              {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "store.key")) }, "its key is missing"},
		"a wrong variable":         {func(t *testing.T, _ string) { t.Setenv("OUTRIDER_KEY", "canary-another-key") }, "it comes from OUTRIDER_KEY"},
		"a short variable":         {func(t *testing.T, _ string) { t.Setenv("OUTRIDER_KEY", "short") }, "from OUTRIDER_KEY, has 5 bytes: it must have at least 16"},
		"no database":              {func(t *testing.T, dir string) { put(t, database(dir), "canary, and no database at all") }, "it is no database"},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.Settings{Dir: t.TempDir()}
			seed(t, s)
			if seen, err := wantUntouched(t, s, "a/b", "a/c"); err != nil || !seen.Read || !seen.Kept["a/b"] || seen.Kept["a/c"] {
				t.Fatalf("of a store in order: %+v, %v", seen, err)
			}
			c.spoil(t, s.Dir)
			_, err := wantUntouched(t, s)
			wantRefused(t, err, "opening the store: ", c.part)
			wantNotOpened(t, s, c.part)
		})
	}
}

// What is kept last is in the log, of a store that is open as of one whose process was killed.
func TestInspectionSeesWhatIsInTheLog(t *testing.T) {
	live := t.TempDir()
	opened := open(t, settings(live))
	save(t, opened, "a/b", canary)
	killed := t.TempDir()
	for name, data := range contents(t, live) {
		put(t, filepath.Join(killed, name), data[len("-rw-------"):])
	}
	for _, dir := range []string{live, killed} {
		if seen, err := wantUntouched(t, settings(dir), "a/b"); err != nil || !seen.Read || !seen.Kept["a/b"] {
			t.Errorf("seen %+v, %v", seen, err)
		}
		wrong := store.Settings{Dir: dir, Key: key("canary-another-key")}
		_, err := wantUntouched(t, wrong)
		wantRefused(t, err, "the key does not open this store", "set [store] key to the one that sealed it")
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("it is not told that the key is wrong: %v", err)
		}
	}
	save(t, opened, "a/b", "new") // it was kept from nothing
	// A log without its index can be read by nobody who leaves it so.
	remove(t, filepath.Join(killed, "store.db-shm"))
	if seen, err := wantUntouched(t, settings(killed), "a/b"); err != nil || seen.Read {
		t.Errorf("seen %+v, %v", seen, err)
	}
}

// Where there is no store none is made, and no key for it.
func TestInspectionMakesNothing(t *testing.T) {
	s := store.Settings{Dir: t.TempDir()}
	if seen, err := wantUntouched(t, s, "a/b"); err != nil || !seen.Read || seen.Kept["a/b"] {
		t.Errorf("seen %+v, %v", seen, err)
	}
	put(t, filepath.Join(s.Dir, "store.key"), "short")
	_, err := wantUntouched(t, s)
	wantRefused(t, err, "has 5 bytes")
	// A server is not asked, which leaves the text of the key.
	s.URL = "postgres://127.0.0.1:1/nobody"
	_, err = wantUntouched(t, s)
	wantRefused(t, err, "has 5 bytes")
	s.Key = key(secret)
	if seen, err := wantUntouched(t, s); err != nil || seen.Read {
		t.Errorf("seen %+v, %v", seen, err)
	}
}

// A store that was made, and has no tables yet, keeps nothing: that is known of it.
func TestInspectionReadsAStoreThatIsNotSetUp(t *testing.T) {
	s := settings(t.TempDir())
	put(t, database(s.Dir), string(store.Blank()))
	if seen, err := wantUntouched(t, s, "a/b"); err != nil || !seen.Read || seen.Kept["a/b"] {
		t.Errorf("seen %+v, %v", seen, err)
	}
	seed(t, s)
	wantKept(t, open(t, s), "a/b", canary)
}

func mode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
