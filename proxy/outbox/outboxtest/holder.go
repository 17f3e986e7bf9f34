package outboxtest

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// A Holder is a sender.
type Holder struct {
	store    *Store
	skipDead bool
	dead     bool // others think so: it claims nothing any more
}

// Hold implements outbox.Store.
func (s *Store) Hold(context.Context) (outbox.Holder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	if s.holders == nil {
		s.holders = map[*Holder]struct{}{}
	}
	h := &Holder{store: s}
	s.holders[h] = struct{}{}
	return h, nil
}

// Close implements outbox.Holder.
func (h *Holder) Close(context.Context) error {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	delete(h.store.holders, h)
	h.store.free(h)
	return nil
}

// free are the letters that may be claimed, but for their time.
func (h *Holder) free() (free []*letter) {
	held := map[string]bool{} // order key → somebody before has it
	for _, l := range h.store.sorted() {
		first := l.order == "" || !held[l.order]
		if l.State == store.Waiting || l.State == store.Dead && !h.skipDead {
			held[l.order] = true
		}
		if l.State == store.Waiting && l.holder == nil && first {
			free = append(free, l)
		}
	}
	return free
}

// Lanes implements outbox.Holder. What it is told of dead letters holds for Claim.
func (h *Holder) Lanes(_ context.Context, skipDead bool) (lanes []store.Lane, now time.Time, err error) {
	s := h.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, now, s.away
	}
	now = s.now()
	h.skipDead = skipDead
	for _, l := range h.free() {
		due := l.Due.Sub(now)
		i := slices.IndexFunc(lanes, func(lane store.Lane) bool { return lane.Name == l.Lane })
		if i < 0 {
			lanes = append(lanes, store.Lane{Name: l.Lane, Upstream: l.Upstream, Due: due})
		} else {
			lanes[i].Due = min(lanes[i].Due, due)
		}
	}
	slices.SortFunc(lanes, func(a, b store.Lane) int { return cmp.Compare(a.Name, b.Name) })
	return lanes, now, nil
}

// Claim implements outbox.Holder.
func (h *Holder) Claim(_ context.Context, lane string, limit int) ([]store.Stored, error) {
	s := h.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := h.lives(); err != nil {
		return nil, err
	}
	due := slices.DeleteFunc(h.free(), func(l *letter) bool { return l.Lane != lane || s.now().Before(l.Due) })
	slices.SortStableFunc(due, func(a, b *letter) int { return a.Due.Compare(b.Due) })
	return h.take(due, limit), nil
}

// ClaimExpired implements outbox.Holder.
func (h *Holder) ClaimExpired(_ context.Context, grace time.Duration, limit int) ([]store.Stored, error) {
	s := h.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := h.lives(); err != nil {
		return nil, err
	}
	return h.take(slices.DeleteFunc(s.sorted(), func(l *letter) bool {
		return l.State != store.Waiting || l.holder != nil || l.Expires.IsZero() || s.now().Before(l.Expires.Add(grace))
	}), limit), nil
}

func (h *Holder) lives() error {
	if h.store.away == nil && h.dead {
		return store.ErrLost
	}
	return h.store.away
}

// take claims letters.
func (h *Holder) take(letters []*letter, limit int) (claimed []store.Stored) {
	for _, l := range letters[:min(limit, len(letters))] {
		l.holder, l.Held = h, true
		claimed = append(claimed, h.store.view(l))
	}
	return claimed
}

// held is a letter of ours.
func (h *Holder) held(id string) (*letter, error) {
	if h.store.away != nil {
		return nil, h.store.away
	}
	l := h.store.letters[id]
	if l == nil || l.holder != h {
		return nil, store.ErrLost
	}
	return l, nil
}

// Depart implements outbox.Holder.
func (h *Holder) Depart(_ context.Context, id string) error {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	l, err := h.held(id)
	if err == nil && l.Departed.IsZero() {
		l.Departed = h.store.now()
	}
	return err
}

// Later implements outbox.Holder.
func (h *Holder) Later(ctx context.Context, id string, later store.Later) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	answered, err := content(later.Response)
	if err != nil {
		return err
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	l, err := h.held(id)
	if err != nil {
		return err
	}
	l.holder, l.Held, l.Due = nil, false, h.store.now().Add(later.Delay)
	if later.ForgetDepart {
		l.Departed = time.Time{}
	}
	l.record(later.Attempt, later.ResponseHead, answered)
	return nil
}

// End implements outbox.Holder.
func (h *Holder) End(ctx context.Context, id string, e store.End) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	answered, err := content(e.Response)
	if err != nil {
		return err
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	l, err := h.held(id)
	if err != nil {
		return err
	}
	if e.Follow != nil {
		if _, err := h.store.keep(e.Follow.Letter, e.Follow.Body, 0); err != nil {
			return err
		}
	}
	l.holder, l.Held, l.State, l.Reason, l.Ended = nil, false, e.State, e.Reason, h.store.now()
	if e.State != store.Dead {
		l.body = nil
	}
	l.record(e.Attempt, e.ResponseHead, answered)
	return nil
}

// record keeps what an attempt came to.
func (l *letter) record(attempt, head, body []byte) {
	if attempt != nil {
		l.attempts = append(l.attempts, attempt)
		l.Attempts++
	}
	if head != nil {
		l.answer, l.answered = bytes.Clone(head), body
	}
}

func content(body io.Reader) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	return io.ReadAll(body)
}
