package cli

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"outrider/proxy/alarm"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// An outboxWatch looks how the outbox stands, so that the page, the metrics and the alerts ask
// a database once, and not each.
type outboxWatch struct {
	outbox func() letters.Outbox // nil: there is none
	last   atomic.Pointer[outbox.Standing]
	asked  chan chan struct{} // who wants to know anew; what is sent is closed when it is known

	ctx    context.Context // governs the goroutine
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has ended
}

const (
	standingEvery = 2 * time.Second
	// standingPatience is how long an answer may take. With a million letters it takes a
	// while, and then it is asked for less often: the database has other things to do.
	standingPatience = 10 * time.Second
	standingShare    = 20
)

// watchOutbox begins to look. Close has to be called.
func watchOutbox(kept func() letters.Outbox) *outboxWatch {
	w := &outboxWatch{outbox: kept, asked: make(chan chan struct{}), ended: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w
}

func (w *outboxWatch) run() {
	defer close(w.ended)
	var known chan struct{} // of who waits for the look; nil: nobody does
	for {
		begun := time.Now()
		w.look()
		if known != nil {
			close(known)
			known = nil
		}
		pause := max(standingEvery, standingShare*time.Since(begun))
		select {
		case <-time.After(pause):
		case known = <-w.asked:
		case <-w.ctx.Done():
			return
		}
	}
}

// look asks once. What was known of an outbox that is away is not true any more.
func (w *outboxWatch) look() {
	kept := w.outbox()
	if kept == nil {
		w.last.Store(nil)
		return
	}
	ctx, cancel := context.WithTimeoutCause(w.ctx, standingPatience, errors.New("it does not answer in time"))
	defer cancel()
	standing, err := kept.Standing(ctx)
	if w.ctx.Err() != nil {
		return
	}
	if err != nil && standing.Away == "" {
		standing.Away = err.Error()
		if cause := context.Cause(ctx); cause != nil {
			standing.Away = cause.Error()
		}
	}
	w.last.Store(&standing)
}

// standing is how the outbox stood when it was looked at last; nil: there is none.
func (w *outboxWatch) standing() *outbox.Standing { return w.last.Load() }

// anew is how the outbox stands by a look that begins now: of letters that somebody has just
// dropped, here or at another replica, the last one does not know.
func (w *outboxWatch) anew() *outbox.Standing {
	known := make(chan struct{})
	select {
	case w.asked <- known:
		<-known // which it will be
	case <-w.ctx.Done():
	}
	if w.ctx.Err() != nil {
		return &outbox.Standing{Away: "it is not looked at any more"}
	}
	return w.standing()
}

// close ends it.
func (w *outboxWatch) close() {
	w.cancel()
	<-w.ended
}

// alarming is an outbox as the alerts see it, which stands so and whose letters may become so
// old.
func alarming(s *outbox.Standing, maxAge time.Duration) (alarm.Outbox, bool) {
	if s == nil {
		return alarm.Outbox{}, false
	}
	if s.Away != "" {
		return alarm.Outbox{Err: errors.New(s.Away)}, true
	}
	seen := alarm.Outbox{Refusing: s.Refusing, Bytes: s.Size, Most: s.MaxSize, MaxAge: maxAge}
	for _, u := range s.Upstreams {
		seen.Letters = append(seen.Letters, alarm.Letters{Upstream: u.Upstream, Waiting: u.Waiting, Oldest: ageOf(u), Dead: u.Reasons})
	}
	return seen, true
}

// measured is the outbox as the metrics see it.
func (w *outboxWatch) measured() (telemetry.Outbox, bool) {
	s := w.standing()
	if s == nil {
		return telemetry.Outbox{}, false
	}
	seen := telemetry.Outbox{Bytes: s.Size, Most: s.MaxSize, Away: s.Away != ""}
	for _, u := range s.Upstreams {
		seen.Upstreams = append(seen.Upstreams, telemetry.OutboxLetters{Upstream: u.Upstream, Oldest: ageOf(u), States: map[string]int{
			outbox.StateWaiting: u.Waiting - u.Sending, outbox.StateSending: u.Sending,
			outbox.StateDelivered: u.Delivered, outbox.StateDead: u.Dead, outbox.StateCancelled: u.Cancelled,
		}})
	}
	return seen, true
}

// ageOf is how old the oldest letter is that waits; 0: none does.
func ageOf(u outbox.UpstreamStanding) time.Duration {
	if u.Waiting == 0 || u.Oldest.IsZero() {
		return 0
	}
	return max(time.Since(u.Oldest), 0)
}

// callbacks is the upstream that letters about letters have.
const callbacks = "outbox"

// countLetter counts what happens to letters.
func countLetter(t *telemetry.Telemetry, e outbox.Event) {
	ctx := context.Background()
	switch {
	case e.Upstream == callbacks && e.Kind == outbox.Delivery:
		t.CallbackEnded(ctx, "delivered")
	case e.Upstream == callbacks && e.Kind == outbox.DeadLetter:
		t.CallbackEnded(ctx, e.Reason)
	case e.Upstream == callbacks:
	case e.Kind == outbox.Accepted:
		t.LettersKept(ctx, e.Upstream, max(e.Count, 1))
	case e.Kind == outbox.Duplicate:
		t.LetterThere(ctx, e.Upstream)
	case e.Kind == outbox.Delivery:
		t.LetterEnded(ctx, e.Upstream, "delivered", e.Age)
	case e.Kind == outbox.DeadLetter:
		t.LetterEnded(ctx, e.Upstream, e.Reason, e.Age)
	case e.Kind == outbox.Cancellation:
		t.LetterEnded(ctx, e.Upstream, "cancelled", e.Age)
	}
}
