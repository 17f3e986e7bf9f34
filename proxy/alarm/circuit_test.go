package alarm_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/alarm"
	"outrider/proxy/telemetry"
)

const (
	openTold     = "circuit-open: Circuit of crm open"
	openOver     = "circuit-open is over: Circuit of crm open"
	flappingTold = "circuit-flapping: Circuit of crm flapping"
	flappingOver = "circuit-flapping is over: Circuit of crm flapping"
)

// A circuitRig has one circuit, as it is now.
type circuitRig struct {
	*diary
	now   policy.CircuitStatus
	watch *alarm.Watch
}

func newCircuitRig(t *testing.T) *circuitRig {
	r := &circuitRig{}
	_, r.diary = newTestAlarms(t)
	byHand := policy.CircuitStatus{Key: "other.test", State: "open", Held: true, Cause: "operator", Since: new(time.Time), Refused: 9}
	r.watch = r.alarms.Watch(func() []policy.UpstreamStatus {
		r.mu.Lock()
		defer r.mu.Unlock()
		return []policy.UpstreamStatus{{Name: "crm", Circuits: []policy.CircuitStatus{byHand, r.now}}}
	})
	r.close()
	return r
}

// become sets what the circuit is.
func (r *circuitRig) become(c policy.CircuitStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Key = "api.test"
	r.now = c
}

func (r *circuitRig) open() {
	since := time.Now()
	r.become(policy.CircuitStatus{State: "open", Cause: "run", Since: &since})
	r.alarms.Observe("0af7", policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "api.test", From: "closed", To: "open", Reason: "run", Until: since.Add(5 * time.Second)})
}

// pass is a probe that succeeds, after which calls come back step by step.
func (r *circuitRig) pass(since time.Time) {
	r.become(policy.CircuitStatus{State: "closed", Share: 0.1, Since: &since, Refused: 9})
	r.alarms.Observe("", policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "api.test", From: "half-open", To: "closed"})
}

func (r *circuitRig) close() { r.become(policy.CircuitStatus{State: "closed"}) }

// A circuit that opens is told of at once, and over when all calls have passed for a
// minute: not by a probe that succeeds, after which it may open again.
func TestOpenCircuitIsAnAlertUntilAllCallsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCircuitRig(t)
		defer r.watch.Close()
		time.Sleep(5 * time.Second)
		r.open()
		r.want(openTold)
		if a := r.only(); a.Trace != "0af7" || a.Detail != "too many calls fail at api.test" || a.Action == "" {
			t.Errorf("it is %+v", a)
		}
		for range 3 {
			r.alarms.Ended(&telemetry.Record{Upstream: "crm", Host: "api.test", Problem: "circuit-open", TraceID: "1b2c"}, time.Now())
		}
		r.alarms.Ended(&telemetry.Record{Upstream: "erp", Host: "api.test", Problem: "circuit-open", TraceID: "1b2c"}, time.Now())
		since := time.Now().Local().Format(time.RFC3339)
		opened := time.Now()
		r.become(policy.CircuitStatus{State: "half-open", Cause: "probe", Since: &opened, Refused: 7})
		time.Sleep(lookout)
		r.want(openTold)
		if a := r.only(); a.Calls != 7 || a.Detail != "its probes fail at api.test, since "+since+"; 7 calls refused so far" {
			t.Errorf("it is %+v", a)
		}
		r.become(policy.CircuitStatus{State: "closed", Share: 0.4, Since: &opened, Refused: 9})
		time.Sleep(2 * time.Minute)
		r.want(openTold)
		r.close()
		time.Sleep(5*time.Second + time.Minute - 1) // the look comes in the middle of ten seconds
		r.want(openTold)
		time.Sleep(1)
		r.want(openTold, openOver)
	})
}

