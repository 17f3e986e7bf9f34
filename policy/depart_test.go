package policy_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// leaving sends a request whose attempts ask depart.
func leaving(t *testing.T, set *policy.Set, req *http.Request, depart func(context.Context) error) (policytest.Answer, *policy.Call) {
	t.Helper()
	u, _ := set.ByName("api")
	c := &policy.Call{Upstream: "api", Depart: depart}
	req = req.WithContext(policy.WithCall(req.Context(), c))
	return policytest.Do(u.Plan(req.Method, req.URL.Path), req), c
}

func TestDepartureIsAskedWhenAllWaitingIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{Status: 503}, policytest.Step{})
		set := newRig(t, upstream).compile(plain+`
auth  = { type = "bearer", token = "env:T" }
retry = { base = "2s", cap = "2s" }
limit = { rate = "1/m", shape = "window", max_wait = "5m" }
timeout = "10m"`, nil)
		call(t, set, "GET", "/", "")
		var asked []time.Time
		answer, _ := leaving(t, set, policytest.NewRequest(t, "GET", "https://api.test/", ""), func(context.Context) error {
			asked = append(asked, time.Now())
			return nil
		})
		sent := upstream.Requests()
		if answer.Status != 200 || len(asked) != 2 || len(sent) != 3 {
			t.Fatalf("answer %+v, %d departures, %d requests", answer, len(asked), len(sent))
		}
		for i, at := range asked {
			if !at.Equal(sent[i+1].At) {
				t.Errorf("departure %d was asked for at %v, and the request left at %v", i, at, sent[i+1].At)
			}
		}
		if got := sent[1].Header.Get("Authorization"); got != "Bearer secret-of-T" {
			t.Errorf("it left with %q", got)
		}
	})
}

// A letter that another process has taken over must not go out here, and nobody else is to
// blame for it.
func TestAttemptThatMayNotDepartIsNotSentAndCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{})
		r := newRig(t, upstream)
		set := r.compile(plain+`
auth    = { type = "none" }
limit   = { rate = "1/h", shape = "window" }
circuit = { min_calls = 1, failure_ratio = 0.1, failure_run = 1, consecutive = 1 }`, nil)
		asked, lost := 0, errors.New("another process has the letter")
		body := &closeCounter{}
		req := policytest.NewRequest(t, "PUT", "https://api.test/", "text")
		req.Body = body
		answer, c := leaving(t, set, req, func(context.Context) error { asked++; return lost })

		var refused *policy.NotDepartedError
		if !errors.As(answer.Err, &refused) || !errors.Is(answer.Err, lost) || answer.Err.Error() != "not sent: another process has the letter" {
			t.Errorf("it ended with %v", answer.Err)
		}
		if asked != 1 || upstream.Tries() != 0 || c.Attempts() != 0 {
			t.Errorf("asked %d times, %d tries, %d attempts: it is not retried, and not sent", asked, upstream.Tries(), c.Attempts())
		}
		if body.closed != 1 {
			t.Errorf("its body was closed %d times", body.closed)
		}
		if state := set.Status()[0].Circuits; len(state) > 0 && state[0].State != "closed" {
			t.Errorf("the circuit is %s", state[0].State)
		}
		if again, _ := call(t, set, "GET", "/", ""); again.Status != 200 || again.Took != 0 {
			t.Errorf("the next call got %+v: the turn was not given back", again)
		}
	})
}

// A probe of a half-open circuit that may not depart ends, so that the next one can probe.
func TestProbeThatMayNotDepartDoesNotWedgeTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2, Unsent: true, Err: errors.New("refused")}, policytest.Step{})
		set := newRig(t, upstream).compile(plain+`
retry   = { attempts = 1 }
circuit = { consecutive = 2, open = "10s" }`, nil)
		for range 2 {
			call(t, set, "GET", "/", "")
		}
		time.Sleep(10 * time.Second)
		req := policytest.NewRequest(t, "GET", "https://api.test/", "")
		leaving(t, set, req, func(context.Context) error { return errors.New("lost") })
		if answer, _ := call(t, set, "GET", "/", ""); answer.Status != 200 {
			t.Errorf("the next call got %+v", answer)
		}
	})
}

// closeCounter is a body that counts how often it is closed.
type closeCounter struct{ closed int }

func (c *closeCounter) Read([]byte) (int, error) { return 0, errors.New("it was read") }
func (c *closeCounter) Close() error             { c.closed++; return nil }
