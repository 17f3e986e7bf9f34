package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/store"
)

// headOf is what gives a letter a head.
func headOf(text string) func(store.Body) ([]byte, error) {
	return func(b store.Body) ([]byte, error) { return fmt.Appendf(nil, "%s of %d", text, b.Size), nil }
}

func TestCancelledLetterIsNotSent(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for _, id := range []string{"a", "b"} {
			keep(t, o, letter(id), "body")
		}
		must(t, o.Cancel(t.Context(), "a"))
		holder := hold(t, o)
		wantIDs(t, claim(t, holder, 10), "b")
		for id, want := range map[string]error{"a": store.ErrEnded, "b": store.ErrHeld, "c": store.ErrUnknown} {
			if err := o.Cancel(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", id, err, want)
			}
		}
		delivered(t, holder, "b")
		if err := o.Cancel(t.Context(), "b"); !errors.Is(err, store.ErrEnded) {
			t.Errorf("got %v", err)
		}
		if l := get(t, o, "a"); l.State != store.Cancelled || l.Ended.IsZero() || string(l.Head) != "head of a" {
			t.Errorf("got %+v", l)
		}
		wantTallied(t, opened)
	})
}

// TestEditedLetterIsSentAsItIsNow: a replacement that breaks off changes nothing, and one
// that is whole takes the place of all.
func TestEditedLetterIsSentAsItIsNow(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "body")
		long := strings.Repeat("new", 200_000)
		change := store.Replacement{Head: headOf("new"), Body: strings.NewReader(long)}
		if err := o.Replace(t.Context(), "a", change); !errors.Is(err, store.ErrEnded) {
			t.Errorf("one that waits: got %v", err)
		}
		holder := hold(t, o)
		claim(t, holder, 1)
		must(t, holder.Depart(t.Context(), "a"))
		must(t, holder.End(t.Context(), "a", store.End{State: store.Dead, Reason: "refused", Attempt: []byte("first"), ResponseHead: []byte("400")}))
		change.MaxBody = 400_000
		if err := o.Replace(t.Context(), "a", change); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		if body(t, o, "a") != "body" {
			t.Error("a replacement that broke off has changed it")
		}
		change.Body, change.MaxBody = strings.NewReader(long), 0
		must(t, o.Replace(t.Context(), "a", change))
		must(t, o.Replace(t.Context(), "a", store.Replacement{Head: headOf("newer")}))
		if l := get(t, o, "a"); string(l.Head) != "newer of 600000" || l.State != store.Dead || l.Damaged || body(t, o, "a") != long {
			t.Errorf("got %+v", l)
		}
		n, err := o.Requeue(t.Context(), store.Filter{Reason: "refused"}, store.Requeue{MaxAge: time.Hour, ForgetDepart: true})
		if n != 1 || err != nil {
			t.Errorf("requeued %d, %v", n, err)
		}
		if l := get(t, o, "a"); !l.Departed.IsZero() || l.Attempts != 0 || l.Reason != "" || !l.Ended.IsZero() || time.Until(l.Expires) < 50*time.Minute {
			t.Errorf("got %+v", l)
		}
		wantAnswer(t, o, "a", "400", "") // until there is another
		claim(t, holder, 1)
		must(t, holder.Later(t.Context(), "a", store.Later{Attempt: []byte("second"), ResponseHead: []byte("503"), Response: strings.NewReader(long)}))
		wantAnswer(t, o, "a", "503", long)
		claim(t, holder, 1)
		must(t, holder.End(t.Context(), "a", store.End{State: store.Dead, Reason: "age"}))
		wantAnswer(t, o, "a", "503", long)
		records, err := o.Attempts(t.Context(), "a")
		if err != nil || fmt.Sprintf("%s", records) != "[first second]" {
			t.Errorf("got %s, %v", records, err)
		}
		wantTallied(t, opened)
	})
}

// TestCallbackIsKeptWithTheEnd, although the outbox is full, or not at all.
func TestCallbackIsKeptWithTheEnd(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		keep(t, o, letter("a"), "")
		holder := hold(t, o)
		claim(t, holder, 1)
		no := errors.New("no")
		callback := &store.Follow{Letter: letter("callback"), Body: []byte("a was delivered")}
		callback.Letter.Head = func(store.Body) ([]byte, error) { return nil, no }
		if err := holder.End(t.Context(), "a", store.End{State: store.Delivered, Follow: callback}); !errors.Is(err, no) {
			t.Errorf("got %v", err)
		}
		if l := get(t, o, "a"); l.State != store.Waiting || !l.Held {
			t.Errorf("it ended without its callback: %+v", l)
		}
		callback.Letter = letter("callback")
		must(t, holder.End(t.Context(), "a", store.End{State: store.Delivered, Follow: callback}))
		if body(t, o, "callback") != "a was delivered" {
			t.Error("it is another one")
		}
		wantIDs(t, claim(t, holder, 10), "callback")
		wantTallied(t, opened)
	})
}

