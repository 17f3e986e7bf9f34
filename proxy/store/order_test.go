package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// ordered is a letter of an order key.
func ordered(id, key string) store.NewLetter {
	l := letter(id)
	l.Order = key
	return l
}

func TestLettersOfAKeyGoOneAfterTheOther(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		for _, id := range []string{"z1", "y2", "x3"} { // it is not the ids that order them
			keep(t, o, ordered(id, "key"), "")
		}
		keep(t, o, ordered("zother", "another key"), "")
		keep(t, o, letter("zzfree"), "") // as it comes and by its id: what comes in one millisecond goes by that
		holder, second := hold(t, o), hold(t, o)
		wantIDs(t, claim(t, holder, 10), "z1", "zother", "zzfree")
		wantIDs(t, claim(t, second, 10))
		must(t, holder.Later(t.Context(), "z1", store.Later{Delay: time.Hour}))
		wantIDs(t, claim(t, second, 10)) // it waits, and those behind it
		_, err := o.Hurry(t.Context(), store.Filter{IDs: []string{"z1"}}, 0)
		must(t, err)
		wantIDs(t, claim(t, second, 10), "z1")
		delivered(t, second, "z1")
		wantIDs(t, claim(t, holder, 10), "y2")
		must(t, o.Cancel(t.Context(), "x3"))
		delivered(t, holder, "y2")
		keep(t, o, ordered("w4", "key"), "")
		wantIDs(t, claim(t, holder, 10), "w4")
	})
}

func TestDeadLetterHoldsItsKeyUnlessSkipped(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for _, id := range []string{"a", "b", "c", "d"} {
			keep(t, o, ordered(id, "key"), "")
		}
		holder := hold(t, o)
		dies := func(id string) {
			must(t, holder.End(t.Context(), id, store.End{State: store.Dead, Reason: "refused"}))
		}
		wantIDs(t, claim(t, holder, 10), "a")
		dies("a")
		if found := lanes(t, holder); len(found) != 0 {
			t.Errorf("lanes behind a dead letter: %v", found)
		}
		all := []string{"a", "b", "c", "d", "none"}
		behind, err := o.Behind(t.Context(), all)
		if by := (store.Block{ID: "a", Reason: "refused"}); err != nil || len(behind) != 3 || behind["b"] != by || behind["d"] != by {
			t.Errorf("behind a dead letter are %v, %v", behind, err)
		}
		found, _, err := holder.Lanes(t.Context(), true)
		if err != nil || len(found) != 1 {
			t.Fatalf("lanes that skip the dead: %v, %v", found, err)
		}
		wantIDs(t, claim(t, holder, 10), "b")
		n, err := o.Requeue(t.Context(), store.Filter{}, store.Requeue{MaxAge: time.Hour})
		if n != 1 || err != nil {
			t.Errorf("requeued %d, %v", n, err)
		}
		wantIDs(t, claim(t, holder, 10)) // b is on its way
		delivered(t, holder, "b")
		wantIDs(t, claim(t, holder, 10), "a")
		dies("a")
		wantIDs(t, claim(t, holder, 10))
		if n, err := o.Drop(t.Context(), store.Filter{States: []string{store.Dead}}); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		if behind, err := o.Behind(t.Context(), all); err != nil || len(behind) != 0 {
			t.Errorf("behind no letter are %v, %v", behind, err)
		}
		wantIDs(t, claim(t, holder, 10), "c")
		dies("c")
		swept, err := o.Sweep(t.Context(), store.SweepSettings{KeepResults: time.Hour})
		if err != nil || swept.Forgotten != 1 {
			t.Errorf("swept %+v, %v", swept, err)
		}
		wantIDs(t, claim(t, holder, 10), "d")
		wantTallied(t, opened)
	})
}

