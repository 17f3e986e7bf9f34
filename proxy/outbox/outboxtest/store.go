// Package outboxtest is a store of letters in memory, for tests in virtual time: a database
// has threads, files and clocks that no bubble of testing/synctest holds. It does what
// package store does, as far as an outbox can see it.
package outboxtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// A Store keeps letters in memory. The zero Store is empty.
type Store struct {
	mu      sync.Mutex
	letters map[string]*letter
	dedups  map[string]dedup // key → the letter that has it
	seq     int
	holders map[*Holder]struct{}
	away    error
	ahead   time.Duration // of the wall clock
}

// A letter is one, with what only the store knows of it.
type letter struct {
	store.Stored
	seq      int
	order    string
	dedup    string
	batch    string
	body     []byte
	attempts [][]byte
	answer   []byte
	answered []byte
	holder   *Holder
}

type dedup struct {
	id          string
	fingerprint string
	until       time.Time
}

// GoAway has everything fail with err; nil has it work again.
func (s *Store) GoAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

// SetClock sets the wall clock of the store forward, or back.
func (s *Store) SetClock(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += by
}

// Damage changes what is sealed of a letter.
func (s *Store) Damage(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters[id].Damaged, s.letters[id].Head = true, nil
}

// Flip changes the kept body of a letter, as if its seal held nevertheless.
func (s *Store) Flip(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters[id].body[0] ^= 1
}

// Kill takes all senders for dead, and frees what they hold.
func (s *Store) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.holders {
		h.dead = true
		s.free(h)
	}
}

// Open is a Settings.Store.
func (s *Store) Open(context.Context) (outbox.Store, error) { return s, nil }

func (s *Store) now() time.Time { return time.Now().Add(s.ahead).Round(0) }

func (s *Store) free(h *Holder) {
	for _, l := range s.letters {
		if l.holder == h {
			l.holder, l.Held = nil, false
		}
	}
}

// sorted are the letters in the order in which they were kept.
func (s *Store) sorted() []*letter {
	return slices.SortedFunc(maps.Values(s.letters), func(a, b *letter) int { return cmp.Compare(a.seq, b.seq) })
}

// Keep implements outbox.Store.
func (s *Store) Keep(_ context.Context, l store.NewLetter, from io.Reader, b store.Bounds) (store.Receipt, error) {
	var body []byte
	if from != nil {
		var err error
		if body, err = io.ReadAll(from); err != nil {
			return store.Receipt{}, err
		}
	}
	if b.MaxBody > 0 && int64(len(body)) > b.MaxBody {
		return store.Receipt{}, store.ErrTooLarge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return store.Receipt{}, s.away
	}
	return s.keep(l, body, b.MaxSize)
}

func (s *Store) keep(l store.NewLetter, body []byte, maxSize int64) (store.Receipt, error) {
	sum := sha256.Sum256(body)
	fingerprint := string(l.Fingerprint) + string(sum[:])
	if first, ok := s.dedups[l.Dedup]; ok && l.Dedup != "" && s.now().Before(first.until) {
		if l.Strict && first.fingerprint != fingerprint {
			return store.Receipt{}, &store.ConflictError{ID: first.id}
		}
		return store.Receipt{ID: first.id, Duplicate: true}, nil
	}
	head, err := l.Head(store.Body{Size: int64(len(body)), SHA256: sum})
	if err != nil {
		return store.Receipt{}, err
	}
	size := int64(len(head) + len(body))
	if maxSize > 0 && s.size()+size > maxSize {
		return store.Receipt{}, store.ErrFull
	}
	s.seq++
	now := s.now()
	kept := &letter{
		seq: s.seq, order: l.Order, batch: l.Batch, dedup: l.Dedup, body: body,
		Stored: store.Stored{
			ID: l.ID, Upstream: l.Upstream, Lane: l.Lane, State: store.Waiting, Created: now, Due: now.Add(l.Delay),
			Size: size, BodySize: int64(len(body)), Ordered: l.Order != "", Head: head,
		},
	}
	if l.MaxAge > 0 {
		kept.Expires = now.Add(l.MaxAge)
	}
	if l.Sent {
		kept.Departed = now.Add(-l.Departed)
	}
	if s.letters == nil {
		s.letters, s.dedups = map[string]*letter{}, map[string]dedup{}
	}
	s.letters[l.ID] = kept
	if l.Batch != "" {
		kept.State = store.Arriving
	} else if l.Dedup != "" {
		s.dedups[l.Dedup] = dedup{l.ID, fingerprint, now.Add(l.DedupFor)}
	}
	return store.Receipt{ID: l.ID, Size: size, Created: now}, nil
}

func (s *Store) size() (size int64) {
	for _, l := range s.letters {
		size += l.Size
	}
	return size
}

// Earlier implements outbox.Store.
func (s *Store) Earlier(_ context.Context, dedup, order string, skipDead bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return false, s.away
	}
	if first, known := s.dedups[dedup]; known && s.now().Before(first.until) {
		return true, nil
	}
	for _, l := range s.letters {
		if order != "" && l.order == order && (l.State == store.Waiting || l.State == store.Dead && !skipDead) {
			return true, nil
		}
	}
	return false, nil
}

