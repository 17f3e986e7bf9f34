package store_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/store"
)

// increment adds one to the number that slot keeps.
func increment(ctx context.Context, slot *store.Slot) error {
	unlock, err := slot.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	data, err := slot.Load(ctx)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(data)) // 0 at first
	return slot.Save(ctx, []byte(strconv.Itoa(n+1)))
}

func TestLockLosesNoUpdateBetweenGoroutinesAndStores(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		var workers sync.WaitGroup
		for _, opened := range []*store.Store{one, one, one, two, two, two} {
			workers.Go(func() {
				for range 10 {
					if err := increment(t.Context(), opened.Slot("counter")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		workers.Wait()
		wantKept(t, one, "counter", "60")
	})
}

func TestLockOfOneSlotDoesNotHoldAnother(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		one := lock(t, opened.Slot("one"))
		defer one()
		lock(t, opened.Slot("two"))()
	})
}

func TestLockRespectsTheContext(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		defer lock(t, one.Slot("a/b"))()
		for _, waiting := range []*store.Store{one, two} { // in the process, and between
			tooLong := errors.New("the call's deadline")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, tooLong)
			_, err := waiting.Slot("a/b").Lock(ctx)
			cancel()
			wantRefused(t, err, `"a/b"`)
			if !errors.Is(err, tooLong) {
				t.Errorf("got %v, want why the context ended", err)
			}
		}
	})
}

// TestCancelledWaiterLeavesNothingBehind: neither the turn nor a lease.
func TestCancelledWaiterLeavesNothingBehind(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		for range 50 {
			unlock := lock(t, one.Slot("a/b"))
			ctx, cancel := context.WithCancel(t.Context())
			var waiting sync.WaitGroup
			waiting.Go(func() {
				if unlock, err := two.Slot("a/b").Lock(ctx); err == nil {
					unlock()
				}
			})
			unlock()
			cancel()
			waiting.Wait()
		}
		lock(t, one.Slot("a/b"))()
		lock(t, two.Slot("a/b"))()
	})
}

func TestUnlockWorksAfterTheContextEnded(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		unlock, err := one.Slot("a/b").Lock(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		unlock()
		lock(t, two.Slot("a/b"))()
	})
}

func TestLeaseOfADeadHolderIsTakenOverWhenItEnds(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		slot := open(t, s).Slot("a/b")
		start := time.Now() // no later than the lease begins, however slow the machine is
		if taken, err := slot.Abandon(t.Context(), store.Lease-200*time.Millisecond); !taken || err != nil {
			t.Fatal(taken, err)
		}
		lock(t, slot)()
		if waited := time.Since(start); waited < 190*time.Millisecond {
			t.Errorf("the last 200 ms of a lease were over after %s", waited)
		}
	})
}

// TestHolderThatLivesProlongsItsLease: a token endpoint may take longer than a lease.
func TestHolderThatLivesProlongsItsLease(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		slot := open(t, s).Slot("a/b")
		taken, err := slot.Abandon(t.Context(), store.Lease-time.Second)
		if !taken || err != nil {
			t.Fatal(taken, err)
		}
		if err := slot.Prolong(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := slot.Age(t.Context(), store.Lease-time.Second); err != nil {
			t.Fatal(err)
		}
		if taken, err := slot.Abandon(t.Context(), 0); taken || err != nil {
			t.Errorf("it was taken over: %v", err)
		}
	})
}

// TestUnlockLeavesALeaseThatWasTakenOver: a holder that was too slow must not
// give back what is another's by now.
func TestUnlockLeavesALeaseThatWasTakenOver(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		one, two := open(t, s), open(t, s)
		late := lock(t, one.Slot("a/b"))
		if err := one.Exec(t.Context(), "UPDATE outrider_leases SET until = 0"); err != nil {
			t.Fatal(err)
		}
		defer lock(t, two.Slot("a/b"))()
		late()
		late() // twice does nothing either
		if taken, err := one.Slot("a/b").Abandon(t.Context(), 0); taken || err != nil {
			t.Errorf("the lease of the other was given back: %v", err)
		}
	})
}

// TestLongQueueIsNoSilence: the tokens of some thousand connections end in the same
// minute, and on a slow disk each lease waits for the writes before it. Locks failed
// with "the store did not answer within 5s", and leases that could not be given back in
// time kept everybody from their slots for 30 seconds.
func TestLongQueueIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, err := store.Open(t.Context(), settings(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		slot := opened.Slot("a/b")
		wait := func(what func()) {
			release, err := opened.Occupy(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var waiting sync.WaitGroup
			waiting.Go(what)
			time.Sleep(8 * time.Second)
			release()
			waiting.Wait()
		}
		var unlock func()
		wait(func() {
			if unlock, err = slot.Lock(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			return
		}
		wait(func() { unlock() })
		if taken, err := slot.Abandon(t.Context(), 0); !taken || err != nil {
			t.Errorf("the lease was not given back: %v", err)
		}
	})
}

func lock(t *testing.T, slot *store.Slot) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	unlock, err := slot.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}
