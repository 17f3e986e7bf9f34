package policy_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// order gives an order to the upstream api.
func order(t *testing.T, set *policy.Set, o policy.CircuitOrder) *policy.CircuitReport {
	t.Helper()
	o.Upstream = "api"
	report, err := set.OrderCircuits(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wantCircuitOpen checks that a call is refused, with a time to come again, or 0 for none.
func wantCircuitOpen(t *testing.T, a policytest.Answer, wait time.Duration) {
	t.Helper()
	var refusal policy.Refusal
	if !errors.As(a.Err, &refusal) {
		t.Errorf("answer %+v, want a refusal", a)
		return
	}
	if reason, after := refusal.Refusal(); reason != "circuit-open" || after != wait {
		t.Errorf("refused for %s, come again in %v, want %v", reason, after, wait)
	}
}

// The order of an operator is told as one event, shown, and kept over a reload; it holds
// for hosts that no call has named yet.
func TestOrderOfAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1}))
		set := r.compile(plain, nil)
		report := order(t, set, policy.CircuitOrder{Open: true})
		want := policy.CircuitStatus{Key: policy.AllCircuits, State: "open", Held: true, Cause: "operator"}
		if len(report.Circuits) != 1 || report.Circuits[0] != want || report.Upstream != "api" {
			t.Errorf("the report is %+v", report)
		}
		explained := func(verdict string) {
			t.Helper()
			e, err := set.Explain(t.Context(), "GET", "/api/x", "")
			if err != nil || e.Verdict != verdict || e.Circuit.Key != "api.test" {
				t.Errorf("explain says %+v %v, want %q", e, err, verdict)
			}
		}
		explained("refused with 503 circuit-open: an operator opened the circuit, until one closes it")
		a, _ := call(t, set, "GET", "/", "")
		wantCircuitOpen(t, a, 0)

		set = r.compile(plain+`circuit = { window = "2m" }`, set)
		time.Sleep(1000 * time.Hour)
		a, _ = call(t, set, "GET", "/", "")
		wantCircuitOpen(t, a, 0)
		order(t, set, policy.CircuitOrder{Key: "api.test"})
		if a, _ := call(t, set, "GET", "/", ""); a.Status != 200 {
			t.Errorf("answer %+v after its circuit was closed", a)
		}
		order(t, set, policy.CircuitOrder{Key: "api.test", Open: true, For: time.Hour})
		a, _ = call(t, set, "GET", "/", "")
		wantCircuitOpen(t, a, time.Hour)
		explained("refused with 503 circuit-open until " + time.Now().Add(time.Hour).Format(time.RFC3339) + ": an operator opened the circuit")
		report = order(t, set, policy.CircuitOrder{Key: policy.AllCircuits})
		if len(report.Circuits) != 1 || report.Circuits[0] != (policy.CircuitStatus{Key: "api.test", State: "closed"}) {
			t.Errorf("the report is %+v", report)
		}
		explained("sent at once")

		var told []string
		for _, e := range r.events {
			switch e.Kind {
			case policy.EventOrder:
				told = append(told, e.Upstream+" "+e.Key+" "+e.To)
			case policy.EventCircuit:
				t.Errorf("told as well: %+v", e)
			}
		}
		if want := []string{"api  open", "api api.test closed", "api api.test open", "api  closed"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestOrderThatNamesNothingSaysWhatThereIs(t *testing.T) {
	set := newRig(t, policytest.NewUpstream(t, policytest.Step{})).compile(plain, nil)
	refused := func(o policy.CircuitOrder, want string) {
		t.Helper()
		if _, err := set.OrderCircuits(t.Context(), o); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	refused(policy.CircuitOrder{Upstream: "apo"}, "there is no [upstream.apo]")
	refused(policy.CircuitOrder{Upstream: "api", Open: true, For: -1}, `for = "-1ns": must be longer than 0`)
	refused(policy.CircuitOrder{Upstream: "api", Key: "x", Open: true}, `upstream.api has no circuit "x", and no other: the first call to a host makes one`)
	call(t, set, "GET", "/", "")
	refused(policy.CircuitOrder{Upstream: "api", Key: "x"}, `upstream.api has no circuit "x"; it has "api.test"`)
}

// A tenant whose instance is down, or whose circuit an operator opened, is one circuit:
// the others are called as before.
func TestCircuitOfAConnectionIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In the order of the calls: twice acme, globex, acme.
		r, _ := tenants(t, newShelves(), nil, policytest.Step{Status: 500, Times: 2}, policytest.Step{}, policytest.Step{Status: 500})
		set := r.compile(keyed+"retry = { attempts = 1 }\ncircuit = { min_calls = 2, open = \"10s\" }\n", nil)
		for _, name := range []string{"acme", "globex"} {
			handOver(t, set, name, `{"token":"key-of-`+name+`"}`)
		}
		for range 2 {
			if a := as(t, set, "acme", "/"); a.Status != 500 {
				t.Errorf("answer %+v", a)
			}
		}
		wantCircuitOpen(t, as(t, set, "acme", "/"), 10*time.Second)
		if a := as(t, set, "globex", "/"); a.Status != 200 {
			t.Errorf("globex: %+v", a)
		}
		order(t, set, policy.CircuitOrder{Key: "api.test globex", Open: true, For: time.Minute})
		order(t, set, policy.CircuitOrder{Key: "api.test acme"})
		wantCircuitOpen(t, as(t, set, "globex", "/"), time.Minute)
		if a := as(t, set, "acme", "/"); a.Status != 500 {
			t.Errorf("acme: %+v", a)
		}
	})
}

