package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"outrider/proxy/store"
	"outrider/proxy/store/postgrestest"
)

// canary is a value, and secret a key, that no error may show.
const (
	canary = "canary-7f3a-token"
	secret = "canary-9b1c-sealing-key"
)

// TestMain is a test run, or a process of one of its tests.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child(os.Args[len(os.Args)-5:]))
	}
	goleak.VerifyTestMain(m)
}

func key(text string) func() (string, error) {
	return func() (string, error) { return text, nil }
}

func settings(dir string) store.Settings { return store.Settings{Dir: dir, Key: key(secret)} }

// onEach runs a test on each engine, on a store that is to be made.
func onEach(t *testing.T, test func(t *testing.T, s store.Settings)) {
	t.Helper()
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// name of an engine → settings of a new store
var engines = map[string]func(testing.TB) store.Settings{
	"SQLite": func(t testing.TB) store.Settings { return store.Settings{Dir: t.TempDir(), Key: key(secret)} },
	"PostgreSQL": func(t testing.TB) store.Settings {
		return store.Settings{Dir: t.TempDir(), URL: postgrestest.Start(t).Database(t), Key: key(secret)}
	},
}

// keyless has the store make its own key.
func keyless(s store.Settings) store.Settings {
	s.Key = nil
	return s
}

func open(t testing.TB, s store.Settings) *store.Store {
	t.Helper()
	opened, err := store.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened
}

// seed makes a store that keeps the canary in slot "a/b", and closes it.
func seed(t *testing.T, s store.Settings) {
	t.Helper()
	opened, err := store.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	save(t, opened, "a/b", canary)
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
}

func save(t testing.TB, s *store.Store, id, data string) {
	t.Helper()
	if err := s.Slot(id).Save(context.Background(), []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func wantKept(t testing.TB, s *store.Store, id, want string) {
	t.Helper()
	got, err := s.Slot(id).Load(context.Background())
	if err != nil || string(got) != want {
		t.Errorf("slot %q keeps %q, %v; want %q", id, got, err, want)
	}
}

// wantRefused asks for an error with all the parts, and without any secret.
func wantRefused(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one of %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q says nothing of %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("error %q shows a secret", err)
	}
}

func wantNotOpened(t *testing.T, s store.Settings, parts ...string) {
	t.Helper()
	opened, err := store.Open(t.Context(), s)
	if err == nil {
		opened.Close()
	}
	wantRefused(t, err, parts...)
}

func database(dir string) string { return filepath.Join(dir, "store.db") }
