package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
	"outrider/proxy/store"

	"pgregory.net/rapid"
)

// A side is one of two stores to which the same is done.
type side struct {
	store  outbox.Store
	holder outbox.Holder
}

// TestStoreInMemoryDoesWhatTheRealOneDoes has the same done to both: the tests in virtual time
// are worth no more than that.
func TestStoreInMemoryDoesWhatTheRealOneDoes(t *testing.T) {
	ctx := context.Background()
	kept, err := store.Open(ctx, store.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	number := 0 // of letters, over all checks
	rapid.Check(t, func(rt *rapid.T) {
		sides := [2]side{{store: outbox.Over(kept.Outbox())}, {store: &outboxtest.Store{}}}
		for i := range sides {
			if sides[i].holder, err = sides[i].store.Hold(ctx); err != nil {
				rt.Fatal(err)
			}
		}
		defer func() { // the next check begins with nothing
			closed := sides[0].holder.Close(ctx)
			if _, err := sides[0].store.Drop(ctx, store.Filter{}); closed != nil || err != nil {
				rt.Fatal(closed, err)
			}
		}()
		h := &history{number: &number, dedup: fmt.Sprint("d", number)} // a key outlives its letter
		skip := rapid.Bool().Draw(rt, "skip dead")
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			do := h.step(rt, skip)
			var got [2]string
			for i, s := range sides {
				got[i] = do(s) + "\n" + whole(s)
			}
			if got[0] != got[1] {
				rt.Fatalf("SQLite:\n%s\nmemory:\n%s", got[0], got[1])
			}
		}
	})
}

// A history is what was done to both so far.
type history struct {
	ids    []string
	number *int   // of letters, over all of them
	dedup  string // a key of this one
}

// step draws one thing to do, which tells what came of it.
func (h *history) step(rt *rapid.T, skip bool) func(side) string {
	ctx := context.Background()
	if len(h.ids) == 0 || rapid.IntRange(0, 2).Draw(rt, "keep") == 0 {
		*h.number++
		l := store.NewLetter{
			ID: fmt.Sprintf("l%06d", *h.number), Upstream: "crm", Lane: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "lane"),
			Order: rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "order"), Dedup: rapid.SampledFrom([]string{"", "", h.dedup}).Draw(rt, "dedup"),
			DedupFor: time.Hour, MaxAge: time.Hour, Delay: time.Duration(rapid.IntRange(0, 1).Draw(rt, "delay")) * time.Hour,
			Head: func(b store.Body) ([]byte, error) { return fmt.Appendf(nil, "head of %d", b.Size), nil },
		}
		h.ids = append(h.ids, l.ID)
		return func(s side) string {
			r, err := s.store.Keep(ctx, l, strings.NewReader("body"), store.Bounds{})
			return fmt.Sprint(r.ID, r.Duplicate, class(err))
		}
	}
	id := rapid.SampledFrom(h.ids).Draw(rt, "id")
	lane := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "lane")
	state := rapid.SampledFrom([]string{store.Delivered, store.Dead}).Draw(rt, "state")
	switch rapid.IntRange(0, 11).Draw(rt, "step") {
	case 0:
		return func(s side) string { return class(s.store.Cancel(ctx, id)) }
	case 1:
		return func(s side) string {
			n, err := s.store.Requeue(ctx, store.Filter{}, store.Requeue{MaxAge: time.Hour, ForgetDepart: state == store.Dead})
			return fmt.Sprint(n, class(err))
		}
	case 2:
		return func(s side) string {
			n, err := s.store.Hurry(ctx, store.Filter{IDs: []string{id}}, 0)
			return fmt.Sprint(n, class(err))
		}
	case 3:
		return func(s side) string { return class(s.holder.Depart(ctx, id)) }
	case 4:
		return func(s side) string {
			return class(s.holder.Later(ctx, id, store.Later{
				Delay: time.Hour, Attempt: []byte("a"), ForgetDepart: state == store.Dead, ResponseHead: []byte("h"), Response: strings.NewReader("r"),
			}))
		}
	case 5, 6:
		return func(s side) string {
			return class(s.holder.End(ctx, id, store.End{State: state, Reason: "why", Attempt: []byte("a")}))
		}
	case 10:
		dedup, order := rapid.SampledFrom([]string{"", h.dedup}).Draw(rt, "dedup"), rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "order")
		return func(s side) string {
			there, err := s.store.Earlier(ctx, dedup, order, skip)
			return fmt.Sprint(there, class(err))
		}
	case 11:
		ids := slices.Clone(h.ids)
		return func(s side) string {
			behind, err := s.store.Behind(ctx, ids)
			return fmt.Sprint(behind, class(err)) // maps are printed in order
		}
	case 7:
		return func(s side) string {
			n, err := s.store.Drop(ctx, store.Filter{IDs: []string{id}})
			return fmt.Sprint(n, class(err))
		}
	}
	return func(s side) string {
		lanes, _, err := s.holder.Lanes(ctx, skip)
		told := class(err)
		for _, l := range lanes {
			told += fmt.Sprintf(" %s %t", l.Name, l.Due <= 0)
		}
		claimed, err := s.holder.Claim(ctx, lane, 2)
		for _, l := range claimed {
			told += " " + l.ID
		}
		return told + class(err)
	}
}

// class is what a caller can tell an error by.
func class(err error) string {
	for _, known := range []error{store.ErrUnknown, store.ErrHeld, store.ErrEnded, store.ErrLost} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(err)
}

// whole is all that there is in a store, but for the times.
func whole(s side) string {
	ctx := context.Background()
	var told []string
	letters, err := s.store.List(ctx, store.Filter{}, "", 500)
	for _, l := range letters {
		head, body, err := s.store.Response(ctx, l.ID)
		answer := ""
		if head != nil {
			text, _ := io.ReadAll(body)
			answer = string(head) + string(text)
		}
		records, _ := s.store.Attempts(ctx, l.ID)
		told = append(told, fmt.Sprint(l.ID, l.Lane, l.State, l.Reason, l.Attempts, len(records), l.BodySize, l.Held, l.Ordered,
			!l.Departed.IsZero(), !l.Ended.IsZero(), string(l.Head), l.Damaged, answer, class(err)))
	}
	counts, _ := s.store.Counts(ctx)
	for _, c := range counts {
		if c.Letters > 0 {
			told = append(told, fmt.Sprint(c.Upstream, c.State, c.Reason, c.Letters))
		}
	}
	slices.Sort(told)
	return class(err) + "\n" + strings.Join(told, "\n")
}
