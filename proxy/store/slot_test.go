package store_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"outrider/proxy/store"
)

func TestSlotKeepsWhatWasSavedLast(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		slot := opened.Slot("crm/default")
		if data, err := slot.Load(t.Context()); data != nil || err != nil {
			t.Errorf("an empty slot gives %q, %v; want nil, nil", data, err)
		}
		save(t, opened, "crm/default", "r1")
		save(t, opened, "crm/default", "r2")
		wantKept(t, opened, "crm/default", "r2")
		wantKept(t, open(t, s), "crm/default", "r2")

		save(t, opened, "crm/default", "")
		if data, err := slot.Load(t.Context()); data == nil || err != nil {
			t.Errorf("a slot that keeps nothing gives %v, %v; want empty", data, err)
		}
		if err := slot.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if data, err := slot.Load(t.Context()); data != nil || err != nil {
			t.Errorf("a removed slot gives %q, %v; want nil, nil", data, err)
		}
	})
}

func TestListNamesSlotsWithTheirTimes(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		before := time.Now().Truncate(time.Millisecond)
		save(t, opened, "b/two", canary)
		save(t, opened, "a/one", canary)
		entries, err := opened.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 2 || entries[0].ID != "a/one" || entries[1].ID != "b/two" {
			t.Fatalf("got %v", entries)
		}
		for _, entry := range entries {
			if entry.Saved.Before(before) || entry.Saved.After(time.Now()) {
				t.Errorf("%s was saved at %s, want after %s", entry.ID, entry.Saved, before)
			}
		}
	})
}

func TestSaveRefusesWhatIsNoToken(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		wantRefused(t, opened.Slot("").Save(t.Context(), nil), "name")
		wantRefused(t, opened.Slot(strings.Repeat("x", 600)).Save(t.Context(), nil), "name")
		wantRefused(t, opened.Slot("a").Save(t.Context(), make([]byte, 1<<20+1)), `"a"`, "more than")
	})
}

func TestFullDiskKeepsTheOldValue(t *testing.T) {
	dir := t.TempDir()
	opened := open(t, settings(dir))
	save(t, opened, "a/b", "old")
	if err := opened.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	// More than is reserved.
	err := opened.Slot("a/b").Save(t.Context(), bytes.Repeat([]byte(canary), 20_000))
	wantRefused(t, err, `"a/b"`, database(dir), "disk is full")
	wantKept(t, opened, "a/b", "old")
	save(t, opened, "a/b", "new") // which has room
	wantKept(t, opened, "a/b", "new")
}

func TestNothingOfAValueIsOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	save(t, open(t, settings(dir)), "a/b", canary)
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(database(dir) + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("canary")) {
			t.Errorf("store.db%s holds a secret in the clear", suffix)
		}
	}
}

func TestClosedStoreSaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, err := store.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, opened.Slot("a/b").Save(t.Context(), nil), `"a/b"`, "closed")
	})
}
