package alarm_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// A callsRig lets calls end, and has them looked at.
type callsRig struct {
	*diary
}

func newCallsRig(t *testing.T) *callsRig {
	r := &callsRig{}
	_, r.diary = newTestAlarms(t)
	return r
}

// pass lets time pass, with so many calls in each ten seconds of which every n-th is bad.
func (r *callsRig) pass(d time.Duration, calls, every int, bad func() *telemetry.Record) {
	n := 0
	for range d / lookout {
		time.Sleep(lookout)
		for range calls {
			n++
			if every > 0 && n%every == 0 {
				r.alarms.Ended(bad(), time.Now())
				continue
			}
			r.alarms.Ended(ended("crm", 200, policy.ClassOK), time.Now())
		}
		r.alarms.Look(upstreamsNamed("crm"), time.Now())
	}
}

func faulty() *telemetry.Record     { return ended("crm", 503, policy.ClassFault) }
func throttling() *telemetry.Record { return ended("crm", 200, policy.ClassOK, 429) }

func TestUpstreamThatFailsMoreThanItDidIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(2*time.Hour, 10, 100, faulty) // one of a hundred, as always
		r.want()
		r.pass(3*time.Minute, 10, 5, faulty)
		a := r.only()
		r.want("errors-high: 10 % of the calls to crm fail")
		if a.Subject != "crm/calls" || a.Trace != "trace-503" ||
			!strings.Contains(a.Detail, "the latest by status 503; in the day before it was 1.0 % of 7070") {
			t.Errorf("it is %+v", a)
		}
		r.pass(2*time.Hour, 10, 5, faulty) // which does not become what is usual
		r.want("errors-high: 10 % of the calls to crm fail")
		if last := r.only(); last.Calls < 1000 || last.Title != "20 % of the calls to crm fail" {
			t.Errorf("it has become %+v", last)
		}
		r.pass(10*time.Minute, 10, 100, faulty)
		if active := r.alarms.Active(); len(active) > 0 {
			t.Errorf("it lasts: %+v", active)
		}
		r.pass(2*time.Hour, 10, 100, faulty)
		if n := len(r.told); n != 2 {
			t.Errorf("told %q", r.told)
		}
	})
}

// Chance, few calls, and what was always like that wake nobody up.
func TestUsualFailuresAreNoAlert(t *testing.T) {
	for name, run := range map[string]func(r *callsRig){
		"one of twenty from the first call on": func(r *callsRig) { r.pass(3*time.Hour, 4, 20, faulty) },
		"a tenth, which was a fifteenth": func(r *callsRig) {
			r.pass(2*time.Hour, 10, 15, faulty)
			r.pass(time.Hour, 10, 10, faulty)
		},
		"few calls": func(r *callsRig) {
			r.pass(3*time.Hour, 0, 0, nil)
			r.alarms.Ended(faulty(), time.Now())
			r.pass(time.Minute, 0, 0, nil)
		},
		"a minute of it": func(r *callsRig) {
			r.pass(time.Hour, 10, 0, nil)
			r.pass(50*time.Second, 10, 2, faulty)
			r.pass(5*time.Minute, 400, 0, nil)
		},
		"callers' own": func(r *callsRig) {
			r.pass(time.Hour, 10, 2, func() *telemetry.Record { return ended("crm", 404, policy.ClassOK) })
		},
		"clients that left": func(r *callsRig) {
			r.pass(time.Hour, 10, 2, func() *telemetry.Record { return ended("crm", 499, policy.ClassClientGone) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCallsRig(t)
				run(r)
				r.want()
			})
		})
	}
}

// A first day has nothing to compare with: a fifth of the calls is too much on any.
func TestUpstreamThatFailsFromTheFirstCallOnIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(10*time.Minute, 10, 3, faulty)
		a := r.only()
		r.want("errors-high: " + r.told[0][len("errors-high: "):])
		if !strings.HasSuffix(a.Detail, "; there was no other before") && !strings.Contains(a.Detail, "in the day before") {
			t.Errorf("it is %+v", a)
		}
	})
}

