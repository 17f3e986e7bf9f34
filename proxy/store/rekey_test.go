package store_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

const other = "canary-4d2e-another-key"

// rekey seals what is at s anew, by a store of its own.
func rekey(t *testing.T, s store.Settings, next func() (string, error)) store.Rekeyed {
	t.Helper()
	result, err := open(t, s).Rekey(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRekeyedStoreOpensWithTheNewKeyAlone(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		save(t, opened, "a/b", canary)
		save(t, opened, "a/c", "second")
		if result := rekey(t, s, key(other+"\n")); result.Slots != 2 || result.Damaged != nil {
			t.Errorf("got %+v", result)
		}
		wantNotOpened(t, s, "the key does not open this store")
		s.Key = key(other)
		again := open(t, s)
		wantKept(t, again, "a/b", canary)
		wantKept(t, again, "a/c", "second")
	})
}

func TestNewKeyFileTakesThePlaceOfTheOld(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		file := filepath.Join(s.Dir, "store.key")
		seed(t, s)
		before := read(t, file)
		rekey(t, s, nil)
		if now := read(t, file); now == before {
			t.Error("store.key is the same")
		}
		if former := read(t, file+".old"); former != before {
			t.Error("store.key.old is not what store.key was")
		}
		if _, err := os.Stat(file + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("store.key.new: %v", err)
		}
		wantKept(t, open(t, s), "a/b", canary)
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestStoreThatIsOpenGoesOnAfterARekey: an Outrider that runs reads its key again,
// and what it saves is never sealed with the old one.
func TestStoreThatIsOpenGoesOnAfterARekey(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		running := open(t, s)
		save(t, running, "a/b", canary)
		rekey(t, s, nil)
		wantKept(t, running, "a/b", canary)
		rekey(t, s, nil)
		save(t, running, "a/b", "second")
		rekey(t, s, nil)
		lock(t, running.Slot("a/b"))()
		wantKept(t, open(t, s), "a/b", "second")
	})
}

// TestStoreWithTheOldKeyCanDoNothing, so that it takes no lock under which it would
// fetch what it cannot save, and writes nothing that the new key does not open.
func TestStoreWithTheOldKeyCanDoNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		running := open(t, s)
		save(t, running, "a/b", canary)
		rekey(t, s, key(other))
		slot := running.Slot("a/b")
		_, err := slot.Load(t.Context())
		wantRefused(t, err, `"a/b"`, "the key does not open this store", "sealed with another one")
		wantRefused(t, slot.Save(t.Context(), []byte("lost")), `"a/b"`, "the key does not open this store")
		_, err = slot.Lock(t.Context())
		wantRefused(t, err, `"a/b"`, "the key does not open this store")
		s.Key = key(other)
		wantKept(t, open(t, s), "a/b", canary)
		lock(t, open(t, s).Slot("a/b"))() // nor is a lease left behind
	})
}

// TestRekeyWaitsForLocks: whoever holds one may be about to save the only copy of a
// token that was rotated.
func TestRekeyWaitsForLocks(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		running := open(t, s)
		unlock := lock(t, running.Slot("a/b"))
		enough := errors.New("the operator's patience")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		_, err := open(t, s).RekeyBy(ctx, key(other), func(string) { cancel(enough) })
		wantRefused(t, err, "somebody refreshes a token")
		if !errors.Is(err, enough) {
			t.Errorf("got %v, want why the context ended", err)
		}
		save(t, running, "a/b", canary)
		waited := false
		result, err := open(t, s).RekeyBy(t.Context(), key(other), func(step string) {
			if step == "waits" {
				waited = true
				unlock()
			}
		})
		if result.Slots != 1 || err != nil || !waited {
			t.Errorf("got %+v, %v, after it waited: %t", result, err, waited)
		}
	})
}

// TestNewKeyIsReadBesideRefreshes: a command, or a keyring that is to be unlocked, was
// asked for the new key in the transaction that kept everybody from saving and locking.
func TestNewKeyIsReadBesideRefreshes(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		running := open(t, s)
		next := func() (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return other, increment(ctx, running.Slot("counter"))
		}
		if result := rekey(t, s, next); result.Slots != 1 {
			t.Errorf("got %+v", result)
		}
	})
}

