package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
)

// lanes looks for letters, which frees those of senders that have died.
func lanes(t testing.TB, h *store.Holder) []store.Lane {
	t.Helper()
	found, _, err := h.Lanes(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func delivered(t testing.TB, h *store.Holder, id string) {
	t.Helper()
	must(t, h.Depart(context.Background(), id))
	must(t, h.End(context.Background(), id, store.End{State: store.Delivered}))
}

// TestSendersClaimEachLetterOnce has two stores with two senders each empty one lane.
func TestSendersClaimEachLetterOnce(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		const letters = 120
		one, two := open(t, s), open(t, s)
		for n := range letters {
			keep(t, one.Outbox(), letter(fmt.Sprint("letter ", n)), "body")
		}
		var mu sync.Mutex
		var sent []string
		var sending sync.WaitGroup
		for _, opened := range []*store.Store{one, one, two, two} {
			holder := hold(t, opened.Outbox())
			sending.Go(func() {
				for {
					claimed, err := holder.Claim(t.Context(), "crm/default", 7)
					if err != nil || len(claimed) == 0 {
						if err != nil {
							t.Error(err)
						}
						return
					}
					for _, l := range claimed {
						if err := errors.Join(holder.Depart(t.Context(), l.ID), holder.End(t.Context(), l.ID, store.End{State: store.Delivered})); err != nil {
							t.Error(err)
						}
						mu.Lock()
						sent = append(sent, l.ID)
						mu.Unlock()
					}
				}
			})
		}
		sending.Wait()
		slices.Sort(sent)
		if unique := len(slices.Compact(slices.Clone(sent))); unique != letters || len(sent) != letters {
			t.Errorf("of %d letters %d were sent, %d times", letters, unique, len(sent))
		}
		wantTallied(t, one)
	})
}

// TestSilentSenderIsReplacedAndSendsNothingMore: a machine that stood still comes back, and
// its letter is another's by then.
func TestSilentSenderIsReplacedAndSendsNothingMore(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "body")
		keep(t, o, letter("b"), "body")
		silent, other := hold(t, o), hold(t, open(t, s).Outbox())
		wantIDs(t, claim(t, silent, 10), "a", "b")
		must(t, silent.Depart(t.Context(), "a"))
		if found := lanes(t, other); len(found) != 0 {
			t.Errorf("lanes while somebody holds all: %v", found)
		}
		must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1 WHERE holder = $1`, silent.Name()))
		if found := lanes(t, other); len(found) != 1 {
			t.Fatalf("lanes after the lease ended: %v", found)
		}
		wantIDs(t, claim(t, other, 10), "a", "b")
		if get(t, o, "a").Departed.IsZero() || !get(t, o, "b").Departed.IsZero() {
			t.Error("what was sent is not known any more")
		}
		for what, err := range map[string]error{
			"depart": silent.Depart(t.Context(), "b"),
			"later":  silent.Later(t.Context(), "a", store.Later{Attempt: []byte("lost")}),
			"end":    silent.End(t.Context(), "b", store.End{State: store.Dead}),
			"long":   silent.End(t.Context(), "a", store.End{State: store.Delivered, ResponseHead: []byte("200"), Response: strings.NewReader(strings.Repeat("x", 600<<10))}),
		} {
			if !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want ErrLost", what, err)
			}
		}
		delivered(t, other, "a")
		delivered(t, other, "b")
		wantTallied(t, opened)
	})
}

// TestSenderThatWasReplacedIsSoForGood: it stood still, another took its letter over, had it
// depart, and died. The letter is free again, but whoever was about to send it for the first
// one must not: it may have been done.
func TestSenderThatWasReplacedIsSoForGood(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "body")
		silent, other := hold(t, o), hold(t, open(t, s).Outbox())
		wantIDs(t, claim(t, silent, 10), "a")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1 WHERE holder = $1`, silent.Name()))
		lanes(t, other)
		wantIDs(t, claim(t, other, 10), "a")
		must(t, other.Depart(t.Context(), "a"))
		must(t, other.Close(t.Context()))
		if claimed, err := silent.Claim(t.Context(), "crm/default", 10); !errors.Is(err, store.ErrLost) {
			t.Errorf("it claimed %v, %v; want ErrLost", claimed, err)
		}
		if err := silent.Depart(t.Context(), "a"); !errors.Is(err, store.ErrLost) {
			t.Errorf("depart: got %v, want ErrLost", err)
		}
		must(t, silent.Close(t.Context()))
		wantIDs(t, claim(t, hold(t, o), 10), "a")
	})
}

// TestSenderDoesNotTakeItselfForDead: the database was away for longer than its lease.
func TestSenderDoesNotTakeItselfForDead(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 1), "a")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1`))
		lanes(t, holder)
		_, err := o.Sweep(t.Context(), store.SweepSettings{}) // which frees the letters of the dead, too
		must(t, err)
		must(t, holder.End(t.Context(), "a", store.End{State: store.Delivered}))
	})
}

// TestSilentSenderThatNobodyReplacedGoesOn: its database was away, and so was everybody's.
func TestSilentSenderThatNobodyReplacedGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		keep(t, o, letter("b"), "")
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 1), "a")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1`))
		must(t, holder.Depart(t.Context(), "a"))
		wantIDs(t, claim(t, holder, 1), "b") // which prolongs it
		lanes(t, hold(t, o))
		must(t, holder.End(t.Context(), "a", store.End{State: store.Delivered}))
	})
}