// A key that was revoked is no fault of anybody's that a circuit would know.
func TestCredentialThatIsRefusedIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(time.Hour, 10, 0, nil)
		r.pass(5*time.Minute, 10, 1, func() *telemetry.Record { return ended("crm", 401, policy.ClassAuth) })
		if a := r.only(); a.Rule != "errors-high" || !strings.Contains(a.Detail, "the latest by status 401") {
			t.Errorf("it is %+v", a)
		}
	})
}

// What a caller brings is its own: a registry refuses the first request of each pull, to say
// where there are tokens, and half of its calls ended in a 401. After each start that was an
// alert, without end.
func TestCredentialOfACallerThatIsRefusedIsNoAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.alarms.Follow(compiled(t, "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n[[upstream.crm.rule]]\nmatch = \"GET /ours\"\nauth = { type = \"bearer\", token = \"env:KEY\" }\n"))
		refused := func(rule string) func() *telemetry.Record {
			return func() *telemetry.Record {
				record := ended("crm", 401, policy.ClassAuth)
				record.Rule = rule
				return record
			}
		}
		r.pass(time.Hour, 10, 2, refused(""))
		r.want()
		r.pass(5*time.Minute, 10, 2, refused("GET /ours"))
		if a := r.only(); a.Rule != "errors-high" {
			t.Errorf("it is %+v", a)
		}
	})
}

// An upstream that a reload took away while its errors were high, and another brought back,
// had a day that stayed empty: whatever it did was compared with nothing.
func TestUpstreamThatComesBackHasADayAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(10*time.Minute, 10, 0, nil)
		r.pass(5*time.Minute, 10, 2, faulty)
		r.only()
		r.alarms.Look(nil, time.Now()) // it is gone
		r.alarms.Follow(compiled(t, ""))
		time.Sleep(10 * time.Minute)
		r.pass(time.Hour, 10, 0, nil)
		r.pass(5*time.Minute, 10, 2, faulty)
		if a := r.only(); !strings.HasSuffix(a.Detail, "; in the day before it was 0.0 % of 3410") {
			t.Errorf("it is %+v", a)
		}
	})
}

// An outage was two alerts: that its circuit is open, and that calls fail. When it was over
// there was a third, of its failures.
func TestFailuresOfAnOpenCircuitAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(time.Hour, 10, 0, nil)
		r.pass(30*time.Second, 10, 1, faulty)
		circuit := alert.Trouble{Subject: "crm/circuit:crm.test", Title: "Circuit of crm open"}
		r.alarms.Book().Raise(alarm.CircuitOpen, circuit)
		r.pass(5*time.Minute, 10, 1, faulty)
		r.alarms.Book().Resolve(circuit.Subject, alarm.CircuitOpen)
		r.pass(time.Hour, 10, 0, nil)
		r.want(openTold, openOver)
	})
}

func TestSustainedThrottlingIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(time.Minute, 100, 2, throttling) // a burst, which pacing takes care of
		r.pass(10*time.Minute, 10, 0, nil)
		r.want()
		r.pass(5*time.Minute, 10, 5, throttling)
		a := r.only()
		r.want(r.told[0])
		if a.Rule != "throttled" || !strings.HasPrefix(a.Title, "crm throttles 1") || a.Trace != "trace-200" || a.Severity != "warning" {
			t.Errorf("it is %+v", a)
		}
		r.pass(20*time.Minute, 10, 0, nil)
		r.want(r.told[0], fmt.Sprintf("throttled is over: %s", r.told[1][len("throttled is over: "):]))
	})
}

// A quota that no waiting brings back answers 429, too.
func TestExhaustedQuotaIsNoThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCallsRig(t)
		r.pass(time.Hour, 10, 2, func() *telemetry.Record { return ended("crm", 429, policy.ClassExhausted) })
		r.want()
	})
}
