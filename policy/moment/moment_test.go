package moment_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/moment"
)

// within is a context that has moments.
type within struct {
	context.Context
	moments moment.Moments
}

func (w *within) Value(key any) any {
	if key == (moment.Key{}) {
		return &w.moments
	}
	return w.Context.Value(key)
}

func want(t *testing.T, what string, got time.Time, after time.Duration) {
	t.Helper()
	if bubble := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); !got.Equal(bubble.Add(after)) {
		t.Errorf("%s is %s after the beginning, want %s", what, got.Sub(bubble), after)
	}
}

func TestStagesOfAnAttemptHaveItsTimesInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := moment.Of(&within{Context: t.Context()})
		time.Sleep(time.Second)
		want(t, "the beginning", m.Begin(), time.Second)
		time.Sleep(time.Second)
		want(t, "the departure", m.Departure(), time.Second)
		m.Waited()
		want(t, "the departure after a wait", m.Departure(), 2*time.Second)
		time.Sleep(time.Second)
		want(t, "the departure, later", m.Departure(), 2*time.Second)
		want(t, "the arrival of nothing", m.Arrival(), 3*time.Second)
		want(t, "the arrival", m.Arrive(), 3*time.Second)
		time.Sleep(time.Second)
		want(t, "the arrival, later", m.Arrival(), 3*time.Second)
		m.Begin()
		time.Sleep(time.Second)
		want(t, "the arrival of the next attempt", m.Arrival(), 5*time.Second)
	})
}

func TestAttemptWithoutMomentsLooksAtTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := moment.Of(t.Context())
		m.Begin()
		m.Arrive()
		m.Waited()
		time.Sleep(time.Second)
		want(t, "the departure", m.Departure(), time.Second)
		want(t, "the arrival", m.Arrival(), time.Second)
	})
}
