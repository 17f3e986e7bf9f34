package quota_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/hint"
	"outrider/policy/quota"
	"outrider/proxy/simulator"
)

// ask makes one call to a simulator that needs no socket, and reads the answer.
func ask(sim *simulator.Simulator, target string) (status int, got views, wait time.Duration, hinted bool) {
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	wait, hinted = hint.RetryAfter(w.Header(), time.Now())
	return w.Code, quota.Parse(w.Header(), time.Now(), nil), wait, hinted
}

func newSimulator(t *testing.T, set simulator.Settings) *simulator.Simulator {
	t.Helper()
	sim, err := simulator.New(set)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// Every dialect of the simulator, in the middle of a window of a minute that
// holds two calls: the second call, 3.5 s after the first. The window ends
// 56.5 s later. Whoever rounds to seconds says so up to a second later;
// Atlassian, to minutes, which is the same here.
func TestEveryDialectOfTheSimulatorIsUnderstood(t *testing.T) {
	const end = 56500 * time.Millisecond
	const rounded = 57 * time.Second
	type want struct {
		quota.View
		reset time.Duration // from the answer on; 0: none
		none  bool
	}
	spent := quota.View{Unit: quota.Requests, Limit: n(2), Remaining: n(0)}
	with := func(change func(v *quota.View)) quota.View {
		v := spent
		change(&v)
		return v
	}
	wants := map[string]want{
		"ietf":      {View: with(func(v *quota.View) { v.Bucket, v.Window = "crm", time.Minute }), reset: rounded},
		"draft07":   {View: with(func(v *quota.View) { v.Bucket, v.Window = "w=60", time.Minute }), reset: rounded},
		"draft06":   {View: spent, reset: rounded},
		"gitlab":    {View: spent, reset: rounded},
		"github":    {View: with(func(v *quota.View) { v.Bucket, v.Used, v.Refill = "crm", n(2), quota.Whole }), reset: rounded},
		"openai":    {View: with(func(v *quota.View) { v.Bucket, v.Refill = "requests", quota.Gradual }), reset: end},
		"anthropic": {View: with(func(v *quota.View) { v.Bucket, v.Refill = "requests", quota.Gradual }), reset: rounded},
		"shopify":   {View: with(func(v *quota.View) { v.Used = n(2) })},
		"hubspot":   {View: with(func(v *quota.View) { v.Window = time.Minute })},
		"atlassian": {View: with(func(v *quota.View) { v.Refill = quota.Whole }), reset: rounded},
		"stripe":    {none: true},
		"slack":     {none: true},
		"httpdate":  {none: true},
		"none":      {none: true},
	}
	for _, name := range simulator.Dialects() {
		want, ok := wants[name]
		if !ok {
			t.Errorf("%s: not in the table", name)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{Dialect: name, Limit: 2, Per: time.Minute})
			ask(sim, "/limited/window/crm")
			time.Sleep(3500 * time.Millisecond)
			status, got, _, hinted := ask(sim, "/limited/window/crm")
			if want.none {
				if len(got) != 0 {
					t.Errorf("%s: %+v", name, got)
				}
				return
			}
			if want.reset > 0 {
				want.Reset = time.Now().Add(want.reset)
			}
			if len(got) != 1 || !got[0].Reset.Equal(want.Reset) {
				t.Fatalf("%s: %+v, want %+v", name, got, want.View)
			}
			got[0].Reset = want.Reset // the same instant, with or without a monotonic reading
			if status != 200 || got[0] != want.View {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got[0], want.View)
			}
			if until, exhausted := quota.Exhausted(got, status, hinted, time.Now()); !exhausted {
				t.Errorf("%s: not exhausted", name)
			} else if want.Refill != quota.Gradual && !until.Equal(want.Reset) {
				t.Errorf("%s: until %v, want %v", name, until, want.Reset)
			}
		})
	}
}

// The limit of calls at once has no time.
func TestConcurrencyOfTheSimulatorHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{Limit: 1})
		go ask(sim, "/limited/concurrency/crm?hold=1s")
		synctest.Wait()
		status, got, _, _ := ask(sim, "/limited/concurrency/crm")
		want := quota.View{Bucket: "crm", Unit: quota.Concurrency, Limit: n(1), Remaining: n(0)}
		if status != 429 || len(got) != 1 || got[0] != want {
			t.Errorf("%d %+v", status, got)
		}
		if _, exhausted := quota.Exhausted(got, status, false, time.Now()); exhausted {
			t.Error("exhausted")
		}
		time.Sleep(time.Second)
	})
}

// Wherever in a second the window began and the answer came, a caller that
// follows the views alone is never early. It is late by less than what the
// provider rounds its reset up to, a second or a minute, and by less than the
// second that Date is rounded down to, where the reset is an instant.
func TestFollowingTheViewsIsNeverEarly(t *testing.T) {
	late := map[string]time.Duration{"ietf": time.Second, "draft07": time.Second, "draft06": time.Second, "gitlab": 2 * time.Second,
		"github": 2 * time.Second, "atlassian": time.Minute + time.Second}
	for name, most := range late {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{Dialect: name, Limit: 2, Per: 7 * time.Second})
			for round := range 60 {
				time.Sleep(time.Duration(round) * 37 * time.Millisecond)
				first := time.Now()
				if status, _, _, _ := ask(sim, "/limited/window/crm"); status != 200 {
					t.Fatalf("%s: round %d was early: %d", name, round, status)
				}
				time.Sleep(time.Duration(round) * 91 * time.Millisecond)
				_, got, _, _ := ask(sim, "/limited/window/crm")
				until, exhausted := quota.Exhausted(got, 200, false, time.Now())
				if end := first.Add(7 * time.Second); !exhausted || until.Before(end) || until.Sub(end) >= most {
					t.Fatalf("%s: round %d: until %v, and the window ends at %v", name, round, until, end)
				}
				time.Sleep(time.Until(until))
			}
		})
	}
}

// A refusal that names a time in Retry-After is package hint's, and every
// other one is a view's: no dialect leaves a refused caller without either, but
// for those that tell nothing.
func TestEveryRefusalOfTheSimulatorIsExplained(t *testing.T) {
	silent := map[string]bool{"stripe": true, "none": true}
	rolling := map[string]bool{"hubspot": true} // a window, of which nobody knows the end
	for _, name := range simulator.Dialects() {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{Dialect: name, Limit: 1, Per: 10 * time.Second})
			ask(sim, "/limited/sliding/crm")
			status, got, wait, hinted := ask(sim, "/limited/sliding/crm")
			until, exhausted := quota.Exhausted(got, status, hinted, time.Now())
			said := fmt.Sprintf("%s: %d, hint %v %v, until %v %v", name, status, wait, hinted, until, exhausted)
			switch {
			case silent[name]:
				if hinted || exhausted {
					t.Error(said)
				}
			case rolling[name]:
				if hinted || !exhausted || !until.IsZero() {
					t.Error(said)
				}
			case hinted && (exhausted || wait < 10*time.Second), !hinted && (!exhausted || time.Until(until) < 10*time.Second):
				t.Error(said)
			}
		})
	}
}
