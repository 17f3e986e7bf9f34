package store_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/store"
)

// TestLettersBesideRekeysAreNotLost keeps, sends and reads letters in two stores that are
// open, while others seal the store anew: all open afterwards, with the last key alone.
func TestLettersBesideRekeysAreNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		one, two := open(t, s), open(t, s)
		var kept atomic.Int64
		ended := make(chan struct{})
		var working sync.WaitGroup
		for worker := range 4 {
			o := []*store.Store{one, two}[worker%2].Outbox()
			working.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-ended:
						return
					default:
					}
					id := fmt.Sprintf("%d/%d", worker, n)
					text := strings.Repeat(id, 1+n%2*100_000)
					keep(t, o, ordered(id, fmt.Sprint(worker)), text)
					kept.Add(1)
					if body(t, o, id) != text {
						t.Errorf("the body of %s is another one", id)
					}
				}
			})
		}
		holder := hold(t, one.Outbox())
		working.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				for _, id := range claim(t, holder, 3) {
					must(t, holder.Depart(t.Context(), id))
					must(t, holder.End(t.Context(), id, store.End{State: store.Dead, Attempt: []byte(id)}))
				}
			}
		})
		for range 6 {
			if result := rekey(t, s, nil); result.Damaged != nil {
				t.Errorf("got %+v", result)
			}
		}
		close(ended)
		working.Wait()
		o := open(t, s).Outbox()
		listed, after := int64(0), ""
		for {
			page, err := o.List(t.Context(), store.Filter{}, after, 500)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, l := range page {
				if l.Damaged || string(l.Head) != "head of "+l.ID {
					t.Errorf("got %+v", l)
				}
				listed, after = listed+1, l.ID
			}
		}
		if listed != kept.Load() {
			t.Errorf("of %d letters %d are there", kept.Load(), listed)
		}
	})
}

// TestDataKeysGoWithTheirLetters: what a key sealed that was given up is not readable for
// longer than there are letters that need it.
func TestDataKeysGoWithTheirLetters(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, once("a", "key"), "body")
		rekey(t, s, nil)
		keep(t, o, letter("b"), "body")
		rekey(t, s, nil)
		keys, err := opened.Rows(t.Context(), "data_keys")
		if keys != 1+3 || err != nil { // that of names, those of a and b, and one for the next
			t.Errorf("there are %d keys, %v", keys, err)
		}
		if again := keep(t, o, once("a again", "key"), "body"); !again.Duplicate {
			t.Error("a dedup key is not known any more after a rekey")
		}
		if n, err := o.Drop(t.Context(), store.Filter{}); n != 2 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		rekey(t, s, nil)
		if keys, err := opened.Rows(t.Context(), "data_keys"); keys != 1+1 || err != nil {
			t.Errorf("there are %d keys, %v", keys, err)
		}
	})
}

// TestStoreWithTheOldKeyKeepsNoLetter that the new one would not open.
func TestStoreWithTheOldKeyKeepsNoLetter(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		running := open(t, s)
		keep(t, running.Outbox(), letter("a"), canary)
		rekey(t, s, key(other))
		_, err := running.Outbox().Keep(t.Context(), letter("b"), strings.NewReader(canary), unbounded)
		wantRefused(t, err, "keeping letter b", "the key does not open this store")
		s.Key = key(other)
		if body(t, open(t, s).Outbox(), "a") != canary {
			t.Error("it is another one")
		}
	})
}

// TestNumberOfADataKeyIsNotUsedAgain: one that no letter needed was dropped, and the next one
// got its number. Another Outrider that knew the old one read the letters of the new one by
// it, and told that somebody had changed them.
func TestNumberOfADataKeyIsNotUsedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		s = keyless(s)
		running := open(t, s)
		keep(t, running.Outbox(), letter("before"), "")
		if n, err := running.Outbox().Drop(t.Context(), store.Filter{}); n != 1 || err != nil {
			t.Fatalf("dropped %d, %v", n, err)
		}
		rekeyed := open(t, s)
		if _, err := rekeyed.Rekey(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		keep(t, rekeyed.Outbox(), letter("after"), "body")
		if l := get(t, running.Outbox(), "after"); l.Damaged {
			t.Error("a letter that nobody changed is damaged")
		}
		if body(t, running.Outbox(), "after") != "body" {
			t.Error("its body is another one")
		}
	})
}
