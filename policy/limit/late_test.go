package limit_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
)

// TestRefusesTellsWhatBecomesOfACall that arrives later: the call is made, and refused or
// not.
func TestRefusesTellsWhatBecomesOfACall(t *testing.T) {
	const second = time.Second
	patient := func(longest time.Duration) limit.Settings {
		return limit.Settings{Count: 1, Per: second, Burst: 1, MaxWait: longest, MaxQueue: 100, Learn: true}
	}
	for name, test := range map[string]struct {
		settings       limit.Settings
		before         string        // calls that were made
		after, timeout time.Duration // when it arrives, and how long its time is from now
		refused        bool
	}{
		"nobody was there":                     {patient(0), "", 0, second, false},
		"a turn in time":                       {patient(time.Minute), "a", 0, second + 1, false},
		"a turn at the deadline":               {patient(time.Minute), "a", 0, second, true},
		"with others in line":                  {patient(time.Minute), "a b", 0, 2 * second, true},
		"no deadline, and a long line":         {patient(time.Minute), "a b c", 0, 0, false},
		"longer than it may wait":              {patient(second), "a b", 0, 0, true},
		"as long as it may":                    {patient(2 * second), "a b", 0, 0, false},
		"as long as it may, when it arrives":   {patient(second), "a b", second, 0, false},
		"the provider is closed for longer":    {patient(time.Minute), "throttled", 0, 9 * second, true},
		"the provider is closed, and opens":    {patient(time.Minute), "throttled", 0, 11 * second, false},
		"arrives when the provider has opened": {patient(second), "throttled", 9 * second, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				w.answer = throttles(10, "throttled")
				g := newGroup(t, test.settings, nil)
				c := newCaller(t, g, w)
				c.startAll(t.Context(), test.before)
				ctx, cancel := t.Context(), func() {}
				if test.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
				}
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/late", nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := g.Refuses(g.way(1, byHost), req, test.after); got != test.refused {
					t.Errorf("Refuses is %v, want %v", got, test.refused)
				}
				time.Sleep(test.after)
				_, refused := errors.AsType[*limit.RefusedError](c.call(ctx, "late").err)
				if refused != test.refused {
					t.Errorf("refused is %v, want %v", refused, test.refused)
				}
			})
		})
	}
}

// A reload had dropped the only limit while a call was on its way. As it was asked whether
// the call had a turn after its failure, that panicked: no meter was there to name.
func TestRefusesNothingWhereAReloadHasDroppedTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, limit.Settings{Count: 1, Per: time.Second, Burst: 1, MaxWait: time.Minute, MaxQueue: 100}, nil)
		newCaller(t, g, newWire()).startAll(t.Context(), "a b")
		next, err := limit.New(nil, g.Quotas)
		if err != nil {
			t.Fatal(err)
		}
		next.Adopt()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example/late", nil)
		if err != nil {
			t.Fatal(err)
		}
		if g.Refuses(g.way(1, byHost), req, time.Second) {
			t.Error("a call is refused that has nothing to wait for")
		}
	})
}
