package store_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// backlogVariable is how many letters wait in TestBacklogCostsNoMoreThanAFewLetters, which
// takes minutes: 1000000 is what we promise. Only then it is measured how long things take.
const backlogVariable = "OUTRIDER_TEST_BACKLOG"

// TestBacklogCostsNoMoreThanAFewLetters: opening the store, looking for what is due,
// claiming, counting and listing take as long as ever, and memory does not grow.
func TestBacklogCostsNoMoreThanAFewLetters(t *testing.T) { onEach(t, backlogCostsNoMore) }

func backlogCostsNoMore(t *testing.T, s store.Settings) {
	letters, err := strconv.Atoi(os.Getenv(backlogVariable))
	measured := err == nil
	if !measured {
		letters = 3000
	}
	letters = fillOutbox(t, s, letters)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	took := func(what string, limit time.Duration, do func()) {
		t.Helper()
		started := time.Now()
		do()
		took := time.Since(started)
		t.Logf("%-10s %v", what, took)
		if measured && took > limit {
			t.Errorf("%s takes %v with %d letters", what, took, letters)
		}
	}
	var opened *store.Store
	took("open", 2*time.Second, func() { opened = open(t, s) })
	o, holder := opened.Outbox(), (*store.Holder)(nil)
	took("hold", time.Second, func() { holder = hold(t, o) })
	took("lanes", time.Second, func() {
		if found := lanes(t, holder); len(found) != 10 {
			t.Errorf("%d lanes", len(found))
		}
	})
	took("claim", time.Second, func() {
		if claimed, err := holder.Claim(t.Context(), "lane 3", 100); err != nil || len(claimed) != 100 {
			t.Errorf("claimed %d, %v", len(claimed), err)
		}
	})
	took("order", time.Second, func() { // of a tenth of all, one after the other
		claimed, err := holder.Claim(t.Context(), "lane 7", 100)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %d, %v", len(claimed), err)
		}
		must(t, holder.End(t.Context(), claimed[0].ID, store.End{State: store.Delivered}))
	})
	took("counts", time.Second, func() {
		counts, err := o.Counts(t.Context())
		if err != nil || len(counts) != 11 || counts[0].Letters != letters/10 {
			t.Errorf("got %+v, %v", counts, err)
		}
	})
	took("list", time.Second, func() {
		if listed, err := o.ListBack(t.Context(), store.Filter{States: []string{store.Waiting}}, "", 100); err != nil || len(listed) != 100 {
			t.Errorf("listed %d, %v", len(listed), err)
		}
	})
	took("expired", time.Second, func() {
		if claimed, err := holder.ClaimExpired(t.Context(), 0, 100); err != nil || len(claimed) != 0 {
			t.Errorf("claimed %d, %v", len(claimed), err)
		}
	})
	took("sweep", time.Second, func() {
		if swept, err := o.Sweep(t.Context(), store.SweepSettings{}); err != nil || swept.Forgotten != 1 {
			t.Errorf("swept %+v, %v", swept, err)
		}
	})
	took("keep", time.Second, func() { keep(t, o, letter("one more"), "body") })
	l := ordered("of a batch", "key")
	l.Batch = "batch"
	keep(t, o, l, "body")
	took("release", time.Second, func() {
		if released, _, err := o.Release(t.Context(), "batch", 1); err != nil || released != 1 {
			t.Errorf("released %d, %v", released, err)
		}
	})
	took("cancel", time.Second, func() { must(t, o.Cancel(t.Context(), "one more")) })
	took("drop", time.Second, func() {
		if dropped, err := o.Drop(t.Context(), store.Filter{IDs: []string{"of a batch"}}); err != nil || dropped != 1 {
			t.Errorf("dropped %d, %v", dropped, err)
		}
	})
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("heap grew by %d KiB", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d bytes more are in memory", grown)
	}
}

// fillOutbox keeps letters in ten lanes of ten upstreams, a tenth of them with one order
// key. Beyond the first ones they are copies, which takes a minute for a million; only
// that their heads do not open tells them apart. It tells how many there are.
func fillOutbox(t *testing.T, s store.Settings, letters int) int {
	t.Helper()
	opened, err := store.Open(t.Context(), s)
	must(t, err)
	o, first := opened.Outbox(), min(letters, 1000)
	var keeping sync.WaitGroup
	for worker := range 100 {
		keeping.Go(func() {
			for n := worker; n < first; n += 100 {
				l := letter(fmt.Sprintf("letter %09d", n))
				l.Lane, l.Upstream, l.MaxAge = fmt.Sprint("lane ", n%10), fmt.Sprint("upstream ", n%10), 24*time.Hour
				if n%10 == 7 {
					l.Order = "all behind one another"
				}
				keep(t, o, l, "{\"amount\": 100}")
			}
		})
	}
	keeping.Wait()
	kept := first
	for ; kept < letters; kept *= 2 {
		must(t, opened.Double(t.Context(), fmt.Sprint("+", kept)))
	}
	wantTallied(t, opened)
	must(t, opened.Close())
	return kept
}
