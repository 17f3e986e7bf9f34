package policy_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// hedging is an upstream whose slow GETs have a second request.
const hedging = plain + `
hedge = true
`

// usually are 20 answers, after which a request is slow that takes longer than they did,
// and one second request is saved.
var usually = policytest.Step{Times: 20, Delay: 100 * time.Millisecond}

// A hedgedRig has an upstream that is known to answer in 100 ms.
type hedgedRig struct {
	*rig
	upstream *policytest.Upstream
	set      *policy.Set
	numbers  []int // of the attempts
}

func newHedged(t *testing.T, document string, steps ...policytest.Step) *hedgedRig {
	t.Helper()
	r := &hedgedRig{upstream: policytest.NewUpstream(t, append([]policytest.Step{usually}, steps...)...)}
	r.rig = newRig(t, roundTripper(func(req *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(req.Context()).WroteHeaders() // as a transport does, which counts it
		r.number(policy.AttemptFrom(req.Context()).Number())
		return r.upstream.RoundTrip(req)
	}))
	r.set = r.compile(document, nil)
	for range usually.Times {
		call(t, r.set, "GET", "/x", "")
	}
	return r
}

// wants makes a call and checks how it ends, and what became of its second request.
func (r *hedgedRig) wants(status int, took time.Duration, attempts int, outcomes ...string) *policy.Call {
	r.t.Helper()
	before := len(r.upstream.Requests())
	got, c := call(r.t, r.set, "GET", "/x", "")
	sent := len(r.upstream.Requests()) - before
	if got.Err != nil || got.Status != status || got.Took != took {
		r.t.Errorf("%d in %v (%v), want %d in %v", got.Status, got.Took, got.Err, status, took)
	}
	if c.Attempts() != attempts || sent != attempts {
		r.t.Errorf("%d attempts, and %d requests arrived, want %d", c.Attempts(), sent, attempts)
	}
	r.hedges(outcomes...)
	return c
}

func (r *hedgedRig) hedges(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, e := range r.events {
		if e.Kind == policy.EventHedge {
			got = append(got, e.Reason)
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("second requests %q, want %q", got, want)
	}
	if open := r.upstream.OpenBodies(); open != 0 {
		r.t.Errorf("%d bodies are open", open)
	}
}

func (r *hedgedRig) number(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.numbers = append(r.numbers, n)
}

func (r *hedgedRig) budget() float64 { return r.set.Status()[0].Budget }

func (r *hedgedRig) explained(method string) string {
	r.t.Helper()
	e, err := r.set.Explain(r.t.Context(), method, "https://api.test/x", "")
	if err != nil {
		r.t.Fatal(err)
	}
	return e.Hedge
}

func TestHedgeIsAStageOnlyWhereItIsConfigured(t *testing.T) {
	set := newRig(t, nil).compile(plain+`
[[upstream.api.rule]]
match = "GET /search"
hedge = true`, nil)
	u, _ := set.ByName("api")
	for i, want := range []string{"deadline retry auth circuit limit attempt", "deadline retry hedge auth circuit limit attempt"} {
		if got := strings.Join(u.Plans()[i].Stages, " "); got != want {
			t.Errorf("chain %d is %q, want %q", i, got, want)
		}
	}
}

const ms = time.Millisecond

// Where others have second requests an upload could be taken for one that may lose at any time:
// how little time its attempt had was not seen, and the provider waited for until it was over.
func TestOnlyWhatMayBeSentTwiceMayLose(t *testing.T) {
	left := make(map[string]time.Duration)
	set := newRig(t, roundTripper(func(req *http.Request) (*http.Response, error) {
		own := req.Context().(interface{ Earliest() time.Time })
		left[req.Method] = own.Earliest().Sub(policy.AttemptFrom(req.Context()).Start)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})).compile(hedging+`attempt_timeout = "1s"`, nil)
	call(t, set, "GET", "/x", "")
	call(t, set, "PUT", "/x", "hello")
	if get, put := left["GET"], left["PUT"]; get != 0 || put != time.Second {
		t.Errorf("a GET may end after %v and an upload after %v, want 0 and 1s", get, put)
	}
}

func TestSecondRequestIsAnAttemptOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging, policytest.Step{Hang: true}, policytest.Step{Delay: 30 * ms})
		r.wants(200, 130*ms, 2, "won")
		if got := r.numbers[20:]; !slices.Equal(got, []int{1, 2}) {
			t.Errorf("attempts are numbered %v", got)
		}
		if got := r.budget(); got != 49.1 {
			t.Errorf("the budget is %v: it pays for one", got)
		}
	})
}

