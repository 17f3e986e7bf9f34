package breaker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

// order gives an order about the rig's circuit that has to be taken.
func (r *rig) order(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// wantHeld checks that an answer is a refusal that gives no time.
func (r *rig) wantHeld(a policytest.Answer) {
	r.Helper()
	open, ok := errors.AsType[*breaker.OpenError](a.Err)
	if !ok || !open.Until.IsZero() || !open.Operator {
		r.Errorf("at %v: answer %+v, want a refusal without an end", time.Since(r.begun), a)
		return
	}
	if reason, wait := open.Refusal(); reason != "circuit-open" || wait != 0 {
		r.Errorf("refused for %s, come again in %v", reason, wait)
	}
	if !strings.HasSuffix(a.Err.Error(), "was opened by an operator, until one closes it") {
		r.Errorf("%v does not tell of the operator", a.Err)
	}
}

func TestOperatorOpensUntilOneCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, ramping(), times(-1, fine))
		r.calls(3)
		r.order(r.group.Open("api.test", time.Time{}))
		r.wantHeld(r.do())
		time.Sleep(1000 * time.Hour)
		r.wantHeld(r.do())
		r.wantHeld(policytest.Do(r.rt, r.stream()))
		if s := r.state(); s.State != "open" || !s.Held || s.Cause != "operator" || !s.Until.IsZero() {
			t.Errorf("state is %+v", s)
		}
		r.order(r.group.Close("api.test"))
		r.wantCounts(0, 0, 0)
		for range 100 {
			r.wantAnswer(r.do(), 200) // no ramp: whoever closed it knows
		}
		r.wantChanges() // whoever gave the orders tells of them
	})
}

// TestOpeningEndsWithItsTime, and then it is as after any other: a probe, and a
// ramp.
func TestOpeningEndsWithItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, ramping(), failed, failed, times(-1, fine))
		r.open()
		r.order(r.group.Open("api.test", time.Now().Add(time.Hour)))
		a := r.do()
		r.wantRefused(a, time.Hour)
		if want := "circuit of api.test was opened by an operator until 2000-01-01T01:00:00Z"; a.Err.Error() != want {
			t.Errorf("refused with %q, want %q", a.Err, want)
		}
		time.Sleep(time.Hour)
		r.do()
		r.wantRefused(r.do(), 5*time.Second) // an order is no failure: this one is the first
		if cause := r.state().Cause; cause != "probe" {
			t.Errorf("cause is %s", cause)
		}
		time.Sleep(5 * time.Second)
		r.wantAnswer(r.do(), 200)
		if share := r.state().Share; share != 0.1 {
			t.Errorf("share is %v", share)
		}
	})
}

func TestOrderDoesNotShortenWhatTheProviderAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), unavailable("60"))
		r.open()
		r.order(r.group.Open("api.test", time.Now().Add(time.Second)))
		r.wantRefused(r.do(), time.Minute)
	})
}

func TestOperatorClosesWhateverOpened(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, ramping(), failed, failed, times(100, fine), times(101, failed))
		r.open()
		time.Sleep(5 * time.Second)
		r.do() // the probe failed
		r.order(r.group.Close(""))
		r.wantCounts(0, 0, 0)
		for range 100 {
			r.wantAnswer(r.do(), 200)
		}
		r.wantCounts(100, 0, 0)
		r.calls(100)
		r.wantRefused(r.do(), 5*time.Second) // escalation begins anew, too
	})
}

