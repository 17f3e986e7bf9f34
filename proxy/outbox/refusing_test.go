package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// A fullStore is one whose disk has no room for a letter of more bytes than that, and is read as
// ever. One that is called slow it has given up meanwhile.
type fullStore struct {
	outbox.Store
	room *int // only the test keeps letters
}

var errFullDisk = errors.New("the disk is full")

func (f fullStore) Keep(ctx context.Context, l store.NewLetter, body io.Reader, b store.Bounds) (store.Receipt, error) {
	data, err := io.ReadAll(body)
	switch {
	case err != nil:
		return store.Receipt{}, err
	case l.ID == "slow":
		return store.Receipt{}, fmt.Errorf("%w: its body was too slow", store.ErrLost)
	case len(data) > *f.room:
		return store.Receipt{}, errFullDisk
	}
	return f.Store.Keep(ctx, l, strings.NewReader(string(data)), b)
}

// On a full disk letters were refused for as long as it was full, and the outbox stood well.
func TestStoreThatCannotBeWrittenIsKnownAndToldOnce(t *testing.T) {
	room := 0
	inBubble(t, func(s *outbox.Settings, _ *outbox.Limits) {
		open := s.Store
		s.Store = func(ctx context.Context) (outbox.Store, error) {
			kept, err := open(ctx)
			return fullStore{kept, &room}, err
		}
	}, func(r *rig) {
		keep := func(id string, body io.Reader) error {
			_, err := r.outbox.Keep(context.Background(), &outbox.Letter{ID: id, Upstream: "crm", Method: "POST", Target: "/"}, body, outbox.KeepOptions{})
			return err
		}
		size := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
		want := func(refusing string, told ...string) {
			r.t.Helper()
			r.after(0)
			standing, err := r.outbox.Standing(context.Background())
			if err != nil || standing.Refusing != refusing || standing.Away != "" {
				r.t.Errorf("it stands %+v, %v; want it to refuse: %q", standing, err, refusing)
			}
			if got := r.told(outbox.StoreAway, outbox.StoreBack, outbox.Refusing, outbox.Keeping); !slices.Equal(got, told) {
				r.t.Errorf("told %q, want %q", got, told)
			}
		}
		if err := keep("broken off", iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
			r.t.Error("it is kept")
		}
		if err := keep("slow", size(100)); !errors.Is(err, store.ErrLost) {
			r.t.Errorf("error %v", err)
		}
		want("") // which is their clients' matter
		for _, id := range []string{"a", "b"} {
			if err := keep(id, size(100)); !errors.Is(err, errFullDisk) {
				r.t.Errorf("error %v", err)
			}
		}
		want("the disk is full", "refusing")
		room = 10
		if err := keep("small", size(10)); err != nil {
			r.t.Error(err)
		}
		want("the disk is full", "refusing") // for what is larger
		room = 100
		if err := keep("c", size(100)); err != nil {
			r.t.Error(err)
		}
		want("", "refusing", "keeping")

		_ = keep("huge", size(1000))
		r.after(5*time.Minute - 1)
		_ = keep("soon", size(10))
		want("the disk is full", "refusing", "keeping", "refusing")
		r.after(1)
		_ = keep("late", size(10))
		want("", "refusing", "keeping", "refusing", "keeping")

		_ = keep("once", size(1000))
		r.after(time.Hour - 1)
		want("the disk is full", "refusing", "keeping", "refusing", "keeping", "refusing")
		r.after(1)
		want("", "refusing", "keeping", "refusing", "keeping", "refusing", "keeping") // and nobody brought one
		_ = keep("next", size(10))
		want("", "refusing", "keeping", "refusing", "keeping", "refusing", "keeping")
	})
}
