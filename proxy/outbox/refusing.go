package outbox

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"outrider/proxy/store"
)

const (
	// refusedLately is how long no letter may have been refused for one that is kept to say that
	// all are, although it is smaller.
	refusedLately = 5 * time.Minute

	// refusedOnce is how long no letter may have been refused for that to be over by itself: a
	// disk that was busy for a moment refused one, and it may be days until the next one comes.
	refusedOnce = time.Hour
)

// A refusing is that letters cannot be kept, although the store can be asked: its disk is full,
// say, where reading goes on. It is told once when it begins, and once when it is over. A disk
// that is nearly full takes small letters and refuses large ones: so it is over when one is kept
// that is as large as those that were refused, or when none was refused lately. Without any that
// is kept it is over, too, when that was long ago.
//
// It is told with mu held: so nobody hears that it began after it was over.
type refusing struct {
	mu   sync.Mutex
	err  error // nil: letters are kept
	size int64 // largest that was refused, in bytes, as far as it was read
	last time.Time
}

// refused notes a letter that could not be kept.
func (r *refusing) refused(err error, size int64, tell func(Event)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		tell(Event{Kind: Refusing, Err: err})
	}
	r.err, r.size, r.last = err, max(r.size, size), time.Now()
}

// kept notes a letter that was kept.
func (r *refusing) kept(size int64, tell func(Event)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && (size >= r.size || time.Since(r.last) >= refusedLately) {
		r.end(tell)
	}
}

// now is why letters are refused; nil: they are not.
func (r *refusing) now(tell func(Event)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && time.Since(r.last) >= refusedOnce {
		r.end(tell)
	}
	return r.err
}

// end is for who holds mu.
func (r *refusing) end(tell func(Event)) {
	r.err, r.size = nil, 0
	tell(Event{Kind: Keeping})
}

// noteKept notes what came of keeping a letter. What is wrong with the letter, or with who
// brings it, or brings it so slowly that it was given up, is nothing to look after, nor is a full
// outbox, which is told of before; and of a store that is away the sender tells.
func (o *Outbox) noteKept(ctx context.Context, err error, from *heard) {
	if err == nil {
		o.refusing.kept(from.size, o.settings.Observe)
		return
	}
	_, conflict := errors.AsType[*ConflictError](err)
	if conflict || errors.Is(err, ErrFull) || errors.Is(err, ErrTooLarge) || errors.Is(err, store.ErrLost) ||
		errors.Is(err, store.ErrAway) || from.failed || ctx.Err() != nil {
		return
	}
	o.refusing.refused(err, from.size, o.settings.Observe)
}

// A heard body counts what is read of it, and notes that it broke off.
type heard struct {
	io.Reader
	size   int64
	failed bool
}

// Read implements io.Reader.
func (h *heard) Read(p []byte) (int, error) {
	if h.Reader == nil {
		return 0, io.EOF
	}
	n, err := h.Reader.Read(p)
	h.size += int64(n)
	h.failed = h.failed || err != nil && err != io.EOF
	return n, err
}
