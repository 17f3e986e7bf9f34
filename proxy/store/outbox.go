package store

import (
	"context"
	"io"
	"time"
)

// An Outbox is the letters of a store.
type Outbox struct{ store *Store }

// Outbox is that of the store. It has no state of its own.
func (s *Store) Outbox() *Outbox { return &Outbox{s} }

func (o *Outbox) Keep(ctx context.Context, l NewLetter, body io.Reader, b Bounds) (Receipt, error) {
	return Receipt{}, ErrFull
}

// Release has a whole batch appear, in one transaction, and tells how many letters.
func (o *Outbox) Release(ctx context.Context, batch string) (int, error) { return 0, ErrFull }

// DropBatch forgets a batch that was not released.
func (o *Outbox) DropBatch(ctx context.Context, batch string) (int, error) { return 0, ErrFull }

// Get gives a letter. ErrUnknown.
func (o *Outbox) Get(ctx context.Context, id string) (Stored, error) { return Stored{}, ErrFull }

// List gives letters in the order of their ids, from the one after an id on ("": the first).
func (o *Outbox) List(ctx context.Context, f Filter, after string, limit int) ([]Stored, error) {
	return nil, ErrFull
}

// ListBack is List from the newest on, before an id ("": the last).
func (o *Outbox) ListBack(ctx context.Context, f Filter, before string, limit int) ([]Stored, error) {
	return nil, ErrFull
}

// Attempts gives the records of its attempts, oldest first; one that does not open is nil.
func (o *Outbox) Attempts(ctx context.Context, id string) ([][]byte, error) { return nil, ErrFull }

// Body reads the body in pieces. A read that finds it changed ends with ErrDamaged.
func (o *Outbox) Body(ctx context.Context, id string) io.ReadCloser { return nil }

// Response gives what End kept of the answer. head is nil where there is none.
func (o *Outbox) Response(ctx context.Context, id string) (head []byte, body io.ReadCloser, err error) {
	return nil, nil, ErrFull
}

// Cancel withdraws a letter that waits. ErrHeld, ErrEnded, ErrUnknown.
func (o *Outbox) Cancel(ctx context.Context, id string) error { return ErrFull }

// A Requeue says how dead letters wait again.
type Requeue struct {
	MaxAge       time.Duration // from now on; 0: they do not expire
	ForgetDepart bool          // as if nothing had been sent
}

// Requeue has dead letters wait again.
func (o *Outbox) Requeue(ctx context.Context, f Filter, r Requeue) (int, error) { return 0, ErrFull }

// A Replacement is the new content of a dead letter.
type Replacement struct {
	Head    func(Body) ([]byte, error)
	Body    io.Reader // nil: it stays, and Head is called with what is known of it
	MaxBody int64     // 0: no bound
}

// Replace gives a dead letter another content; it stays dead. ErrUnknown, ErrEnded (not dead), ErrTooLarge.
func (o *Outbox) Replace(ctx context.Context, id string, r Replacement) error { return ErrFull }

// Drop forgets letters that nobody sends at the moment.
func (o *Outbox) Drop(ctx context.Context, f Filter) (int, error) { return 0, ErrFull }

// Counts gives what there is, by upstream and state. It costs the same for a million.
func (o *Outbox) Counts(ctx context.Context) ([]Count, error) { return nil, ErrFull }

// Size is what all letters take, in bytes.
func (o *Outbox) Size(ctx context.Context) (int64, error) { return 0, ErrFull }

// SweepSettings say for how long what has ended is kept.
type SweepSettings struct {
	KeepResults time.Duration // of letters delivered or cancelled
	KeepDead    time.Duration // dead letters
}

// A Swept is what one Sweep did.
type Swept struct {
	Forgotten int  // letters that had ended
	Arrivals  int  // that never were complete
	Freed     int  // letters that were held by who has died
	More      bool // there is more to do: sweep again
}

// Sweep forgets what is over, a portion at a time.
func (o *Outbox) Sweep(ctx context.Context, s SweepSettings) (Swept, error) { return Swept{}, ErrFull }