// For the minute in which it is watched, the alert said that probes failed and that calls were
// refused, beside a status that had the circuit closed.
func TestCircuitThatIsClosedAgainIsToldOfAsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCircuitRig(t)
		defer r.watch.Close()
		time.Sleep(5 * time.Second) // the look comes in the middle of ten seconds
		opened := time.Now()
		said := func(when, detail, action string) {
			t.Helper()
			if a := r.only(); a.Detail != detail || a.Action != action {
				t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", when, a.Detail, a.Action, detail, action)
			}
		}
		watched := func(span string) string {
			return "Nothing now: calls pass again, step by step. It is watched until all have passed for " + span +
				": if it opens again by then, this alert goes on, and else it is over."
		}
		const refused = "Look at the provider's status page. Calls are refused with 503 until a probe succeeds; to have it otherwise: outrider circuit close crm."
		since := opened.Local().Format(time.RFC3339)
		closed := "it is closed again at api.test, after it opened at " + since + "; 9 calls refused so far"

		r.open()
		r.become(policy.CircuitStatus{State: "half-open", Cause: "probe", Since: &opened, Refused: 9})
		time.Sleep(lookout)
		said("open", "its probes fail at api.test, since "+since+"; 9 calls refused so far", refused)
		r.pass(opened)
		said("a probe has succeeded", closed, watched("1m"))
		time.Sleep(lookout)
		said("some calls pass", closed, watched("1m"))
		r.close()
		time.Sleep(lookout)
		said("all pass", closed, watched("1m"))
		r.open()
		said("it opens again", "too many calls fail at api.test", refused)
		r.become(policy.CircuitStatus{State: "half-open", Cause: "probe", Since: &opened, Refused: 9})
		time.Sleep(lookout)
		said("it still is", "its probes fail at api.test, since "+since+"; 9 calls refused so far", refused)
		r.become(policy.CircuitStatus{State: "open", Cause: "operator", Held: true})
		time.Sleep(lookout)
		said("by an operator", "an operator has opened it at api.test", "Calls are refused with 503 for as long as the operator said; to have it otherwise: outrider circuit close crm.")
		time.Sleep(time.Minute)
		r.want(openTold, openOver)
		for range 2 {
			r.close()
			time.Sleep(2 * time.Minute)
			r.open()
		}
		r.close()
		time.Sleep(lookout)
		said("flapping", "it opened 3 times within 15m, and now it is closed again at api.test", watched("15m"))
	})
}

// Of a customer's circuit each call was counted that another customer's, or another host's,
// had refused.
func TestCallCountsForTheCircuitThatRefusedIt(t *testing.T) {
	a, _ := newTestAlarms(t)
	keys := []string{"one.test", "one.test acme", "one.test other", "two.test", "one.test.com"}
	for _, key := range keys {
		a.Observe("", policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: key, From: "closed", To: "open", Reason: "run"})
	}
	for _, connection := range []string{"acme", "acme", "other"} {
		a.Ended(&telemetry.Record{Upstream: "crm", Host: "one.test", Connection: connection, Problem: "circuit-open"}, time.Now())
	}
	a.Ended(&telemetry.Record{Upstream: "crm", Host: "two.test", Problem: "circuit-open"}, time.Now())
	got := make(map[string]int)
	for _, active := range a.Active() {
		got[strings.TrimPrefix(active.Subject, "crm/circuit:")] = active.Calls
	}
	for i, want := range []int{0, 2, 1, 1, 0} {
		if got[keys[i]] != want {
			t.Errorf("%s has %d calls, want %d", keys[i], got[keys[i]], want)
		}
	}
}

// Six times were six alerts, and six that it was over.
func TestFlappingCircuitIsOneAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCircuitRig(t)
		defer r.watch.Close()
		for range 6 {
			r.open()
			time.Sleep(20 * time.Second)
			r.close()
			time.Sleep(100 * time.Second)
		}
		told := []string{openTold, openOver, openTold, openOver, flappingTold}
		r.want(told...)
		if a := r.only(); a.Detail[:len("it opened 6 times within 15m")] != "it opened 6 times within 15m" {
			t.Errorf("it is %+v", a)
		}
		time.Sleep(13 * time.Minute)
		r.want(told...)
		time.Sleep(time.Minute)
		r.want(append(told, flappingOver)...)
	})
}

// Within a minute it was not over.
func TestCircuitThatOpensAgainSoonIsOneAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCircuitRig(t)
		defer r.watch.Close()
		for range 6 {
			r.open()
			time.Sleep(15 * time.Second)
			r.close()
			time.Sleep(15 * time.Second)
		}
		r.want(openTold)
		time.Sleep(2 * time.Minute)
		r.want(openTold, openOver)
	})
}

// Whoever does not want to know of flapping wants to know of each time.
func TestFlappingThatIsOffIsToldEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCircuitRig(t)
		defer r.watch.Close()
		r.alarms.Follow(compiled(t, "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n[alerts.rule.circuit-flapping]\noff = true\n"))
		var told []string
		for range 4 {
			r.open()
			time.Sleep(20 * time.Second)
			r.close()
			time.Sleep(100 * time.Second)
			told = append(told, openTold, openOver)
		}
		r.want(told...)
	})
}