// A 503 of the second request is no answer while the first may have a good one; and an
// attempt after a failure has no second request.
func TestCallIsHedgedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := policytest.Step{Status: 503, Delay: 150 * ms}
		r := newHedged(t, hedging, down, down, policytest.Step{Delay: 400 * ms})
		// Both fail within 250 ms, the pause is half of a second, and then comes 400 ms.
		r.wants(200, 1150*ms, 3, "lost")
	})
}

func TestCallerWhoWantsNoRetryHasNoSecondRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging, policytest.Step{Delay: 400 * ms})
		u, _ := r.set.ByName("api")
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		ctx := policy.WithControls(policy.WithCall(req.Context(), &policy.Call{}), policy.Controls{NoRetry: true})
		policytest.Do(u.Plan("GET", "/x"), req.WithContext(ctx))
		r.hedges("refused")
	})
}

func TestSecondRequestNeverWaitsForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+`limit = { concurrency = 1 }`, policytest.Step{Delay: 400 * ms}, policytest.Step{Times: 2, Delay: 10 * ms})
		full := r.budget()
		r.wants(200, 400*ms, 1, "refused")
		if got := r.budget(); got != full {
			t.Errorf("the budget is %v, and was %v: nothing was sent", got, full)
		}
	})
}

func TestSecondRequestSpendsATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+`limit = { rate = "22/h", shape = "window" }`, policytest.Step{Hang: true}, policytest.Step{})
		r.wants(200, 100*ms, 2, "won")
		got, _ := call(t, r.set, "GET", "/x", "")
		if got.Err == nil {
			t.Error("there is a turn left")
		}
	})
}

func TestProviderThatIsNotWellHasNoSecondRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+"[upstream.api.circuit]\nmin_calls = 1\nfailure_ratio = 0.04\n", policytest.Step{Status: 500},
			policytest.Step{Delay: 400 * ms}, policytest.Step{Delay: 400 * ms})
		u, _ := r.set.ByName("api")
		post := policytest.NewRequest(t, "POST", "https://api.test/x", "x")
		policytest.Do(u.Plan("POST", "/x"), post) // opens it
		time.Sleep(time.Minute)
		r.wants(200, 400*ms, 1, "refused") // the probe
		r.wants(200, 400*ms, 1, "refused", "refused")
		if got := r.explained("GET"); got != "no: the circuit does not let everything pass" {
			t.Errorf("explained: %q", got)
		}
	})
}

// A request that was canceled on purpose is neither a failure nor a success: one failure of
// 22 ends opens the circuit, and one of 23 does not.
func TestRequestThatLostSaysNothingOfItsProvider(t *testing.T) {
	for name, steps := range map[string][]policytest.Step{
		"the first":  {{Hang: true}, {}},
		"the second": {after(150, policytest.Step{}), {Hang: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps = append(steps, policytest.Step{Status: 500})
				r := newHedged(t, hedging+"[upstream.api.circuit]\nmin_calls = 1\nfailure_ratio = 0.045\n", steps...)
				for _, then := range []struct{ method, circuit string }{{"GET", "closed"}, {"POST", "open"}} {
					call(t, r.set, then.method, "/x", "")
					if got := r.set.Status()[0].Circuits[0].State; got != then.circuit {
						t.Errorf("after the %s the circuit is %s, want %s", then.method, got, then.circuit)
					}
				}
			})
		})
	}
}