// TestOrderHoldsWhileManyKeepAndSend has each key's letters arrive while those before them
// end, from two stores.
func TestOrderHoldsWhileManyKeepAndSend(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		const keys, each = 4, 15
		one, two := open(t, s), open(t, s)
		var working sync.WaitGroup
		for key := range keys {
			o := []*store.Store{one, two}[key%2].Outbox()
			working.Go(func() {
				for n := range each {
					keep(t, o, ordered(fmt.Sprintf("%d of %d", n, key), fmt.Sprint(key)), "")
				}
			})
		}
		var mu sync.Mutex
		next := map[string]int{} // key → number of the letter that is to come
		for _, opened := range []*store.Store{one, two} {
			holder := hold(t, opened.Outbox())
			working.Go(func() {
				for done := false; !done; {
					var ids []string
					if len(lanes(t, holder)) > 0 { // to look writes nothing, and leaves the others to write
						ids = claim(t, holder, 3)
					}
					for _, id := range ids {
						var n, key int
						_, _ = fmt.Sscanf(id, "%d of %d", &n, &key)
						mu.Lock()
						if next[fmt.Sprint(key)] != n {
							t.Errorf("%s came when %d was next", id, next[fmt.Sprint(key)])
						}
						next[fmt.Sprint(key)] = n + 1
						mu.Unlock()
						delivered(t, holder, id)
					}
					mu.Lock()
					sent := 0
					for _, n := range next {
						sent += n
					}
					done = sent == keys*each || t.Failed()
					mu.Unlock()
				}
			})
		}
		working.Wait()
	})
}

func TestBatchAppearsAsAWhole(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		of := func(id, order, dedup string) store.NewLetter {
			l := ordered(id, order)
			l.Batch, l.Dedup, l.DedupFor = "file", dedup, time.Hour
			return l
		}
		keep(t, o, of("1", "key", "line 1"), "first")
		keep(t, o, of("2", "key", "line 2"), "second")
		keep(t, o, of("3", "", "line 3"), string(make([]byte, 600<<10)))
		holder := hold(t, o)
		if again := keep(t, o, of("1 again", "key", "line 1"), "first"); !again.Duplicate || again.ID != "1" {
			t.Errorf("the same line of the same file: %+v", again)
		}
		wantIDs(t, claim(t, holder, 10))
		if listed, err := o.List(t.Context(), store.Filter{}, "", 10); len(listed) != 0 || err != nil {
			t.Errorf("a batch is seen before its release: %v, %v", listed, err)
		}
		same := letter("not of the file")
		same.Dedup, same.DedupFor = "line 2", time.Hour
		if receipt := keep(t, o, same, "second"); receipt.Duplicate {
			t.Error("a letter that may yet vanish stands for another")
		}
		released, duplicates, err := o.Release(t.Context(), "file", 3)
		if released != 2 || duplicates != 1 || err != nil {
			t.Errorf("released %d, %d duplicates, %v", released, duplicates, err)
		}
		ids := claim(t, holder, 10)
		if len(ids) != 3 {
			t.Errorf("claimed %q", ids)
		}
		if again := keep(t, o, of("1 once more", "key", "line 1"), "first"); !again.Duplicate || again.ID != "1" {
			t.Errorf("the same line after the release: %+v", again)
		}
		keep(t, o, of("4", "", "line 4"), "dropped")
		if n, err := o.DropBatch(t.Context(), "file"); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		if again := keep(t, o, of("4 again", "", "line 4"), "kept"); again.Duplicate {
			t.Error("a letter that was dropped stands for another")
		}
		wantTallied(t, opened)
	})
}

// TestBatchOfWhichSomeIsGoneDoesNotAppear: an import stood still with its machine for a day.
// When it went on, what was kept before was swept; the rest appeared, and those that were
// missing were told to be duplicates.
func TestBatchOfWhichSomeIsGoneDoesNotAppear(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		of := func(id string) store.NewLetter {
			l := ordered(id, "key")
			l.Batch = "file"
			return l
		}
		keep(t, o, of("1"), "")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET due = 1`))
		if swept, err := o.Sweep(t.Context(), store.SweepSettings{}); swept.Arrivals != 1 || err != nil {
			t.Errorf("swept %+v, %v", swept, err)
		}
		keep(t, o, of("2"), "")
		if _, _, err := o.Release(t.Context(), "file", 2); !errors.Is(err, store.ErrIncomplete) {
			t.Errorf("got %v", err)
		}
		wantIDs(t, claim(t, hold(t, o), 10))
		if n, err := o.DropBatch(t.Context(), "file"); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		wantTallied(t, opened)
	})
}