// TestProbeThatHangsEnds: the attempt's timeout ends it, and the circuit opens again for
// longer; a probe whose client leaves makes room for the next.
func TestProbeThatHangsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := policytest.Step{Hang: true}
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Status: 500}, hang, hang, policytest.Step{})).compile(plain+`
timeout = "1m"
attempt_timeout = "3s"
retry = { attempts = 1 }
circuit = { min_calls = 1, open = "10s", open_max = "1m" }`, nil)
		call(t, set, "GET", "/", "")
		time.Sleep(10 * time.Second)
		if a, _ := call(t, set, "GET", "/", ""); a.Took != 3*time.Second || !errors.As(a.Err, new(*policy.TimeoutError)) {
			t.Errorf("the probe that hangs: %+v", a)
		}
		a, _ := call(t, set, "GET", "/", "")
		wantCircuitOpen(t, a, 20*time.Second)
		time.Sleep(20 * time.Second)

		u, _ := set.ByName("api")
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		req := policytest.NewRequest(t, "GET", "https://api.test/", "").WithContext(policy.WithCall(ctx, &policy.Call{Upstream: "api"}))
		if a := policytest.Do(u.Plan("GET", "/"), req); a.Took != time.Second {
			t.Errorf("the probe whose client leaves: %+v", a)
		}
		if a, _ := call(t, set, "GET", "/", ""); a.Status != 200 {
			t.Errorf("the next: %+v", a)
		}
	})
}

// TestUpgradedProbeClosesTheCircuit with its 101, and not when the conversation is over.
func TestUpgradedProbeClosesTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := newRig(t, policytest.NewUpstream(t, policytest.Step{Status: 500},
			policytest.Step{Upgrade: func(peer policytest.Conn) { io.Copy(io.Discard, peer) }}, policytest.Step{})).compile(plain+`
retry = { attempts = 1 }
circuit = { min_calls = 1, open = "10s" }`, nil)
		call(t, set, "GET", "/", "")
		time.Sleep(20 * time.Second) // an upgrade cannot be sent again: it is the probe only if nothing else comes
		u, _ := set.ByName("api")
		req := policytest.NewRequest(t, "GET", "https://api.test/", "")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req = req.WithContext(policy.WithCall(req.Context(), &policy.Call{Upstream: "api"}))
		resp, err := u.Plan("GET", "/").RoundTrip(req)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v %v", resp, err)
		}
		if c := set.Status()[0].Circuits[0]; c.State != "closed" || c.Share != 0.1 {
			t.Errorf("the circuit is %+v", c)
		}
		if e, err := set.Explain(t.Context(), "GET", "/api/x", ""); err != nil || !strings.HasPrefix(e.Verdict, "sent if it is one of the first ten of this second, or of the 10% that pass so far") {
			t.Errorf("explain says %+v %v", e, err)
		}
		if a, _ := call(t, set, "GET", "/", ""); a.Status != 200 {
			t.Errorf("the next: %+v", a)
		}
		resp.Body.Close()
		if c := set.Status()[0].Circuits[0]; c.State != "closed" {
			t.Errorf("after the conversation the circuit is %+v", c)
		}
	})
}
