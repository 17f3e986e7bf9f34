package limit_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

func TestCallThatJoinsTheLineIsToldOfItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		var g *group
		s := limit.Settings{Count: 1, Per: 10 * time.Second, Burst: 1, MaxWait: 25 * time.Second, MaxQueue: 100}
		began := time.Now()
		s.OnQueue = func(_ context.Context, key string, turn time.Time) {
			g.Estimate(key) // no lock is held
			told = append(told, fmt.Sprint(key, " ", turn.Sub(began)))
		}
		g = newGroup(t, s, nil)
		w := newWire()
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "at-once in-10s in-20s refused")
		time.Sleep(time.Minute)
		if want := []string{"api.example 10s", "api.example 20s"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
