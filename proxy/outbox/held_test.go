package outbox_test

import (
	"context"
	"testing"

	"outrider/proxy/outbox"
)

// What is behind a dead letter says so, and what is in front of it, or of another key, or being
// sent, does not. Where dead letters are skipped nothing is held.
func TestLetterTellsWhatHoldsIt(t *testing.T) {
	for _, skip := range []bool{false, true} {
		inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.SkipDead = skip }, func(r *rig) {
			r.answer = func(s *outbox.Sending, _ int) outbox.Outcome {
				if s.ID == "a" {
					return answer(outbox.Dead, 422, "no")
				}
				return outbox.Outcome{Verdict: outbox.Later}
			}
			r.keep("a", ordered("one"), keyed)
			r.keep("b", ordered("one"), keyed)
			r.keep("c", ordered("two"), keyed)
			r.after(0)
			views, _, err := r.outbox.List(context.Background(), outbox.Filter{}, "", 10)
			if err != nil || len(views) != 3 {
				t.Fatal(views, err)
			}
			for _, v := range views {
				if held := v.HeldBy != nil; held != (v.ID == "b" && !skip) || held && *v.HeldBy != (outbox.HeldBy{ID: "a", Reason: "refused"}) {
					t.Errorf("skipping %v: %s is held by %+v", skip, v.ID, v.HeldBy)
				}
			}
		})
	}
}
