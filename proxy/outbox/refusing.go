package outbox

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"outrider/proxy/store"
)

// refusedLately is how long no letter may have been refused for one that is kept to say that
// all are, although it is smaller.
const refusedLately = 5 * time.Minute

// A refusing is that letters cannot be kept, although the store can be asked: its disk is full,
// say, where reading goes on. It is told once when it begins, and once when it is over. A disk
// that is nearly full takes small letters and refuses large ones: so it is over when one is kept
// that is as large as those that were refused, or when none was refused lately.
type refusing struct {
	mu   sync.Mutex
	err  error // nil: letters are kept
	size int64 // largest that was refused, in bytes, as far as it was read
	last time.Time
}

// refused notes a letter that could not be kept, and reports whether it is the first.
func (r *refusing) refused(err error, size int64) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = r.err == nil
	r.err, r.size, r.last = err, max(r.size, size), time.Now()
	return first
}

// kept notes a letter that was kept, and reports whether that was not so before.
func (r *refusing) kept(size int64) (over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || size < r.size && time.Since(r.last) < refusedLately {
		return false
	}
	r.err, r.size = nil, 0
	return true
}

// now is why letters are refused; nil: they are not.
func (r *refusing) now() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// noteKept notes what came of keeping a letter. What is wrong with the letter, or with who
// brings it, is nothing to look after, nor is a full outbox, which is told of before; and of a
// store that is away the sender tells.
func (o *Outbox) noteKept(ctx context.Context, err error, from *heard) {
	if err == nil {
		if o.refusing.kept(from.size) {
			o.settings.Observe(Event{Kind: Keeping})
		}
		return
	}
	_, conflict := errors.AsType[*ConflictError](err)
	if conflict || errors.Is(err, ErrFull) || errors.Is(err, ErrTooLarge) || errors.Is(err, store.ErrAway) ||
		from.failed || ctx.Err() != nil {
		return
	}
	if o.refusing.refused(err, from.size) {
		o.settings.Observe(Event{Kind: Refusing, Err: err})
	}
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
