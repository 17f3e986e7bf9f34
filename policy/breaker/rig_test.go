package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

const target = "https://api.test/things"

var errBroken = errors.New("connection reset")

// The steps that the tests are made of.
var (
	fine    = policytest.Step{Body: "fine"}
	failed  = policytest.Step{Status: 500}
	refused = policytest.Step{Unsent: true}
	slow    = policytest.Step{Delay: 15*time.Second + 1}
)

func times(n int, s policytest.Step) policytest.Step {
	s.Times = n
	return s
}

// settings are the documented defaults, with an OpenMax that leaves room to escalate,
// and with chance at its middle, where the jittered time is the time itself.
func settings() breaker.Settings {
	return breaker.Settings{
		Window: 30 * time.Second, MinCalls: 20, FailureRatio: 0.5, FailureRun: 20,
		Slow: 15 * time.Second, SlowRatio: 0.8, Consecutive: 5,
		Open: 5 * time.Second, OpenMax: 60 * time.Second,
		Jitter: policytest.Jitter(0.5),
		Outcome: func(req *http.Request, resp *http.Response, err error) breaker.Outcome {
			if err == nil && resp.StatusCode < 500 {
				return breaker.Success
			}
			if errors.Is(err, context.Canceled) {
				return breaker.Ignored
			}
			if _, ok := errors.AsType[*policytest.UnsentError](err); ok {
				return breaker.ConnectFailure
			}
			return breaker.Failure
		},
		Replayable: func(req *http.Request) bool { return req.Body == nil || req.GetBody != nil },
	}
}

// quick settings open at the first failure, for tests of what comes after.
func quick() breaker.Settings {
	s := settings()
	s.MinCalls = 1
	return s
}

// rig is one circuit over a scripted upstream.
type rig struct {
	*testing.T
	*policytest.Upstream
	group *breaker.Group
	rt    http.RoundTripper
	begun time.Time

	mu      sync.Mutex
	changes []string // "3s closed→open until 8s"
}

func newRig(t *testing.T, s breaker.Settings, steps ...policytest.Step) *rig {
	t.Helper()
	r := &rig{T: t, Upstream: policytest.NewUpstream(t, steps...), begun: time.Now()}
	s.OnChange = func(_ context.Context, c breaker.Change) {
		change := fmt.Sprintf("%v %s→%s", time.Since(r.begun), c.From, c.To)
		if !c.Until.IsZero() {
			change += fmt.Sprintf(" until %v", c.Until.Sub(r.begun))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, change)
	}
	r.use(newGroup(t, s, nil))
	return r
}

func newGroup(t testing.TB, s breaker.Settings, prev *breaker.Group) *breaker.Group {
	t.Helper()
	g, err := breaker.New(s, prev)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// begun is the innermost stage: it tells when a request goes to the network.
func begun(next http.RoundTripper) http.RoundTripper {
	return answering(func(req *http.Request) (*http.Response, error) {
		breaker.Begun(req.Context(), time.Now())
		return next.RoundTrip(req)
	})
}

func byHost(req *http.Request) string { return req.URL.Host }

func (r *rig) use(g *breaker.Group) {
	r.group, r.rt = g, g.Wrap(byHost)(begun(r.Upstream))
}

func (r *rig) get() *http.Request { return policytest.NewRequest(r.T, "GET", target, "") }

func (r *rig) stream() *http.Request {
	return policytest.Streamed(policytest.NewRequest(r.T, "POST", target, "body"))
}

func (r *rig) do() policytest.Answer { return policytest.Do(r.rt, r.get()) }

// calls makes n calls, one after the other.
func (r *rig) calls(n int) {
	for range n {
		r.do()
	}
}

// open makes a circuit under quick settings open.
func (r *rig) open() {
	r.Helper()
	r.do()
	r.wantState("open")
}

func (r *rig) state() breaker.State {
	states := r.group.Snapshot()
	if len(states) != 1 {
		r.Fatalf("%d circuits", len(states))
	}
	return states[0]
}

func (r *rig) wantState(want string) {
	r.Helper()
	if got := r.state(); got.State != want {
		r.Errorf("at %v the circuit is %s, want %s: %+v", time.Since(r.begun), got.State, want, got)
	}
}

// wantCounts checks what the window of a closed circuit holds.
func (r *rig) wantCounts(ended, failed, slow int) {
	r.Helper()
	got := r.state()
	if got.State != "closed" || got.Ended != ended || got.Failed != failed || got.Slow != slow {
		r.Errorf("at %v the circuit is %+v, want %d ended, %d failed, %d slow", time.Since(r.begun), got, ended, failed, slow)
	}
}

// wantRefused checks that an answer is a refusal until so long after now.
func (r *rig) wantRefused(a policytest.Answer, wait time.Duration) {
	r.Helper()
	var open *breaker.OpenError
	if !errors.As(a.Err, &open) {
		r.Errorf("at %v: answer %+v, want a refusal", time.Since(r.begun), a)
		return
	}
	if got := time.Until(open.Until); got != wait || open.Key != "api.test" {
		r.Errorf("at %v: refused %s for %v, want %v", time.Since(r.begun), open.Key, got, wait)
	}
}

func (r *rig) wantAnswer(a policytest.Answer, status int) {
	r.Helper()
	if a.Err != nil || a.Status != status {
		r.Errorf("at %v: answer %+v, want %d", time.Since(r.begun), a, status)
	}
}

func (r *rig) wantChanges(want ...string) {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.changes) != fmt.Sprint(want) {
		r.Errorf("changes\n%q, want\n%q", r.changes, want)
	}
}