// TestOrderDuringAProbe: the circuit does not wait for the probe that is under
// way, and what that finds is no longer asked for.
func TestOrderDuringAProbe(t *testing.T) {
	orders := map[string]func(*rig) error{
		"open":  func(r *rig) error { return r.group.Open("", time.Now().Add(10*time.Second)) },
		"close": func(r *rig) error { return r.group.Close("") },
	}
	for name, order := range orders {
		for _, status := range []int{200, 500} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, quick(), failed, policytest.Step{Status: status, Delay: 3 * time.Second}, fine)
					r.open()
					time.Sleep(5 * time.Second)
					ended := make(chan policytest.Answer)
					go func() { ended <- r.do() }()
					synctest.Wait()
					r.wantState("half-open")
					r.order(order(r))
					r.wantState(map[string]string{"open": "open", "close": "closed"}[name])
					before := r.state()
					<-ended
					if after := r.state(); after != before {
						t.Errorf("%+v became %+v", before, after)
					}
					time.Sleep(7 * time.Second)
					r.wantAnswer(r.do(), 200)
					r.wantCounts(1, 0, 0)
				})
			})
		}
	}
}

// TestOrderAboutAllIsForThoseToComeToo, and for those for which there is no room.
func TestOrderAboutAllIsForThoseToComeToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, fine, fine, fine, fine)
		g := newGroup(t, quick(), nil)
		rt := g.Wrap(byHost)(up)
		call := func(i int) error { return policytest.Do(rt, hostRequest(t, i)).Err }
		open := func(err error) bool { return errors.As(err, new(*breaker.OpenError)) }
		if _, holds := g.Standing(); holds {
			t.Error("an order stands that nobody gave")
		}
		if err := call(0); err != nil {
			t.Fatal(err)
		}
		if err := g.Open("", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for i := range most + 1 {
			if err := call(i); !open(err) {
				t.Fatalf("call to host %d: %v", i, err)
			}
		}
		if s, holds := g.Standing(); !holds || s.State != "open" || time.Until(s.Until) != time.Hour || s.Cause != "operator" {
			t.Errorf("what stands is %+v, %t", s, holds)
		}
		if err := g.Close("h1.test"); err != nil {
			t.Fatal(err)
		}
		if err := call(1); err != nil {
			t.Errorf("call to the one that was closed: %v", err)
		}
		if err := call(2); !open(err) {
			t.Errorf("call to another: %v", err)
		}
		time.Sleep(time.Hour)
		if err := call(most + many); err != nil { // a new one, for which there is no room
			t.Errorf("call after the time of the order: %v", err)
		}
		if _, holds := g.Standing(); holds {
			t.Error("the order stands after its time")
		}
		if err := g.Close(""); err != nil {
			t.Fatal(err)
		}
		if err := call(3); err != nil {
			t.Errorf("call after all were closed: %v", err)
		}
	})
}

// TestHeldCircuitsAreNotForgotten for the hosts that somebody makes up.
func TestHeldCircuitsAreNotForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGroup(t, quick(), nil)
		rt := g.Wrap(byHost)(policytest.NewUpstream(t, times(-1, fine)))
		policytest.Do(rt, hostRequest(t, 0))
		if err := g.Open("h0.test", time.Time{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000 * time.Hour)
		for i := range most + many {
			policytest.Do(rt, hostRequest(t, i+1))
		}
		if first := g.Snapshot()[0]; first.Key != "h0.test" || !first.Held {
			t.Errorf("the first circuit is %+v", first)
		}
	})
}

func TestOrdersAreKeptOverAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), fine)
		r.order(r.group.Open("", time.Time{}))
		s := settings()
		s.Window = time.Hour
		r.use(newGroup(t, s, r.group))
		r.group.Adopt()
		r.wantHeld(r.do())
		r.order(r.group.Close(""))
		r.wantAnswer(r.do(), 200)
	})
}

func TestOrderAboutAnUnknownKeyChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), times(2, fine))
		r.calls(1)
		for _, err := range []error{r.group.Open("api.tets", time.Time{}), r.group.Close("api.tets")} {
			if unknown, ok := errors.AsType[*breaker.UnknownKeyError](err); !ok || unknown.Key != "api.tets" {
				t.Errorf("error is %v", err)
			}
		}
		r.calls(1)
		r.wantCounts(2, 0, 0)
	})
}
