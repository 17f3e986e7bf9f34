package outbox_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// A wire is the way of one process to the store, and may be cut.
type wire struct {
	outbox.Store
	cut     atomic.Bool
	slow    time.Duration // for so long the answer to a Later is on its way
	failing atomic.Int32  // so many Hurrys fail
}

// Hurry implements outbox.Store.
func (w *wire) Hurry(ctx context.Context, f store.Filter, back time.Duration) (int, error) {
	if w.failing.Add(-1) >= 0 {
		return 0, errAway
	}
	return w.Store.Hurry(ctx, f, back)
}

type wiredHolder struct {
	outbox.Holder
	wire *wire
}

// Hold implements outbox.Store.
func (w *wire) Hold(ctx context.Context) (outbox.Holder, error) {
	if w.cut.Load() {
		return nil, errAway
	}
	h, err := w.Store.Hold(ctx)
	return &wiredHolder{h, w}, err
}

// Lanes implements outbox.Holder.
func (h *wiredHolder) Lanes(ctx context.Context, skipDead bool) ([]store.Lane, time.Time, error) {
	if h.wire.cut.Load() {
		return nil, time.Time{}, errAway
	}
	return h.Holder.Lanes(ctx, skipDead)
}

// Depart implements outbox.Holder.
func (h *wiredHolder) Depart(ctx context.Context, id string) error {
	if h.wire.cut.Load() {
		return errAway
	}
	return h.Holder.Depart(ctx, id)
}

// Later implements outbox.Holder.
func (h *wiredHolder) Later(ctx context.Context, id string, l store.Later) error {
	if h.wire.cut.Load() {
		return errAway
	}
	err := h.Holder.Later(ctx, id, l)
	time.Sleep(h.wire.slow)
	return err
}

// End implements outbox.Holder.
func (h *wiredHolder) End(ctx context.Context, id string, e store.End) error {
	if h.wire.cut.Load() {
		return errAway
	}
	return h.Holder.End(ctx, id, e)
}

// wired has the outbox of a rig begin anew, over a wire, and with another way to the upstream.
func (r *rig) wired(send func(context.Context, *outbox.Sending) outbox.Outcome) *wire {
	r.close()
	w := &wire{Store: r.store}
	s := r.settings()
	s.Store = func(context.Context) (outbox.Store, error) { return w, nil }
	if send != nil {
		s.Send = send
	}
	r.outbox = outbox.New(s, limits())
	r.run()
	return w
}

// takenOver has the process of a rig be cut off, and taken for dead. Another one takes its
// letters over for a second, and is taken for dead, too.
func (r *rig) takenOver(w *wire, answer func(*outbox.Sending, int) outbox.Outcome) {
	r.t.Helper()
	w.cut.Store(true)
	r.store.Kill()
	second := &rig{t: r.t, store: r.store, begin: r.begin, times: map[string]int{}, answer: answer}
	second.outbox = outbox.New(second.settings(), limits())
	second.run()
	r.after(time.Second)
	r.store.Kill()
	second.stop()
	second.outbox.Break()
	w.cut.Store(false)
	r.t.Cleanup(func() { <-second.ended })
}

func silent(*outbox.Sending, int) outbox.Outcome {
	time.Sleep(time.Hour)
	return outbox.Outcome{Verdict: outbox.Unknown}
}

// A letter waits for its turn in a process that is cut off. Another takes the letter over, has
// it depart, and dies before the answer. The first is back, and the letter would be its own
// again: but what waited with it knows nothing of that, and sent it a second time.
func TestLetterThatAnotherSentIsNotSentByWhoWaitedWithIt(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		w := r.wired(func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			time.Sleep(10 * time.Second) // for its turn
			return r.send(ctx, l)
		})
		r.keep("a")
		r.after(time.Second)
		r.takenOver(w, silent)
		r.after(time.Minute)
		r.want()
		r.wantState("a", "dead unknown")
		r.after(2 * time.Hour)
	})
}

// A process has refused a letter, and cannot say so, since it is cut off; that nothing was done
// held for what it knew. Another takes the letter over, has it depart, and dies. What the first
// remembered of it wiped that out, and the letter was sent a second time.
func TestRefusalThatCameTooLateForgetsNoDeparture(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		refuses := true
		w := r.wired(func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			if refuses {
				time.Sleep(2 * time.Second)
				return outbox.Outcome{Verdict: outbox.NotSent, After: time.Second}
			}
			return r.send(ctx, l)
		})
		r.keep("a")
		r.after(time.Second)
		refuses = false
		w.cut.Store(true)
		r.after(2 * time.Second)
		r.takenOver(w, silent)
		r.after(2 * time.Minute)
		r.want()
		r.wantState("a", "dead unknown")
		r.after(2 * time.Hour)
	})
}

// The lease is lost before the answer is written, and another process ends the letter as one of
// which nobody knows. Somebody looks, and edits it. What the first process remembered was the
// answer to another letter than the edited one, which was never sent.
func TestEditedLetterIsSentWhateverBecameOfTheOneBefore(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { time.Sleep(2 * time.Second); return good(s, n) }
		w := r.wired(nil)
		r.keep("a")
		r.after(time.Second)
		w.cut.Store(true)
		r.after(2 * time.Second)
		second := &rig{t: t, store: r.store, begin: r.begin, times: map[string]int{}, answer: good}
		second.outbox = outbox.New(second.settings(), limits())
		r.store.Kill()
		second.run()
		r.after(time.Minute)
		second.wantState("a", "dead unknown")
		second.close()
		r.store.Kill()
		w.cut.Store(false)
		r.after(time.Minute)
		if err := r.outbox.Edit(context.Background(), "a", outbox.Change{Body: strings.NewReader("better")}); err != nil {
			t.Fatal(err)
		}
		r.after(time.Minute)
		r.want("a at 0s", "a at 2m3s")
		r.wantState("a", "delivered")
	})
}

// Of answers that cannot be written for long, and there may be a thousand, the memory has the
// begin alone.
func TestAnswerThatIsLostWithTheLeaseIsShortened(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome {
			time.Sleep(2 * time.Second)
			return answer(outbox.Delivered, 200, strings.Repeat("x", 1<<20))
		}
		r.keep("a")
		r.after(time.Second)
		r.store.Kill()
		r.after(time.Minute)
		r.want("a at 0s")
		r.wantState("a", "delivered")
		kept, err := r.outbox.Response(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(kept.Body); len(body) != 64<<10 || err != io.ErrUnexpectedEOF || !kept.Truncated {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
}

// A letter was given back for a moment, and came again before the answer to that: it was held,
// and nobody sent it.
func TestLetterThatComesAgainBeforeItIsKnownToBeGivenBackIsSent(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		refuses := true
		w := r.wired(func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			if refuses {
				refuses = false
				return outbox.Outcome{Verdict: outbox.NotSent, After: time.Second}
			}
			return r.send(ctx, l)
		})
		w.slow = 5 * time.Second
		r.keep("a")
		r.after(time.Minute)
		r.want("a at 10s")
		r.wantState("a", "delivered")
	})
}
