package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"outrider/proxy/store"
)

// unbounded is Bounds that refuse nothing.
var unbounded store.Bounds

// letter is one that is to be kept, whose head is its id.
func letter(id string) store.NewLetter {
	return store.NewLetter{
		ID: id, Upstream: "crm", Lane: "crm/default",
		Head: func(store.Body) ([]byte, error) { return []byte("head of " + id), nil },
	}
}

func keep(t testing.TB, o *store.Outbox, l store.NewLetter, body string) store.Receipt {
	t.Helper()
	receipt, err := o.Keep(context.Background(), l, strings.NewReader(body), unbounded)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func hold(t testing.TB, o *store.Outbox) *store.Holder {
	t.Helper()
	holder, err := o.Hold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close(context.Background()) })
	return holder
}

// claim claims what a lane has, and names it.
func claim(t testing.TB, h *store.Holder, limit int) (ids []string) {
	t.Helper()
	letters, err := h.Claim(context.Background(), "crm/default", limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}

func get(t testing.TB, o *store.Outbox, id string) store.Stored {
	t.Helper()
	l, err := o.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func body(t testing.TB, o *store.Outbox, id string) string {
	t.Helper()
	from, err := o.Body(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	data, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIDs(t testing.TB, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got letters %q, want %q", got, want)
	}
}

// wantTallied asks for tallies that are what a count of all rows would give.
func wantTallied(t testing.TB, s *store.Store) {
	t.Helper()
	wrong, err := s.WrongTallies(context.Background())
	if err != nil || len(wrong) > 0 {
		t.Errorf("tallies are not what there is: %v, %v", wrong, err)
	}
}

func TestLetterIsKeptSentAndEnded(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		long := strings.Repeat("0123456789abcdef", 50_000)
		for id, text := range map[string]string{"a": "", "b": "short", "c": long, "d": long[:256<<10]} {
			receipt := keep(t, o, letter(id), text)
			if receipt.ID != id || receipt.Duplicate || receipt.Size < int64(len(text)) || time.Since(receipt.Created).Abs() > time.Minute {
				t.Errorf("got %+v", receipt)
			}
			if l := get(t, o, id); string(l.Head) != "head of "+id || l.State != store.Waiting || l.BodySize != int64(len(text)) || l.Size != receipt.Size {
				t.Errorf("got %+v of %+v", l, receipt)
			}
			if body(t, o, id) != text {
				t.Errorf("the body of %s is another one", id)
			}
		}
		wantTallied(t, opened)
		holder := hold(t, o)
		lanes, _, err := holder.Lanes(t.Context(), false)
		if err != nil || len(lanes) != 1 || lanes[0].Name != "crm/default" || lanes[0].Upstream != "crm" || lanes[0].Due > 0 {
			t.Errorf("got lanes %v, %v", lanes, err)
		}
		if ids := claim(t, holder, 10); len(ids) != 4 {
			t.Errorf("claimed %q", ids)
		}
		must(t, holder.Depart(t.Context(), "b"))
		must(t, holder.Later(t.Context(), "b", store.Later{Attempt: []byte("first")}))
		if l := get(t, o, "b"); l.Departed.IsZero() || l.Attempts != 1 || l.Held {
			t.Errorf("got %+v", l)
		}
		wantIDs(t, claim(t, holder, 10), "b")
		must(t, holder.End(t.Context(), "b", store.End{State: store.Delivered, Attempt: []byte("second"), ResponseHead: []byte("200"), Response: strings.NewReader("ok")}))
		must(t, holder.End(t.Context(), "c", store.End{State: store.Dead, Reason: "refused", ResponseHead: []byte("400"), Response: strings.NewReader(long)}))
		wantAnswer(t, o, "b", "200", "ok")
		wantAnswer(t, o, "c", "400", long)
		if body(t, o, "c") != long {
			t.Error("a dead letter has another body")
		}
		if _, err := o.Body(t.Context(), "b"); !errors.Is(err, store.ErrEnded) {
			t.Errorf("the body of what was delivered: %v", err)
		}
		records, err := o.Attempts(t.Context(), "b")
		if err != nil || fmt.Sprintf("%s", records) != "[first second]" {
			t.Errorf("got %s, %v", records, err)
		}
		if err := holder.End(t.Context(), "b", store.End{State: store.Dead}); !errors.Is(err, store.ErrLost) {
			t.Errorf("it ended twice: %v", err)
		}
		wantTallied(t, opened)
	})
}

func wantAnswer(t testing.TB, o *store.Outbox, id, wantHead, wantBody string) {
	t.Helper()
	head, from, err := o.Response(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	data, err := io.ReadAll(from)
	if err != nil || string(head) != wantHead || string(data) != wantBody {
		t.Errorf("the answer to %s is %q and %d bytes, %v; want %q and %d", id, head, len(data), err, wantHead, len(wantBody))
	}
}

// TestArrivalThatBreaksOffLeavesNothing: neither where its body fails, nor where it is too
// long, nor where its head is refused.
func TestArrivalThatBreaksOffLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		opened := open(t, s)
		o := opened.Outbox()
		gone := errors.New("the client went away")
		for name, c := range map[string]struct {
			from   io.Reader
			bounds store.Bounds
			want   error
		}{
			"at once":   {iotest.ErrReader(gone), unbounded, gone},
			"short":     {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(gone)), unbounded, gone},
			"long":      {io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(gone)), unbounded, gone},
			"too large": {bytes.NewReader(make([]byte, 2<<20)), store.Bounds{MaxBody: 2<<20 - 1}, store.ErrTooLarge},
			"full":      {bytes.NewReader(make([]byte, 2<<20)), store.Bounds{MaxSize: 1 << 20}, store.ErrFull},
		} {
			if _, err := o.Keep(t.Context(), letter("a"), c.from, c.bounds); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
			if size, err := o.Size(t.Context()); size != 0 || err != nil {
				t.Errorf("%s: it leaves %d bytes, %v", name, size, err)
			}
			if n, err := opened.Rows(t.Context(), "pieces"); n != 0 || err != nil {
				t.Errorf("%s: it leaves %d pieces, %v", name, n, err)
			}
		}
		wantTallied(t, opened)
		keep(t, o, letter("a"), "and its id is free")
	})
}

// An Outrider that is updated finds the store of the one before, with its tokens and quotas.
func TestStoreFromBeforeLettersGetsThem(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		seed(t, s)
		before, err := store.Open(t.Context(), s)
		must(t, err)
		quota := daily("a", 1, time.Hour)
		saveQuotas(t, before, quota)
		must(t, before.Downgrade(t.Context(), 2))
		must(t, before.Close())
		opened := open(t, s)
		keep(t, opened.Outbox(), letter("a"), "body")
		if info, err := opened.Info(t.Context()); err != nil || info.Letters != 1 {
			t.Errorf("got %+v, %v", info, err)
		}
		wantQuotas(t, opened, quota)
		wantKept(t, opened, "a/b", canary)
	})
}

// An attempt's time may be over while its body is being read: the connection's side closes
// the body beside the reader. That ends the reading, and races with nothing.
func TestBodyIsClosedWhileItIsRead(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Settings) {
		o := open(t, s).Outbox()
		keep(t, o, letter("a"), strings.Repeat("body ", 100_000))
		for range 20 {
			from, err := o.Body(t.Context(), "a")
			must(t, err)
			read := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, from)
				_, again := from.Read(make([]byte, 1))
				read <- errors.Join(err, again)
			}()
			must(t, from.Close())
			if err := <-read; err == nil {
				t.Error("a body that is closed can be read")
			}
		}
	})
}
