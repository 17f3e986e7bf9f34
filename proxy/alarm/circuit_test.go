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
