package store_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/store"
)

// daily is a quota of one upstream that ends after a time, with so much spent.
func daily(key string, spent int64, ends time.Duration) store.Quota {
	return store.Quota{
		Upstream: "crm", Table: "upstream.crm.limit", Key: key, Spent: spent,
		State: fmt.Appendf(nil, `{"spent":%d}`, spent), Until: time.Now().Add(ends).Truncate(time.Millisecond),
	}
}

func saveQuotas(t testing.TB, s *store.Store, quotas ...store.Quota) {
	t.Helper()
	if err := s.SaveQuotas(context.Background(), quotas); err != nil {
		t.Fatal(err)
	}
}

// wantQuotas asks for exactly these, in the order of their names.
func wantQuotas(t *testing.T, s *store.Store, want ...store.Quota) {
	t.Helper()
	got, err := s.Quotas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b store.Quota) bool {
		return a.Upstream == b.Upstream && a.Table == b.Table && a.Key == b.Key && a.Spent == b.Spent && bytes.Equal(a.State, b.State) && a.Until.Equal(b.Until)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("kept are\n%+v, want\n%+v", got, want)
	}
}

func TestQuotasSurviveTheStoreThatSavedThem(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		first, second := daily("a", 900, time.Hour), daily("b", 3, 24*time.Hour)
		first.State = []byte{}
		opened := open(t, s)
		wantQuotas(t, opened)
		saveQuotas(t, opened, second, first)
		wantQuotas(t, open(t, s), first, second)
		second = daily("b", 4, 24*time.Hour)
		saveQuotas(t, opened, second)
		wantQuotas(t, open(t, s), first, second)
		saveQuotas(t, opened)
		wantQuotas(t, opened, first, second)
	})
}

// Each part of the name tells quotas apart.
func TestQuotasAreKnownByTheirWholeName(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		quotas := make([]store.Quota, 4)
		for i := range quotas {
			quotas[i] = daily("k", int64(i), time.Hour)
		}
		quotas[1].Key, quotas[2].Table, quotas[3].Upstream = "", "upstream.crm.limit[1]", "github"
		opened := open(t, s)
		saveQuotas(t, opened, quotas...)
		wantQuotas(t, opened, quotas[1], quotas[0], quotas[2], quotas[3])
	})
}

func TestQuotaThatIsOverIsForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, lasting := open(t, s), daily("lasting", 1, time.Hour)
		saveQuotas(t, opened, daily("over", 1, -time.Millisecond), daily("ending", 1, time.Hour), lasting)
		if err := opened.EndQuota(t.Context(), "ending"); err != nil {
			t.Fatal(err)
		}
		wantQuotas(t, opened, lasting)
		wantQuotaRows(t, opened, 2) // nobody has saved since
		saveQuotas(t, opened)
		wantQuotaRows(t, opened, 1)
	})
}

func wantQuotaRows(t *testing.T, s *store.Store, want int) {
	t.Helper()
	if rows, err := s.QuotaRows(t.Context()); err != nil || rows != want {
		t.Errorf("the table has %d rows, %v; want %d", rows, err, want)
	}
}

// A sidecar that could not read the store when it started believes in a fresh day. It
// would have told the next one so.
func TestSmallerCountOfTheSameWindowUndoesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		knowing, fresh := open(t, s), open(t, s)
		kept := daily("k", 900, time.Hour)
		saveQuotas(t, knowing, kept)
		saveQuotas(t, fresh, daily("k", 10, time.Hour))
		saveQuotas(t, fresh, daily("k", 10, time.Hour-50*time.Second)) // as it was told, in seconds
		wantQuotas(t, knowing, kept)
		more := daily("k", 901, time.Hour-time.Second)
		saveQuotas(t, fresh, more)
		wantQuotas(t, knowing, more)
	})
}

func TestLastOneIsRightAboutAnotherWindow(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		// The provider said tomorrow, and then that it meant in an hour.
		saveQuotas(t, opened, daily("k", 900, 24*time.Hour))
		sooner := daily("k", 10, time.Hour)
		saveQuotas(t, opened, sooner)
		wantQuotas(t, opened, sooner)
		later := daily("k", 5, 2*time.Hour)
		saveQuotas(t, opened, later)
		wantQuotas(t, opened, later)
		// What has ended holds nothing up, however near the next end is.
		if err := opened.EndQuota(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		next := daily("k", 0, 10*time.Second)
		saveQuotas(t, opened, next)
		wantQuotas(t, opened, next)
	})
}

func TestLastOneIsRightAboutAQuotaWithoutAnEnd(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, bucket := open(t, s), daily("k", 0, time.Hour)
		saveQuotas(t, opened, bucket)
		bucket.State = []byte(`{"tokens":7}`)
		saveQuotas(t, opened, bucket)
		wantQuotas(t, opened, bucket)
	})
}

