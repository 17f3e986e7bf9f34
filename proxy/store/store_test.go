package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/store"
)

func TestStoreIsForItsOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are Unix's")
	}
	dir := filepath.Join(t.TempDir(), "new", "state")
	save(t, open(t, store.Settings{Dir: dir}), "a/b", canary)
	for name, want := range map[string]os.FileMode{"": 0o700, "store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600, "store.key": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %04o, want %04o", name, got, want)
		}
	}
}

func TestFilesOpenToOthersAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are Unix's")
	}
	for name, mode := range map[string]os.FileMode{"store.db": 0o640, "store.key": 0o644} {
		dir := t.TempDir()
		seed(t, store.Settings{Dir: dir})
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		wantNotOpened(t, store.Settings{Dir: dir}, filepath.Join(dir, name), "chmod")
	}
}

func TestDirectoryMayHaveAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's 100%41 ours #1 ?mode=memory&ä")
	if runtime.GOOS == "windows" {
		dir = filepath.Join(t.TempDir(), "it's 100%41 ours #1 &ä")
	}
	seed(t, settings(dir))
	if _, err := os.Stat(database(dir)); err != nil {
		t.Error(err)
	}
	wantKept(t, open(t, settings(dir)), "a/b", canary)
}

// TestVolumeOfAPodIsTaken: an emptyDir of Kubernetes is open to everybody.
func TestVolumeOfAPodIsTaken(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	seed(t, store.Settings{Dir: dir})
	wantKept(t, open(t, store.Settings{Dir: dir}), "a/b", canary)
}

// TestStoresThatOpenTogetherAgree has many make one store: SQLite says that
// it is busy, without waiting, to some of those who turn a new file to WAL.
func TestStoresThatOpenTogetherAgree(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		var opening sync.WaitGroup
		for i := range 8 {
			opening.Go(func() {
				opened, err := store.Open(t.Context(), keyless(s))
				if err != nil {
					t.Error(err)
					return
				}
				defer opened.Close()
				save(t, opened, string(rune('a'+i)), canary)
			})
		}
		opening.Wait()
		opened := open(t, keyless(s))
		for i := range 8 {
			wantKept(t, opened, string(rune('a'+i)), canary)
		}
	})
}

func TestNewerStoreIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		if err := opened.Exec(t.Context(), "INSERT INTO outrider_migrations VALUES (99, 0)"); err != nil {
			t.Fatal(err)
		}
		wantNotOpened(t, s, "version 99", "run the newer Outrider")
	})
}

func TestDatabaseOfAnotherProgramIsRefused(t *testing.T) {
	for _, statement := range []string{
		"PRAGMA application_id = 7",
		"PRAGMA application_id = 0", // of one that says nothing of itself, and has tables
	} {
		dir := t.TempDir()
		opened := open(t, settings(dir))
		if err := opened.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		wantNotOpened(t, settings(dir), database(dir), "another program")
	}
}

func TestDamagedStoreIsRefusedAndNotReplaced(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"short text": func([]byte) []byte { return []byte("hello\n") },
		"long text":  func([]byte) []byte { return bytes.Repeat([]byte("hello\n"), 5000) },
		"no header":  func(data []byte) []byte { return append(make([]byte, 100), data[100:]...) },
		"half":       func(data []byte) []byte { return data[:len(data)/2] },
		"nothing":    func([]byte) []byte { return nil }, // it was taken for a new one
		"pages overwritten": func(data []byte) []byte {
			return append(data[:4096:4096], bytes.Repeat([]byte{0xaa}, len(data)-4096)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			seed(t, settings(dir))
			data, err := os.ReadFile(database(dir))
			if err != nil {
				t.Fatal(err)
			}
			damaged := damage(data)
			if err := os.WriteFile(database(dir), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			wantNotOpened(t, settings(dir), database(dir), "damaged", "move it away")
			if _, err := settings(dir).Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("who inspects it is told %v", err)
			}
			if after, _ := os.ReadFile(database(dir)); !bytes.Equal(after, damaged) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

// A store may begin where there is a key, and where an Outrider from before ended when it had
// made the file, and nothing else.
func TestNewStoreIsNotTakenForAnEmptiedOne(t *testing.T) {
	for name, lay := range map[string]string{"a key": "store.key", "an empty file": "store.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := ""
			if lay == "store.key" {
				text = secret
			}
			if err := os.WriteFile(filepath.Join(dir, lay), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := settings(dir)
			seed(t, s)
			wantKept(t, open(t, s), "a/b", canary)
		})
	}
}

// Where there are no links, whoever made the file of a store a moment later overwrote one that
// another process had kept something in.
func TestNewFileReplacesNoneThatCameUp(t *testing.T) {
	dir := t.TempDir()
	var made sync.Map // texts
	var all sync.WaitGroup
	for n := range 16 {
		temp := filepath.Join(dir, fmt.Sprintf("temp%d", n))
		put(t, temp, temp)
		all.Go(func() {
			switch err := store.RenameNew(temp, database(dir)); {
			case err == nil:
				made.Store(temp, true)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(database(dir))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	made.Range(func(any, any) bool { n++; return true })
	if _, ok := made.Load(string(text)); !ok || n != 1 {
		t.Errorf("%d made it, and it is %s", n, text)
	}
}

func TestMigrationIsDoneWholeOrNotAtAll(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		save(t, opened, "a/b", canary)
		err := opened.Migrate(t.Context(), []string{`CREATE TABLE letters (id {bytes})`}, []string{`CREATE TABLE half (id TEXT)`, `nonsense`})
		wantRefused(t, err, "migrating to version 5")
		if err := opened.Exec(t.Context(), `SELECT id FROM letters`); err != nil {
			t.Errorf("the step before was undone: %v", err)
		}
		if err := opened.Exec(t.Context(), `SELECT id FROM half`); err == nil {
			t.Error("half of a step was done")
		}
		wantKept(t, opened, "a/b", canary)
		wantNotOpened(t, s, "version 4", "knows up to 3") // an Outrider from before
	})
}

func TestOpenDoesNotRepeatMigrations(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		seed(t, s)
		seed(t, s)
		wantKept(t, open(t, s), "a/b", canary)
	})
}