// Whoever wins, both requests are settled when the call has its answer: no slot is held by
// the one that lost, and each has taken its turn of the quota.
func TestBothRequestsAreSettledAtTheirQuotas(t *testing.T) {
	for name, steps := range map[string][]policytest.Step{
		"the first loses":          {{Hang: true}, {Body: "second"}},
		"the second loses":         {after(150, policytest.Step{Body: "first"}), {Hang: true}},
		"the second is no answer":  {after(150, policytest.Step{Body: "first"}), {Status: 503, Body: "down"}},
		"the second has no answer": {after(150, policytest.Step{Body: "first"}), {Err: io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newHedged(t, hedging+`limit = [{ rate = "30/h", shape = "window" }, { concurrency = 2 }]`, steps...)
				call(t, r.set, "GET", "/x", "")
				for _, quota := range r.set.Status()[0].Quotas {
					if quota.Active != 0 {
						t.Errorf("%d calls are on their way to %s", quota.Active, quota.Limit)
					}
					if quota.Room > 0 && quota.Tokens != 8 {
						t.Errorf("%v turns are left of 30 after 22 requests", quota.Tokens)
					}
				}
			})
		})
	}
}

// Two servers fail, and the last one says that the quota is exhausted, after which there is
// no retry. The call goes by the answer that it has, which is the other one's.
func TestWhatAnAnswerMeansIsThatOfTheOneThatCounts(t *testing.T) {
	const answers = `
[[upstream.api.answer]]
status = 403
field  = "code"
values = ["spent"]
means  = "exhausted"
`
	spent := policytest.Step{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"code":"spent"}`}
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+answers, after(150, policytest.Step{Status: 503}), after(100, spent), policytest.Step{})
		r.wants(200, 700*ms, 3, "lost") // after half a second, as it is after a 503
	})
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+answers, after(150, spent), after(100, policytest.Step{Status: 503}))
		if c := r.wants(403, 200*ms, 2, "lost"); !c.GaveUp() {
			t.Error("the caller is not told that its own retries are in vain")
		}
	})
}

func after(n int, s policytest.Step) policytest.Step {
	s.Delay = time.Duration(n) * ms
	return s
}

func TestBudgetThatIsSpentPaysForNoSecondRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging+`retry = { budget = "0%" }`, policytest.Step{Delay: 400 * ms})
		r.wants(200, 400*ms, 1, "refused")
		// It was said to be spent, as if it came back.
		if got, want := r.explained("GET"), "no: a second request takes a retry from the budget, which is 0%"; got != want {
			t.Errorf("explained: %q, want %q", got, want)
		}
	})
}

func TestReloadKeepsWhatIsKnownOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging, policytest.Step{Hang: true}, policytest.Step{})
		r.set = r.compile(hedging+`timeout = "50s"`, r.set)
		r.wants(200, 100*ms, 2, "won")
	})
}

func TestExplainSaysWhenThereIsASecondRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newHedged(t, hedging, policytest.Step{Hang: true}, policytest.Step{})
		want := func(method, want string) {
			t.Helper()
			if got := r.explained(method); got != want {
				t.Errorf("%s: %q, want %q", method, got, want)
			}
		}
		want("GET", "a second request after 100ms without an answer")
		want("POST", "no: only a GET or a HEAD without a body has a second request")
		r.wants(200, 100*ms, 2, "won")
		want("GET", "a second request after 100ms without an answer, but not now: 5% of the calls have had one")
		r.set = r.compile(hedging, nil)
		want("GET", "no: 0 answers are known, and it takes 20 to tell which are slow")
		r.set = r.compile(plain, nil)
		want("GET", "")
	})
}
