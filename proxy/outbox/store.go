package outbox

import (
	"context"
	"io"
	"time"

	"outrider/proxy/store"
)

// A Store is where letters are kept. It is store.Outbox, see [Over]; that it is an interface,
// and a wide one, is for tests in virtual time, in which no database can live.
type Store interface {
	Keep(ctx context.Context, l store.NewLetter, body io.Reader, b store.Bounds) (store.Receipt, error)
	Release(ctx context.Context, batch string, letters int) (kept, duplicates int, err error)
	DropBatch(ctx context.Context, batch string) (int, error)

	Earlier(ctx context.Context, dedup, order string, skipDead bool) (bool, error)
	Get(ctx context.Context, id string) (store.Stored, error)
	List(ctx context.Context, f store.Filter, after string, limit int) ([]store.Stored, error)
	ListBack(ctx context.Context, f store.Filter, before string, limit int) ([]store.Stored, error)
	Attempts(ctx context.Context, id string) ([][]byte, error)
	Behind(ctx context.Context, ids []string) (map[string]store.Block, error)
	Body(ctx context.Context, id string) (io.ReadCloser, error)
	Response(ctx context.Context, id string) (head []byte, body io.ReadCloser, err error)
	Counts(ctx context.Context) ([]store.Count, error)
	Size(ctx context.Context) (int64, error)

	Cancel(ctx context.Context, id string) error
	Requeue(ctx context.Context, f store.Filter, r store.Requeue) (int, error)
	Hurry(ctx context.Context, f store.Filter, back time.Duration) (int, error)
	Replace(ctx context.Context, id string, r store.Replacement) error
	Drop(ctx context.Context, f store.Filter) (int, error)
	Sweep(ctx context.Context, s store.SweepSettings) (store.Swept, error)

	Hold(ctx context.Context) (Holder, error)
}

// A Holder is a sender in the eyes of the store: store.Holder.
type Holder interface {
	Lanes(ctx context.Context, skipDead bool) (lanes []store.Lane, now time.Time, err error)
	Claim(ctx context.Context, lane string, limit int) ([]store.Stored, error)
	ClaimExpired(ctx context.Context, grace time.Duration, limit int) ([]store.Stored, error)
	Depart(ctx context.Context, id string) error
	Later(ctx context.Context, id string, l store.Later) error
	End(ctx context.Context, id string, e store.End) error
	Close(ctx context.Context) error
}

// Over is a Store that keeps letters in o.
func Over(o *store.Outbox) Store { return kept{o} }

type kept struct{ *store.Outbox }

// Hold implements Store.
func (k kept) Hold(ctx context.Context) (Holder, error) {
	holder, err := k.Outbox.Hold(ctx)
	if err != nil {
		return nil, err // a nil *store.Holder would be a Holder that is not nil
	}
	return holder, nil
}
