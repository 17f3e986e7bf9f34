package outbox_test

import (
	"context"
	"testing"
	"time"

	"outrider/proxy/outbox"
)

// The clock is set back by a day while letters wait for seconds.
func TestClockThatIsSetBackDelaysNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(time.Second)
		r.store.SetClock(-24 * time.Hour)
		r.after(time.Second)
		r.want("a at 0s", "a at 2s")
		if told := r.told(outbox.ClockJump); len(told) != 1 {
			t.Errorf("told %q", told)
		}
	})
}

func TestClockThatIsSetBackDoesNotMakeKeysYounger(t *testing.T) {
	keyAge := func(s *outbox.Settings, _ *outbox.Limits) {
		s.KeyAge = func(*outbox.Letter) time.Duration { return time.Hour }
	}
	inBubble(t, keyAge, func(r *rig) {
		r.answer = failing(100)
		r.keep("a", keyed)
		r.after(30 * time.Minute)
		r.store.SetClock(-24 * time.Hour)
		r.after(29 * time.Minute)
		r.wantState("a", "waiting")
		r.after(11 * time.Minute)
		r.wantState("a", "dead key-age")
	})
}

// Nobody of us saw how the clock was set: all that is known of the key is that it was used.
func TestKeyOfTheFutureIsTooOld(t *testing.T) {
	keyAge := func(s *outbox.Settings, _ *outbox.Limits) {
		s.KeyAge = func(*outbox.Letter) time.Duration { return time.Hour }
	}
	inBubble(t, keyAge, func(r *rig) {
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(0)
		r.close()
		r.store.SetClock(-10 * time.Minute)
		r.run()
		if n, err := r.outbox.Retry(context.Background(), outbox.Filter{State: outbox.StateWaiting}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		r.after(time.Minute)
		r.want("a at 0s")
		r.wantState("a", "dead key-age")
	})
}

func TestClockThatIsSetForwardEndsNothingYoung(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) {
		l.MaxAge, l.KeepResults, l.KeepDead = time.Hour, time.Hour, time.Hour
	}, func(r *rig) {
		r.keep("done")
		r.after(0)
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(time.Second)
		r.store.SetClock(365 * 24 * time.Hour)
		r.after(time.Minute)
		r.want("a at 0s", "done at 0s", "a at 2s")
		r.wantState("a", "delivered")
		r.wantState("done", "delivered")
	})
}

func TestGraceOfAClockThatWasSetForwardEnds(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) {
		l.MaxAge, l.KeepResults, l.KeepDead, l.Attempts = time.Hour, time.Hour, 10*time.Hour, 1000
	}, func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome { return answer(outbox.Later, 503, "") }
		r.keep("a", keyed)
		r.after(time.Second)
		r.store.SetClock(2 * time.Hour)
		r.after(10*time.Hour + time.Minute)
		r.wantState("a", "dead age")
	})
}

// A machine that sleeps each night has its clock set forward each morning, for all that can be
// told. What waits on it must be given up at some time nevertheless: nothing ever was.
func TestMachineThatSleepsGivesUpToo(t *testing.T) {
	refused := func(s *outbox.Settings, _ *outbox.Limits) {
		s.Send = func(context.Context, *outbox.Sending) outbox.Outcome {
			return outbox.Outcome{Verdict: outbox.NotSent, After: time.Hour}
		}
	}
	inBubble(t, refused, func(r *rig) {
		r.keep("first", ordered("k"))
		r.keep("behind", ordered("k"))
		for night := range 3 {
			r.after(16 * time.Hour)
			r.store.SetClock(8 * time.Hour)
			r.after(time.Second)
			if night == 0 {
				r.wantState("first", "waiting") // 16 hours are no day
			}
		}
		r.wantState("first", "dead age")
		r.wantState("behind", "dead age")
	})
}

// The store goes away between telling that the clock was set back and the repair of what waits.
// The repair was forgotten, and letters waited for a day that were due in seconds.
func TestClockThatIsSetBackIsNotForgottenWhileTheStoreIsAway(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		w := r.wired(nil)
		w.failing.Store(3)
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(time.Second)
		r.store.SetClock(-24 * time.Hour)
		r.after(time.Minute)
		r.want("a at 0s", "a at 5s")
	})
}