// TestSenderThatStoodStillDoesNotTakeItsOwnLettersAway: a machine was suspended, and its lease
// was over when it woke. The sender looked for letters, and freed those that it was sending: how
// they ended could not be noted, and they were sent again, or dead for having been sent.
func TestSenderThatStoodStillDoesNotTakeItsOwnLettersAway(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 1), "a")
		must(t, holder.Depart(t.Context(), "a"))
		must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1`))
		if found := lanes(t, holder); len(found) != 0 {
			t.Errorf("lanes while it holds all: %v", found)
		}
		if swept, err := o.Sweep(t.Context(), store.SweepSettings{}); err != nil || swept.Senders != 0 {
			t.Errorf("swept %+v, %v", swept, err)
		}
		must(t, holder.End(t.Context(), "a", store.End{State: store.Delivered}))
	})
}

func TestClosedSenderGivesItsLettersBack(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		keep(t, o, letter("a"), "")
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 10), "a")
		must(t, holder.Close(t.Context()))
		wantIDs(t, claim(t, hold(t, o), 10), "a")
	})
}

// TestClaimWhoseAnswerWasLostIsGivenBack: the letters were ours in the database, and nobody
// knew. That was looked for during a minute after the claim; where the database was away for
// longer, they stayed so until the sidecar was restarted.
func TestClaimWhoseAnswerWasLostIsGivenBack(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		keep(t, o, letter("b"), "")
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 1), "a")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET holder = $1 WHERE id = 'b'`, holder.Name()))
		lanes(t, holder)
		wantIDs(t, claim(t, holder, 10), "b")
		delivered(t, holder, "a")
	})
}

// TestClaimNeedsOneConnection: for a letter whose data key does not open it asked for a second
// one in the middle of its transaction. Of as many claims as there are connections each waited
// for the others, until all of them were broken off.
func TestClaimNeedsOneConnection(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		keep(t, o, letter("b"), "")
		must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET key = 7 WHERE id = 'b'`))
		holder := hold(t, o)
		opened.OneConnection()
		wantIDs(t, claim(t, holder, 10), "a", "b")
		if !get(t, o, "b").Damaged {
			t.Error("b is not damaged")
		}
		must(t, holder.End(t.Context(), "b", store.End{State: store.Dead, Reason: "damaged"}))
		delivered(t, holder, "a")
	})
}

// TestKilledSenderIsReplaced: on Linux at once, with SQLite; elsewhere when its lease ends.
func TestKilledSenderIsReplaced(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, keyless(s))
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		command, output := start(t, "claim", s, 1, "")
		if !bufio.NewScanner(output).Scan() {
			t.Fatal("the child did not claim")
		}
		holder := hold(t, o)
		if found := lanes(t, holder); len(found) != 0 {
			t.Errorf("lanes while it lives: %v", found)
		}
		_ = command.Process.Kill()
		_ = command.Wait() // killed
		if !opened.HasWitness() {
			must(t, opened.Exec(t.Context(), `UPDATE outrider_senders SET until = 1 WHERE holder <> $1`, holder.Name()))
		}
		lanes(t, holder)
		wantIDs(t, claim(t, holder, 10), "a")
		if get(t, o, "a").Departed.IsZero() {
			t.Error("that it was sent is not known any more")
		}
	})
}

// TestLanesTellWhenTheFirstIsDue, and what time it is.
func TestLanesTellWhenTheFirstIsDue(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		for n, lane := range []string{"c", "a", "b", "a"} {
			l := letter(fmt.Sprint(n))
			l.Lane, l.Upstream, l.Delay = lane, "of "+lane, time.Duration(4-n)*time.Hour
			keep(t, o, l, "")
		}
		found, now, err := hold(t, o).Lanes(t.Context(), false)
		if err != nil || time.Since(now).Abs() > time.Minute || len(found) != 3 {
			t.Fatalf("got %v at %v, %v", found, now, err)
		}
		for i, want := range []store.Lane{{Name: "a", Upstream: "of a", Due: time.Hour}, {Name: "b", Upstream: "of b", Due: 2 * time.Hour}, {Name: "c", Upstream: "of c", Due: 4 * time.Hour}} {
			if got := found[i]; got.Name != want.Name || got.Upstream != want.Upstream || (want.Due-got.Due).Abs() > time.Minute {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

func TestExpiredLettersAreClaimedWhateverTheirTurn(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for _, id := range []string{"a", "b", "c"} {
			l := letter(id)
			l.Order, l.Delay, l.MaxAge = "key", time.Hour, time.Hour
			keep(t, o, l, "")
		}
		keep(t, o, letter("ageless"), "")
		holder := hold(t, o)
		expired := func() (ids []string) {
			claimed, err := holder.ClaimExpired(t.Context(), 0, 10)
			must(t, err)
			for _, l := range claimed {
				if !l.Expired {
					t.Errorf("%s is not expired", l.ID)
				}
				ids = append(ids, l.ID)
			}
			slices.Sort(ids)
			return ids
		}
		wantIDs(t, expired())
		must(t, opened.Exec(t.Context(), `UPDATE outrider_letters SET expires = 1 WHERE id IN ('a', 'b')`))
		if claimed, err := holder.ClaimExpired(t.Context(), 200*365*24*time.Hour, 10); err != nil || len(claimed) != 0 {
			t.Errorf("by grace they are young: got %v, %v", claimed, err)
		}
		wantIDs(t, expired(), "a", "b")
		for _, id := range []string{"b", "a"} {
			must(t, holder.End(t.Context(), id, store.End{State: store.Dead, Reason: "age"}))
		}
		n, err := o.Hurry(t.Context(), store.Filter{}, 0)
		if n != 1 || err != nil {
			t.Errorf("hurried %d, %v", n, err)
		}
		wantIDs(t, claim(t, holder, 10), "ageless") // c is behind dead ones
	})
}