// Release implements outbox.Store. Dedup keys count for a day.
func (s *Store) Release(_ context.Context, batch string, letters int) (kept, duplicates int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return 0, 0, s.away
	}
	of := slices.DeleteFunc(s.sorted(), func(l *letter) bool { return l.batch != batch || l.State != store.Arriving })
	if len(of) != letters {
		return 0, 0, store.ErrIncomplete
	}
	for _, l := range of {
		if _, taken := s.dedups[l.dedup]; taken && l.dedup != "" {
			delete(s.letters, l.ID)
			duplicates++
			continue
		}
		l.State, l.Due = store.Waiting, s.now()
		s.dedups[l.dedup] = dedup{id: l.ID, until: s.now().Add(24 * time.Hour)}
		kept++
	}
	return kept, duplicates, nil
}

// DropBatch implements outbox.Store.
func (s *Store) DropBatch(_ context.Context, batch string) (dropped int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.letters {
		if l.batch == batch && l.State == store.Arriving {
			delete(s.letters, id)
			dropped++
		}
	}
	return dropped, s.away
}

// Get implements outbox.Store.
func (s *Store) Get(_ context.Context, id string) (store.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	if err != nil {
		return store.Stored{}, err
	}
	return s.view(l), nil
}

func (s *Store) find(id string) (*letter, error) {
	if s.away != nil {
		return nil, s.away
	}
	l := s.letters[id]
	if l == nil || l.State == store.Arriving {
		return nil, store.ErrUnknown
	}
	return l, nil
}

// view is a letter as it is told.
func (s *Store) view(l *letter) store.Stored {
	v := l.Stored
	v.Expired = !v.Expires.IsZero() && !s.now().Before(v.Expires)
	if !v.Departed.IsZero() {
		v.Gone = s.now().Sub(v.Departed)
	}
	return v
}

// List implements outbox.Store.
func (s *Store) List(_ context.Context, f store.Filter, after string, limit int) ([]store.Stored, error) {
	return s.list(f, limit, func(id string) bool { return id > after }, func(a, b string) int { return cmp.Compare(a, b) })
}

// ListBack implements outbox.Store.
func (s *Store) ListBack(_ context.Context, f store.Filter, before string, limit int) ([]store.Stored, error) {
	return s.list(f, limit, func(id string) bool { return before == "" || id < before }, func(a, b string) int { return cmp.Compare(b, a) })
}

func (s *Store) list(f store.Filter, limit int, on func(string) bool, order func(a, b string) int) ([]store.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	var found []store.Stored
	for _, id := range slices.SortedFunc(maps.Keys(s.letters), order) {
		if l := s.letters[id]; on(id) && matches(f, l) && len(found) < limit {
			found = append(found, s.view(l))
		}
	}
	return found, nil
}

func matches(f store.Filter, l *letter) bool {
	return l.State != store.Arriving &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, l.ID)) &&
		(len(f.States) == 0 || slices.Contains(f.States, l.State)) &&
		(f.Upstream == "" || f.Upstream == l.Upstream) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Before.IsZero() || l.Created.Before(f.Before))
}

// Attempts implements outbox.Store.
func (s *Store) Attempts(_ context.Context, id string) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(l.attempts), nil
}

// Behind implements outbox.Store.
func (s *Store) Behind(_ context.Context, ids []string) (map[string]store.Block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := map[string]store.Block{}
	for _, dead := range s.sorted() {
		for _, id := range ids {
			l := s.letters[id]
			if _, known := behind[id]; !known && l != nil && l.State == store.Waiting && l.order != "" && l.order == dead.order && dead.State == store.Dead && dead.seq < l.seq {
				behind[id] = store.Block{ID: dead.ID, Reason: dead.Reason}
			}
		}
	}
	return behind, s.away
}

// Body implements outbox.Store.
func (s *Store) Body(_ context.Context, id string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(bytes.Clone(l.body))), nil
}

// Response implements outbox.Store.
func (s *Store) Response(_ context.Context, id string) ([]byte, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	if err != nil {
		return nil, nil, err
	}
	return l.answer, io.NopCloser(bytes.NewReader(l.answered)), nil
}

// Counts implements outbox.Store.
func (s *Store) Counts(context.Context) ([]store.Count, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	type group struct{ upstream, state, reason string }
	of := map[group]store.Count{}
	for _, l := range s.sorted() {
		g := group{l.Upstream, l.State, l.Reason}
		c, known := of[g]
		if !known {
			c = store.Count{Upstream: l.Upstream, State: l.State, Reason: l.Reason, Oldest: l.Created}
		}
		c.Letters++
		c.Bytes += l.Size
		of[g] = c
	}
	return slices.SortedFunc(maps.Values(of), func(a, b store.Count) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason))
	}), nil
}

// Size implements outbox.Store.
func (s *Store) Size(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size(), s.away
}
