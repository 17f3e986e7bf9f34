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
