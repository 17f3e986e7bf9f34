package store_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// once is a letter of a dedup key, strictly.
func once(id, key string) store.NewLetter {
	l := letter(id)
	l.Dedup, l.DedupFor, l.Strict, l.Fingerprint = key, time.Hour, true, []byte("POST /charges")
	return l
}

func TestSameRequestOfADedupKeyIsTheFirstLetter(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		long := strings.Repeat("x", 600<<10)
		first, firstLong := keep(t, o, once("a", "key"), "body"), keep(t, o, once("long", "long key"), long)
		for _, again := range []store.Receipt{keep(t, o, once("b", "key"), "body"), keep(t, open(t, s).Outbox(), once("c", "key"), "body")} {
			first.Duplicate = true
			if again != first {
				t.Errorf("got %+v, want %+v", again, first)
			}
		}
		if again := keep(t, o, once("long again", "long key"), long); !again.Duplicate || again.ID != firstLong.ID {
			t.Errorf("got %+v", again)
		}
		var conflict *store.ConflictError
		if _, err := o.Keep(t.Context(), once("d", "key"), strings.NewReader("another"), unbounded); !errors.As(err, &conflict) || conflict.ID != "a" {
			t.Errorf("another body: got %v", err)
		}
		other := once("e", "key")
		other.Fingerprint = []byte("POST /refunds")
		if _, err := o.Keep(t.Context(), other, strings.NewReader("body"), unbounded); !errors.As(err, &conflict) || conflict.ID != "a" {
			t.Errorf("another target: got %v", err)
		}
		other.Strict = false
		if receipt := keep(t, o, other, "body"); !receipt.Duplicate || receipt.ID != "a" {
			t.Errorf("got %+v", receipt)
		}
		if n, err := opened.Rows(t.Context(), "letters"); n != 2 || err != nil {
			t.Errorf("%d letters are kept, %v", n, err)
		}
		wantTallied(t, opened)
	})
}

// TestDedupKeyIsFreeAfterItsWindow, and after its letter was withdrawn; not after it was
// delivered, even where that letter is forgotten.
func TestDedupKeyIsFreeAfterItsWindow(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for _, id := range []string{"over", "cancelled", "dropped", "delivered"} {
			keep(t, o, once(id, id), "")
		}
		must(t, opened.Exec(t.Context(), `UPDATE outrider_dedups SET until = 1 WHERE letter = 'over'`))
		must(t, o.Cancel(t.Context(), "cancelled"))
		if n, err := o.Drop(t.Context(), store.Filter{IDs: []string{"dropped"}}); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 10), "over", "delivered")
		delivered(t, holder, "delivered")
		if n, err := o.Drop(t.Context(), store.Filter{IDs: []string{"delivered"}}); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		for _, id := range []string{"over", "cancelled", "dropped"} {
			if again := keep(t, o, once(id+" again", id), ""); again.Duplicate {
				t.Errorf("%s: got %+v", id, again)
			}
		}
		if again := keep(t, o, once("delivered again", "delivered"), ""); !again.Duplicate || again.ID != "delivered" || again.Size != 0 {
			t.Errorf("got %+v", again)
		}
	})
}

// TestCallThatComesAfterALetterIsTold: one that is no letter itself, but brings its keys.
func TestCallThatComesAfterALetterIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		want := func(dedup, order string, skipDead, want bool) {
			t.Helper()
			if there, err := o.Earlier(t.Context(), dedup, order, skipDead); there != want || err != nil {
				t.Errorf("%q, %q: %t, %v", dedup, order, there, err)
			}
		}
		want("d", "o", false, false)
		l := once("a", "d")
		l.Order = "o"
		keep(t, o, l, "body")
		want("d", "", false, true)
		want("", "o", true, true)
		want("o", "d", false, false)
		want("", "", false, false)
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 1), "a")
		want("", "o", false, true)
		delivered(t, holder, "a")
		want("d", "", false, true)
		want("", "o", false, false)
		keep(t, o, ordered("b", "o"), "")
		wantIDs(t, claim(t, holder, 1), "b")
		must(t, holder.End(t.Context(), "b", store.End{State: store.Dead, Reason: "refused"}))
		want("", "o", false, true)
		want("", "o", true, false)
	})
}

func TestOneOfManyThatComeTogetherIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		var mu sync.Mutex
		ids := map[string]int{} // of the letter that is kept → how many were told so
		kept := 0
		var keeping sync.WaitGroup
		for n := range 24 {
			o := []*store.Store{one, two}[n%2].Outbox()
			keeping.Go(func() {
				receipt := keep(t, o, once(fmt.Sprint(n), "key"), "body")
				mu.Lock()
				defer mu.Unlock()
				ids[receipt.ID]++
				if !receipt.Duplicate {
					kept++
				}
			})
		}
		keeping.Wait()
		if len(ids) != 1 || kept != 1 {
			t.Errorf("%d were kept: %v", kept, ids)
		}
	})
}

// TestNoMoreIsKeptThanTheBound, whoever comes together; and what was refused leaves
// nothing.
func TestNoMoreIsKeptThanTheBound(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		const bound = 64 << 10
		var mu sync.Mutex
		var kept int64
		full := 0
		var keeping sync.WaitGroup
		for n := range 60 {
			o := []*store.Store{one, two}[n%2].Outbox()
			keeping.Go(func() {
				receipt, err := o.Keep(t.Context(), letter(fmt.Sprint(n)), strings.NewReader(strings.Repeat("x", 3000)), store.Bounds{MaxSize: bound})
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, store.ErrFull) {
					full++
				} else if err != nil {
					t.Error(err)
				}
				kept += receipt.Size
			})
		}
		keeping.Wait()
		size, err := one.Outbox().Size(t.Context())
		if err != nil || size != kept || size > bound || size < bound-4000 || full == 0 {
			t.Errorf("of %d bytes %d are kept and %d were told of, %v; %d were refused", bound, size, kept, err, full)
		}
		wantTallied(t, one)
	})
}

// TestLetterThatFailsFailsNoOther of those whose transaction it shares: one has an id that
// is taken, one is refused by who describes it.
func TestLetterThatFailsFailsNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("taken"), "")
		release := opened.OccupyAll(t.Context())
		no := errors.New("no")
		results := make([]error, 30)
		var keeping sync.WaitGroup
		for n := range results {
			l := letter(fmt.Sprint(n))
			switch n % 10 {
			case 3:
				l.ID = "taken"
			case 7:
				l.Head = func(store.Body) ([]byte, error) { return nil, no }
			}
			keeping.Go(func() { _, results[n] = o.Keep(t.Context(), l, strings.NewReader("body"), unbounded) })
		}
		for opened.InLine() < len(results) {
			runtime.Gosched() // until they share one
		}
		release()
		keeping.Wait()
		for n, err := range results {
			switch {
			case n%10 == 3 && err == nil, n%10 == 7 && !errors.Is(err, no), n%10 != 3 && n%10 != 7 && err != nil:
				t.Errorf("%d: %v", n, err)
			}
		}
		wantTallied(t, opened)
	})
}
