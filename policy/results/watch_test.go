package results_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/results"
)

// A rig counts answers, a minute after each other.
type rig struct {
	results.Watch
	now  time.Time
	told []string
}

func newRig() *rig { return &rig{now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)} }

func (r *rig) count(endpoint string, empty bool) {
	r.now = r.now.Add(time.Minute)
	r.Count(endpoint, empty, r.now, func(c results.Change, e results.Endpoint) {
		if c == results.Ends {
			r.told = append(r.told, e.Name+" ends")
			return
		}
		r.told = append(r.told, fmt.Sprintf("%s empty for %d, %.0f %% of %d before, since %s", e.Name, e.Run, 100*e.Usual, e.Of, e.Since.Format("15:04")))
	})
}

func (r *rig) many(n int, endpoint string, empty bool) {
	for range n {
		r.count(endpoint, empty)
	}
}

func (r *rig) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.told, want) {
		t.Errorf("told %q, want %q", r.told, want)
	}
}

func TestEndpointThatBecomesEmptyIsToldOnceUntilItIsNot(t *testing.T) {
	r := newRig()
	r.many(40, "a", false)
	r.many(10, "a", true)
	r.many(10, "a", false)
	const begins = "a empty for 21, 17 % of 60 before, since 09:01"
	r.many(20, "a", true)
	r.want(t) // twice the longest run before are twenty
	r.many(500, "a", true)
	r.want(t, begins)
	if !r.Has("a") || r.Has("b") {
		t.Error("it is not known which it is")
	}
	r.count("a", false)
	r.want(t, begins, "a ends")
	r.many(100, "a", false)
	if r.Has("a") {
		t.Error("it lasts")
	}
}

func TestFewAnswersOrManyEmptyOnesSayNothing(t *testing.T) {
	r := newRig()
	r.many(49, "few", false)
	r.many(1000, "few", true)
	for range 100 {
		r.many(3, "often", false)
		r.count("often", true)
	}
	r.many(1000, "often", true)
	r.many(1000, "never", true)
	r.want(t)
}

// What finds nothing at night is told of in the first, and then it is known.
func TestNightsAreLearned(t *testing.T) {
	r := newRig()
	for range 6 {
		r.many(16*60, "a", false)
		r.many(8*60, "a", true)
	}
	if len(r.told) != 2 || !strings.HasPrefix(r.told[0], "a empty for 20,") {
		t.Errorf("told %q, want the first night alone", r.told)
	}
	r.told = nil
	r.many(16*60, "a", false)
	r.many(17*60, "a", true) // more than two nights
	if len(r.told) != 1 {
		t.Errorf("told %q", r.told)
	}
}

// An endpoint that is counted no more is not empty any more.
func TestEndpointsAreBounded(t *testing.T) {
	r := newRig()
	r.many(60, "first", false)
	r.many(20, "first", true)
	for i := range results.MaxEndpoints {
		r.count(fmt.Sprint(i), false)
	}
	if len(r.told) != 2 || r.told[1] != "first ends" || r.Has("first") {
		t.Errorf("told %q", r.told)
	}
}

// Answers that are empty by chance, as often as is still usual, say nothing for a month.
func TestChanceSaysNothing(t *testing.T) {
	r, chance := newRig(), rand.New(rand.NewPCG(1, 2))
	for range 30 * 24 * 60 {
		r.count("a", chance.Float64() < 0.2)
	}
	r.want(t)
}
