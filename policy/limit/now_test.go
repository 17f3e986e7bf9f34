package limit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// TestCallThatGoesNowOrNeverIsRefusedWhereItWouldWait: it has no place in line, and takes
// nothing from those who have.
func TestCallThatGoesNowOrNeverIsRefusedWhereItWouldWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type now struct{}
		s := tenPerSecond()
		s.Claim = func(ctx context.Context) limit.Claim { return limit.Claim{Now: ctx.Value(now{}) != nil} }
		hurried := context.WithValue(t.Context(), now{}, true)
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)

		c.start(hurried, "a") // nobody is there
		wantRefusal(t, c.call(hurried, "b"), 0, limit.QueueTimeout, 0)
		c.startAll(t.Context(), "c d")
		wantRefusal(t, c.call(hurried, "e"), 0, limit.QueueTimeout, 0)
		time.Sleep(time.Second)
		c.start(hurried, "f")
		if got := w.names(); got != "a c d f" {
			t.Errorf("sent: %q", got)
		}
		wantTimes(t, w, ms(0, 100, 200, 1000)...)
	})
}