// TestUpdatesBesideRekeysAreNotLost counts, from stores that are open, while others
// seal the store anew.
func TestUpdatesBesideRekeysAreNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		one, two := open(t, s), open(t, s)
		var working sync.WaitGroup
		for _, opened := range []*store.Store{one, one, two} {
			working.Go(func() {
				for range 15 {
					if err := increment(t.Context(), opened.Slot("counter")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 2 {
			working.Go(func() {
				for range 4 {
					rekey(t, s, nil)
				}
			})
		}
		working.Wait()
		wantKept(t, open(t, s), "counter", "45")
	})
}

// TestSavesBesideRekeysAreNotLost is the same without locks: a save that comes
// between the reading and the commit of a rekey.
func TestSavesBesideRekeysAreNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		running := open(t, s)
		var working sync.WaitGroup
		for worker := range 4 {
			working.Go(func() {
				for i := range 40 {
					if err := running.Slot(strconv.Itoa(worker)).Save(t.Context(), []byte(strconv.Itoa(i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 6 {
			rekey(t, s, nil)
		}
		working.Wait()
		for worker := range 4 {
			wantKept(t, open(t, s), strconv.Itoa(worker), "39")
		}
	})
}

// TestReadersBesideRekeysFindTheirKey: one read the seal, then the key of the next one;
// or looked into store.key before the new key was there, and into store.key.new after.
func TestReadersBesideRekeysFindTheirKey(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		rekeying := open(t, s)
		save(t, rekeying, "a/b", canary)
		ended := make(chan struct{})
		var reading sync.WaitGroup
		for range 3 {
			reader := open(t, s)
			reading.Go(func() {
				for {
					select {
					case <-ended:
						return
					default:
						wantKept(t, reader, "a/b", canary)
					}
				}
			})
		}
		for range 30 {
			if _, err := rekeying.Rekey(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
		close(ended)
		reading.Wait()
	})
}

// TestProcessKilledWhileItRekeysLosesNothing kills one after each step: the store is
// sealed with the old key or with the new one, and both are where they are looked for.
func TestProcessKilledWhileItRekeysLosesNothing(t *testing.T) {
	for name, fresh := range engines {
		for _, step := range []string{"key", "slots", "committed", "adopted"} {
			t.Run(name+" "+step, func(t *testing.T) {
				s := keyless(fresh(t))
				running := open(t, s)
				save(t, running, "a/b", canary)
				command, output := start(t, "rekey", s, 1, step)
				if !bufio.NewScanner(output).Scan() {
					t.Fatal("the child did not come so far")
				}
				_ = command.Process.Kill()
				_ = command.Wait() // killed
				wantKept(t, running, "a/b", canary)
				save(t, running, "a/b", "second")
				wantKept(t, open(t, s), "a/b", "second")
				rekey(t, s, nil) // over what was left behind
				wantKept(t, running, "a/b", "second")
				wantKept(t, open(t, s), "a/b", "second")
			})
		}
	}
}

// TestRekeysThatRunTogetherAgree: one must not write its new key over that of another
// whose transaction is through.
func TestRekeysThatRunTogetherAgree(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		seed(t, s)
		for range 3 {
			first, _ := start(t, "rekey", s, 5, "")
			second, _ := start(t, "rekey", s, 5, "")
			if err := errors.Join(first.Wait(), second.Wait()); err != nil {
				t.Error(err)
			}
		}
		wantKept(t, open(t, s), "a/b", canary)
	})
}

func TestSlotThatDoesNotOpenStaysAsItIs(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		save(t, opened, "a/b", canary)
		save(t, opened, "a/c", canary)
		if err := opened.Exec(t.Context(), `UPDATE outrider_slots SET sealed = $1 WHERE id = 'a/c'`, []byte("damaged")); err != nil {
			t.Fatal(err)
		}
		if result := rekey(t, s, key(other)); result.Slots != 1 || len(result.Damaged) != 1 || result.Damaged[0] != "a/c" {
			t.Errorf("got %+v", result)
		}
		s.Key = key(other)
		_, err := open(t, s).Slot("a/c").Load(t.Context())
		wantRefused(t, err, "a/c", "was changed")
	})
}

func TestUnusableNewKeysChangeNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		seed(t, s)
		for part, next := range map[string]func() (string, error){
			"at least 16":                  key("canary"),
			"sealed with already":          key(secret + "\n"),
			"the vault is sealed":          func() (string, error) { return "", errors.New("the vault is sealed") },
			"comes from the configuration": nil,
		} {
			_, err := open(t, s).Rekey(t.Context(), next)
			wantRefused(t, err, part)
		}
		wantKept(t, open(t, s), "a/b", canary)
	})
}
