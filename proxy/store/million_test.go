package store_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// backlogVariable is how many letters wait in TestBacklogCostsNoMoreThanAFewLetters, which
// takes minutes: 1000000 is what we promise.
const backlogVariable = "OUTRIDER_TEST_BACKLOG"

// TestBacklogCostsNoMoreThanAFewLetters: opening the store, looking for what is due,
// claiming, counting and listing take as long as ever, and memory does not grow.
func TestBacklogCostsNoMoreThanAFewLetters(t *testing.T) {
	letters, err := strconv.Atoi(os.Getenv(backlogVariable))
	if err != nil {
		letters = 3000
	}
	s := settings(t.TempDir())
	fillOutbox(t, s, letters)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	took := func(what string, limit time.Duration, do func()) {
		t.Helper()
		started := time.Now()
		do()
		took := time.Since(started)
		t.Logf("%-10s %v", what, took)
		if took > limit {
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
	took("counts", time.Second, func() {
		counts, err := o.Counts(t.Context())
		if err != nil || len(counts) != 10 || counts[0].Letters != letters/10 {
			t.Errorf("got %+v, %v", counts, err)
		}
	})
	took("list", time.Second, func() {
		if listed, err := o.ListBack(t.Context(), store.Filter{States: []string{store.Waiting}}, "", 100); err != nil || len(listed) != 100 {
			t.Errorf("listed %d, %v", len(listed), err)
		}
	})
	took("expired", time.Second, func() {
		if claimed, err := holder.ClaimExpired(t.Context(), 100); err != nil || len(claimed) != 0 {
			t.Errorf("claimed %d, %v", len(claimed), err)
		}
	})
	took("sweep", time.Second, func() {
		if _, err := o.Sweep(t.Context(), store.SweepSettings{}); err != nil {
			t.Error(err)
		}
	})
	took("keep", time.Second, func() { keep(t, o, letter("one more"), "body") })
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("heap grew by %d KiB", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d bytes more are in memory", grown)
	}
}

// fillOutbox keeps letters in ten lanes of ten upstreams, a tenth of them with an order key.
func fillOutbox(t *testing.T, s store.Settings, letters int) {
	t.Helper()
	opened, err := store.Open(t.Context(), s)
	must(t, err)
	o, started := opened.Outbox(), time.Now()
	var keeping sync.WaitGroup
	for worker := range 100 {
		keeping.Go(func() {
			for n := worker; n < letters; n += 100 {
				l := letter(fmt.Sprintf("letter %09d", n))
				l.Lane, l.Upstream, l.MaxAge = fmt.Sprint("lane ", n%10), fmt.Sprint("upstream ", n%10), 24*time.Hour
				if n%10 == 7 {
					l.Order = "all behind one another"
				}
				if _, err := o.Keep(t.Context(), l, strings.NewReader("{\"amount\": 100}"), store.Bounds{MaxSize: 1 << 40}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	keeping.Wait()
	t.Logf("kept %d in %v, %.0f/s", letters, time.Since(started), float64(letters)/time.Since(started).Seconds())
	must(t, opened.Close())
}