// Names are a provider's, who may send whatever it likes.
func TestQuotaThatCannotBeKeptKeepsNoOtherFromIt(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, good := open(t, s), daily(strings.Repeat("ü", 256), 1, time.Hour)
		good.State = bytes.Repeat([]byte("s"), 4<<10)
		long, large, none := daily(strings.Repeat("x", 513), 1, time.Hour), daily("large", 1, time.Hour), daily("none", 1, time.Hour)
		large.State, none.State = append(good.State, 's'), nil
		saveQuotas(t, opened, long, large, none, daily("zero\x00", 1, time.Hour), daily("\xff", 1, time.Hour), good)
		wantQuotas(t, opened, good)
	})
}

func TestQuotasAreBounded(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, quotas := open(t, s), make([]store.Quota, 10_002)
		for i := range quotas {
			quotas[i] = daily(fmt.Sprintf("%05d", i), 1, 2*time.Hour)
		}
		quotas[4].Until = time.Now().Add(time.Hour)
		quotas[7].Until = time.Now().Add(time.Hour)
		saveQuotas(t, opened, quotas...)
		kept, err := opened.Quotas(t.Context())
		if err != nil || len(kept) != 10_000 {
			t.Fatalf("%d are kept, %v", len(kept), err)
		}
		for _, q := range kept {
			if q.Key == quotas[4].Key || q.Key == quotas[7].Key {
				t.Errorf("%s is kept, which ends before the others", q.Key)
			}
		}
		wantQuotaRows(t, opened, 10_000)
	})
}

func TestQuotasAreSavedAllOrNone(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, kept := open(t, s), daily("a", 1, time.Hour)
		saveQuotas(t, opened, kept)
		if err := opened.Exec(t.Context(), `CREATE UNIQUE INDEX one ON outrider_quotas (spent)`); err != nil {
			t.Fatal(err)
		}
		err := opened.SaveQuotas(t.Context(), []store.Quota{daily("a", 2, time.Hour), daily("b", 3, time.Hour), daily("c", 3, time.Hour)})
		wantRefused(t, err, "saving quotas")
		wantQuotas(t, opened, kept)
	})
}

// An Outrider that is updated finds the store of the one before, with its tokens.
func TestStoreFromBeforeQuotasGetsThem(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		seed(t, s)
		before, err := store.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := before.Downgrade(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		opened, quota := open(t, s), daily("a", 1, time.Hour)
		saveQuotas(t, opened, quota)
		wantQuotas(t, opened, quota)
		wantKept(t, opened, "a/b", canary)
	})
}

// Tokens and quotas use one store, and several stores one database.
func TestQuotasAndTokensAreSavedBesideEachOther(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		done := make(chan struct{})
		stores := []*store.Store{open(t, s), open(t, s)}
		for i, opened := range stores {
			go func() {
				defer func() { done <- struct{}{} }()
				for n := range 20 {
					if err := opened.SaveQuotas(context.Background(), []store.Quota{daily("a", int64(n), time.Hour), daily("b", int64(n), time.Hour)}); err != nil {
						t.Errorf("store %d: %v", i, err)
					}
				}
			}()
			go func() {
				defer func() { done <- struct{}{} }()
				for range 20 {
					save(t, opened, fmt.Sprint(i), canary)
				}
			}()
		}
		for range 2 * len(stores) {
			<-done
		}
	})
}

func TestQuotasOfAClosedStoreSaySo(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened, err := store.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, opened.SaveQuotas(t.Context(), nil), "saving quotas", "closed")
		_, err = opened.Quotas(t.Context())
		wantRefused(t, err, "reading quotas", "closed")
	})
}

// More quotas than the reserve has room for make it no smaller.
func TestQuotasLeaveTheReserveAsItIs(t *testing.T) {
	opened := open(t, settings(t.TempDir()))
	for from := 0; from < 3000; from += 1000 {
		quotas := make([]store.Quota, 1000)
		for i := range quotas {
			quotas[i] = daily(fmt.Sprint(from+i), 1, time.Hour)
			quotas[i].State = bytes.Repeat([]byte("s"), 300)
		}
		saveQuotas(t, opened, quotas...)
		if free, err := opened.Free(t.Context()); err != nil || free < 256<<10 {
			t.Errorf("after %d quotas %d bytes are free, %v", from+len(quotas), free, err)
		}
	}
}

// Where the disk is full, the room is for tokens; what is kept goes on in its place.
func TestQuotasTakeNoRoomFromTokensOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	opened, kept := open(t, settings(dir)), daily("k", 1, time.Hour)
	saveQuotas(t, opened, kept)
	if err := opened.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	free, err := opened.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more := make([]store.Quota, 200)
	for i := range more {
		more[i] = daily(fmt.Sprint(i), 1, time.Hour)
	}
	wantRefused(t, opened.SaveQuotas(t.Context(), more), "saving quotas", database(dir), "disk is full", "room for tokens")
	if now, err := opened.Free(t.Context()); err != nil || now < free {
		t.Errorf("%d bytes are free, %v; there were %d", now, err, free)
	}
	kept = daily("k", 2, time.Hour)
	saveQuotas(t, opened, kept)
	wantQuotas(t, opened, kept)
	save(t, opened, "a/b", canary)
}
