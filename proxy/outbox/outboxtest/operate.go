package outboxtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"time"

	"outrider/proxy/store"
)

// Cancel implements outbox.Store.
func (s *Store) Cancel(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	switch {
	case err != nil:
		return err
	case l.holder != nil:
		return store.ErrHeld
	case l.State != store.Waiting:
		return store.ErrEnded
	}
	l.State, l.Ended, l.body = store.Cancelled, s.now(), nil
	s.forgetDedup(l)
	return nil
}

func (s *Store) forgetDedup(l *letter) {
	if s.dedups[l.dedup].id == l.ID {
		delete(s.dedups, l.dedup)
	}
}

// Requeue implements outbox.Store.
func (s *Store) Requeue(_ context.Context, f store.Filter, r store.Requeue) (requeued int, err error) {
	f.States = []string{store.Dead}
	return s.each(f, func(l *letter) bool {
		l.State, l.Reason, l.Ended, l.Attempts, l.Due = store.Waiting, "", time.Time{}, 0, s.now()
		l.Expires = time.Time{}
		if r.MaxAge > 0 {
			l.Expires = s.now().Add(r.MaxAge)
		}
		if r.ForgetDepart {
			l.Departed = time.Time{}
		}
		return true
	})
}

// Hurry implements outbox.Store.
func (s *Store) Hurry(_ context.Context, f store.Filter, back time.Duration) (hurried int, err error) {
	f.States = []string{store.Waiting}
	return s.each(f, func(l *letter) bool {
		if !l.Departed.IsZero() {
			l.Departed = l.Departed.Add(-back)
		}
		if early := l.Created.Sub(s.now()); back > 0 && early > 0 {
			l.Created = s.now()
			if !l.Expires.IsZero() {
				l.Expires = l.Expires.Add(-early)
			}
		}
		if !l.Due.After(s.now()) {
			return false
		}
		l.Due = s.now()
		return true
	})
}

// Drop implements outbox.Store.
func (s *Store) Drop(_ context.Context, f store.Filter) (dropped int, err error) {
	return s.each(f, func(l *letter) bool {
		if l.holder != nil {
			return false
		}
		delete(s.letters, l.ID)
		if l.State != store.Delivered {
			s.forgetDedup(l)
		}
		return true
	})
}

func (s *Store) each(f store.Filter, do func(*letter) bool) (done int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return 0, s.away
	}
	for _, l := range s.sorted() {
		if matches(f, l) && do(l) {
			done++
		}
	}
	return done, nil
}

// Replace implements outbox.Store.
func (s *Store) Replace(_ context.Context, id string, r store.Replacement) error {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
		if r.MaxBody > 0 && int64(len(body)) > r.MaxBody {
			return store.ErrTooLarge
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.find(id)
	switch {
	case err != nil:
		return err
	case l.State != store.Dead:
		return store.ErrEnded
	}
	about := store.Body{Size: l.BodySize}
	if r.Body != nil {
		about = store.Body{Size: int64(len(body)), SHA256: sha256.Sum256(body)}
	}
	head, err := r.Head(about)
	if err != nil {
		return err
	}
	l.Head = head
	if r.Body != nil {
		l.body, l.BodySize = bytes.Clone(body), about.Size
	}
	return nil
}

// Sweep implements outbox.Store.
func (s *Store) Sweep(_ context.Context, keep store.SweepSettings) (swept store.Swept, err error) {
	swept.Forgotten, err = s.each(store.Filter{}, func(l *letter) bool {
		kept := keep.KeepResults
		if l.State == store.Dead {
			kept = keep.KeepDead
		}
		if l.Ended.IsZero() || s.now().Before(l.Ended.Add(kept)) {
			return false
		}
		delete(s.letters, l.ID)
		return true
	})
	return swept, err
}
