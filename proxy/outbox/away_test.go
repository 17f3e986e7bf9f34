package outbox_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/outbox"
)

func TestNothingIsAcceptedWhileTheStoreIsAway(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.store.GoAway(errAway)
		if _, err := r.tryKeep("a"); !errors.Is(err, errAway) {
			t.Errorf("error %v", err)
		}
		if since := time.Since(r.begin); since != 0 {
			t.Errorf("the caller waited %v", since)
		}
	})
}

func TestSenderWaitsForTheStore(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.keep("a", func(l *outbox.Letter) {})
		r.after(0)
		r.store.GoAway(errAway)
		r.after(time.Hour)
		r.store.GoAway(nil)
		r.after(time.Second)
		r.keep("b")
		r.after(0)
		r.want("a at 0s", "b at 1h0m1s")
		if told := r.told(outbox.StoreAway, outbox.StoreBack); !slices.Equal(told, []string{"store-away", "store-back"}) {
			t.Errorf("told %q", told)
		}
	})
}

func TestSenderStartsWhileTheStoreIsAway(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.close()
		r.keep("a")
		r.store.GoAway(errAway)
		r.run()
		r.after(time.Minute)
		r.store.GoAway(nil)
		r.after(time.Second)
		r.want("a at 1m1s")
	})
}

// The store goes away while a letter is on its way. Its answer is kept in memory, and written
// when the store is back; nothing is sent a second time.
func TestResultIsWrittenWhenTheStoreIsBack(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			time.Sleep(time.Second)
			return good(s, n)
		}
		r.keep("a", keyed)
		r.after(500 * time.Millisecond)
		r.store.GoAway(errAway)
		r.after(time.Hour)
		r.store.GoAway(nil)
		r.after(30 * time.Second)
		r.want("a at 0s")
		r.wantState("a", "delivered")
		if got := r.body("a"); got != "200 done" {
			t.Errorf("answer %s", got)
		}
	})
}

// The lease ran out meanwhile, too, and the letter comes to us again.
func TestResultIsWrittenThoughTheLeaseWasLost(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			time.Sleep(time.Second)
			return good(s, n)
		}
		r.keep("a", keyed)
		r.after(500 * time.Millisecond)
		r.store.GoAway(errAway)
		r.after(time.Minute)
		r.store.Kill()
		r.store.GoAway(nil)
		r.after(2 * time.Minute)
		r.want("a at 0s")
		r.wantState("a", "delivered")
	})
}

// A letter of ours was freed while it is on its way: whoever sends it goes on.
func TestLetterUnderWayIsNotSentBesideItself(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			time.Sleep(10 * time.Second)
			return good(s, n)
		}
		r.keep("a", keyed)
		r.after(time.Second)
		r.store.Kill()
		r.after(time.Minute)
		r.want("a at 0s")
		r.wantState("a", "delivered")
	})
}

func TestNothingLeavesThatTheStoreDoesNotKnowOf(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		s := r.settings()
		s.Send = func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			r.store.GoAway(errAway) // after it was claimed
			return r.send(ctx, l)
		}
		r.close()
		r.outbox = outbox.New(s, limits())
		r.keep("a")
		r.run()
		r.after(time.Minute)
		r.want()
		r.outbox.Break()
	})
}

func TestShutdownWaitsForWhatHasLeftAndGivesBackTheRest(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		s := r.settings()
		s.Send = func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			if l.ID == "queued" {
				<-ctx.Done() // it waits for its turn
				return outbox.Outcome{Verdict: outbox.NotSent, Err: ctx.Err()}
			}
			return r.send(ctx, l)
		}
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { time.Sleep(10 * time.Second); return good(s, n) }
		r.close()
		r.outbox = outbox.New(s, limits())
		r.keep("left")
		r.keep("queued")
		r.run()
		r.after(time.Second)
		before := time.Now()
		r.close()
		if took := time.Since(before); took != 9*time.Second {
			t.Errorf("it took %v, want the 9 s that the letter under way took", took)
		}
		r.wantState("left", "delivered")
		if view := r.wantState("queued", "waiting"); !view.Departed.IsZero() || view.Attempts != 0 {
			t.Errorf("the letter that was given back: %+v", view)
		}
	})
}

func TestBreakEndsWhatIsUnderWay(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		s := r.settings()
		s.Send = func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			if err := l.Depart(ctx); err != nil {
				return outbox.Outcome{Verdict: outbox.NotSent, Err: err}
			}
			<-ctx.Done()
			return outbox.Outcome{Verdict: outbox.Unknown, Err: ctx.Err(), Wire: 1}
		}
		r.close()
		r.outbox = outbox.New(s, limits())
		r.keep("a")
		r.run()
		r.stop()
		synctest.Wait()
		r.outbox.Break()
		<-r.ended
		if time.Since(r.begin) != 0 {
			t.Errorf("it took %v", time.Since(r.begin))
		}
		if view := r.wantState("a", "dead unknown"); len(view.History) != 1 {
			t.Errorf("what is known of it was not written: %+v", view)
		}
	})
}
