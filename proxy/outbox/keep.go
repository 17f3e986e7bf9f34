package outbox

import (
	"context"
	"fmt"
	"io"
	"time"

	"outrider/proxy/store"

	"github.com/google/uuid"
)

// KeepOptions say how a letter is kept.
type KeepOptions struct {
	Departed time.Time     // when a request for it first went out; zero: none did
	Delay    time.Duration // before it is sent
	// Strict has a dedup key that was used for another request be a *ConflictError. Otherwise
	// the first letter is the answer, whatever this one says.
	Strict bool

	batch string // appears with the others of it: see Import
}

// A Receipt says what was kept.
type Receipt struct {
	ID         string
	Duplicate  bool          // it is an earlier letter; nothing was kept now
	Key        string        // the idempotency key, if it is no duplicate
	RetryAfter time.Duration // estimate of when it will have ended
}

// Keep keeps a letter and its body, durable when it returns. If it fails, nothing is kept.
// The error is ErrFull, ErrTooLarge, a *ConflictError, a *CallbackError, that of reading body,
// wrapped, or says why the store cannot be used now. l stays as it is, and is not kept by the
// Outbox.
func (o *Outbox) Keep(ctx context.Context, l *Letter, body io.Reader, how KeepOptions) (Receipt, error) {
	limits := o.limits.Load()
	if l.Callback != "" {
		if err := limits.allowCallback(l.Callback); err != nil {
			return Receipt{}, err
		}
	}
	letter, err := l.named()
	if err != nil {
		return Receipt{}, err
	}
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return Receipt{}, err
	}
	bounds := store.Bounds{MaxSize: limits.MaxSize, MaxBody: limits.MaxBody}
	from := &heard{Reader: body}
	receipt, err := kept.Keep(ctx, letter.filed(limits, how), from, bounds)
	if err != nil || !receipt.Duplicate { // of which nothing was written
		o.noteKept(ctx, err, from)
	}
	if err != nil {
		return Receipt{}, err
	}
	if receipt.Duplicate {
		letter.Key = ""
	}
	if how.batch == "" { // else it has not appeared yet
		o.accepted(letter, receipt)
	}
	return Receipt{ID: receipt.ID, Duplicate: receipt.Duplicate, Key: letter.Key, RetryAfter: o.estimate(letter) + how.Delay}, nil
}

// Earlier reports whether letters come before a call with the keys of l: as a letter it would
// be a duplicate, or stand behind others of its order key. So it must not be sent by itself.
func (o *Outbox) Earlier(ctx context.Context, l *Letter) (bool, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return false, err
	}
	return kept.Earlier(ctx, l.Dedup(), l.inLane(l.OrderKey), o.limits.Load().SkipDead)
}

// accepted tells of a letter that was kept.
func (o *Outbox) accepted(l *Letter, r store.Receipt) {
	event := Event{Kind: Accepted, ID: r.ID, Upstream: l.Upstream, Connection: l.Connection, Count: 1}
	if r.Duplicate {
		event.Kind = Duplicate
	} else {
		o.bell.ring(l.lane())
	}
	o.settings.Observe(event)
}

// newID makes the id of a letter.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("making the id of a letter: %w", err)
	}
	return id.String(), nil
}

// named is l with an id and, where its upstream honours one, an idempotency key.
func (l *Letter) named() (*Letter, error) {
	letter := *l
	if letter.ID == "" {
		id, err := newID()
		if err != nil {
			return nil, err
		}
		letter.ID = id
	}
	if letter.KeyHeader != "" && letter.Key == "" {
		letter.Key = letter.ID
	}
	return &letter, nil
}

// filed is l as the store gets it.
func (l *Letter) filed(limits *Limits, how KeepOptions) store.NewLetter {
	filed := store.NewLetter{
		ID: l.ID, Upstream: l.Upstream, Lane: l.lane(),
		Order: l.inLane(l.OrderKey), Dedup: l.Dedup(),
		DedupFor: limits.DedupWindow, Strict: how.Strict, Fingerprint: l.fingerprint(),
		Head:  l.sealWith,
		Delay: how.Delay, MaxAge: limits.MaxAge, Batch: how.batch,
	}
	if !how.Departed.IsZero() {
		filed.Sent, filed.Departed = true, time.Since(how.Departed)
	}
	return filed
}

// sealWith is the envelope once the body is known, and with it the trailers.
func (l *Letter) sealWith(body store.Body) ([]byte, error) {
	letter := *l
	letter.BodySize, letter.BodySHA256 = body.Size, body.SHA256[:]
	return letter.seal()
}

// inLane is a key that means something among the letters of a lane only. "" stays "".
func (l *Letter) inLane(key string) string {
	if key == "" {
		return ""
	}
	return l.lane() + "\x00" + key
}