func TestLettersAreListedInPages(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		for n := range 9 {
			l := letter(fmt.Sprint("letter ", n))
			l.Upstream = []string{"crm", "mail", "pay"}[n%3]
			keep(t, o, l, "")
		}
		must(t, o.Cancel(t.Context(), "letter 3"))
		pages := func(f store.Filter, list func(after string) ([]store.Stored, error)) (ids []string) {
			for after := ""; ; {
				page, err := list(after)
				must(t, err)
				if len(page) == 0 {
					return ids
				}
				for _, l := range page {
					if string(l.Head) != "head of "+l.ID {
						t.Errorf("got head %q of %s", l.Head, l.ID)
					}
					ids = append(ids, strings.TrimPrefix(l.ID, "letter "))
					after = l.ID
				}
			}
		}
		for want, f := range map[string]store.Filter{
			"012345678": {},
			"036":       {Upstream: "crm"},
			"06":        {Upstream: "crm", States: []string{store.Waiting}},
			"3":         {States: []string{store.Cancelled, store.Delivered}},
			"14":        {IDs: []string{"letter 4", "letter 1", "letter 3", "nothing"}, States: []string{store.Waiting}},
			"":          {Before: time.Now().Add(-time.Hour)},
			"45":        {IDs: []string{"letter 4", "letter 5"}, Before: time.Now().Add(time.Hour)},
		} {
			forth := pages(f, func(after string) ([]store.Stored, error) { return o.List(t.Context(), f, after, 2) })
			back := pages(f, func(before string) ([]store.Stored, error) { return o.ListBack(t.Context(), f, before, 2) })
			slices.Reverse(back)
			if strings.Join(forth, "") != want || strings.Join(back, "") != want {
				t.Errorf("%+v: got %q and back %q, want %q", f, forth, back, want)
			}
		}
		counts, err := o.Counts(t.Context())
		if err != nil || len(counts) != 4 || counts[0].Upstream != "crm" || counts[0].State != store.Cancelled || counts[1].Letters != 2 || time.Since(counts[1].Oldest).Abs() > time.Minute {
			t.Errorf("got %+v, %v", counts, err)
		}
	})
}

func TestSweepForgetsWhatIsOver(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		for _, id := range []string{"delivered", "dead", "cancelled", "waiting"} {
			keep(t, o, once(id, id), "body")
		}
		holder := hold(t, o)
		claim(t, holder, 10)
		delivered(t, holder, "delivered")
		must(t, holder.End(t.Context(), "dead", store.End{State: store.Dead, Reason: "refused"}))
		must(t, holder.Later(t.Context(), "cancelled", store.Later{}))
		must(t, o.Cancel(t.Context(), "cancelled"))
		sweep := func(keepResults, keepDead time.Duration, want store.Swept) {
			t.Helper()
			if swept, err := o.Sweep(t.Context(), store.SweepSettings{KeepResults: keepResults, KeepDead: keepDead}); err != nil || swept != want {
				t.Errorf("got %+v, %v; want %+v", swept, err, want)
			}
		}
		sweep(time.Hour, time.Hour, store.Swept{})
		sweep(0, time.Hour, store.Swept{Forgotten: 2, More: true})
		sweep(0, 0, store.Swept{Forgotten: 1, More: true})
		sweep(0, 0, store.Swept{})
		must(t, opened.Exec(t.Context(), `UPDATE outrider_dedups SET until = 1 WHERE letter = 'delivered'`))
		sweep(0, 0, store.Swept{More: true})
		if n, err := opened.Rows(t.Context(), "dedups"); n != 1 || err != nil { // that of the one which waits
			t.Errorf("%d dedup keys are left, %v", n, err)
		}
		wantTallied(t, opened)
	})
}

// TestClockThatWasSetBackHoldsNothingUp: what is due later is due now, and no key gets
// younger. It was seen that letters which were kept after the clock was set, and before that
// was noticed, were over at once: their time was taken off, too.
func TestClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		l := letter("later")
		l.Delay, l.MaxAge, l.Sent, l.Departed = 3*time.Hour, 5*time.Hour, true, time.Minute
		keep(t, o, l, "")
		const ahead = `UPDATE outrider_letters SET created = created + $1, due = due + $1, expires = expires + $1, departed = departed + $1`
		if err := opened.Exec(t.Context(), ahead, (2 * time.Hour).Milliseconds()); err != nil {
			t.Fatal(err)
		}
		since := l
		since.ID, since.Delay, since.Sent = "before", 0, false // which may be due in the same millisecond
		keep(t, o, since, "")
		before, fresh := get(t, o, "later"), get(t, o, "before")
		holder := hold(t, o)
		n, err := o.Hurry(t.Context(), store.Filter{}, 2*time.Hour)
		if n != 1 || err != nil {
			t.Errorf("hurried %d, %v", n, err)
		}
		after := get(t, o, "later")
		if lasts := after.Expires.Sub(after.Created); lasts != l.MaxAge || !after.Created.Before(before.Created) {
			t.Errorf("it was kept at %s until %s, and is at %s until %s", before.Created, before.Expires, after.Created, after.Expires)
		}
		if before.Departed.Sub(after.Departed) != 2*time.Hour || after.Gone < time.Minute {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if now := get(t, o, "before"); now.Created != fresh.Created || now.Expires != fresh.Expires {
			t.Errorf("what was kept since: before %+v, after %+v", fresh, now)
		}
		wantIDs(t, claim(t, holder, 10), "before", "later")
	})
}
