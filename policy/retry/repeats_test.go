package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// A counter is an upstream whose budget is watched: by what a call changes its level.
type counter struct {
	t        *testing.T
	set      retry.Settings
	provider *policytest.Upstream
	caller   string
	told     []string
}

// newCounter makes one whose provider answers 503 to everything, and whose calls have
// one attempt, so that the level tells of the callers' retries alone.
func newCounter(t *testing.T, steps ...policytest.Step) *counter {
	c := &counter{t: t, provider: policytest.NewUpstream(t, append(steps, policytest.Step{Status: 503, Times: -1})...)}
	c.set = settings()
	c.set.Attempts, c.set.Statuses = 1, []int{503}
	c.set.IdempotencyHeader = "Idempotency-Key"
	c.set.Budget, c.set.Repeats = retry.NewBudget(0.1, nil), retry.NewRepeats()
	c.set.Caller = func(context.Context) string { return c.caller }
	c.set.OnRepeat = func(_ context.Context, e retry.Event) { c.told = append(c.told, e.Reason) }
	for range 10 { // below the full bucket, where a deposit shows
		c.spend()
	}
	return c
}

// spend makes a call that says that it is a retry.
func (c *counter) spend() {
	c.send("GET", "/spent", "", http.Header{"X-Stainless-Retry-Count": {"1"}})
	c.told = nil
}

// send makes a call and says what it was taken for: "new", or how it is known to be a
// retry. What the budget lost or won must agree.
func (c *counter) send(method, path, body string, header http.Header) string {
	c.t.Helper()
	c.told = nil
	before := c.set.Budget.Level()
	req := policytest.NewRequest(c.t, method, "https://api.test"+path, body)
	for name, values := range header {
		req.Header[name] = values
	}
	policytest.Do(newStage(c.t, c.set).Wrap(c.provider), req)
	what, change := "new", min(0.1, 50-before)
	if len(c.told) > 0 {
		what, change = strings.Join(c.told, ", "), -1
	}
	if got := c.set.Budget.Level() - before; fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", change) {
		c.t.Errorf("%s %s was %s, and changed the budget by %v", method, path, what, got)
	}
	return what
}

func (c *counter) want(want, got string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("taken for %s, want %s", got, want)
	}
}

func TestClientLibrariesThatCountTheirAttempts(t *testing.T) {
	for header, want := range map[string]string{
		"X-Stainless-Retry-Count: 0":             "new",
		"X-Stainless-Retry-Count: 1":             retry.ByCount,
		"X-Stainless-Retry-Count: 12":            retry.ByCount,
		"X-Stainless-Retry-Count: -1":            "new",
		"X-Stainless-Retry-Count: many":          "new",
		"Amz-Sdk-Request: attempt=1; max=3":      "new",
		"Amz-Sdk-Request: attempt=2; max=3":      retry.ByCount,
		"Amz-Sdk-Request: ttl=2026; attempt=10":  retry.ByCount,
		"Amz-Sdk-Request: attempt=01; max=3":     "new",
		"Amz-Sdk-Request: max=3; last_attempt=2": "new",
		"Amz-Sdk-Request: attempt=; max=2":       "new",
		"X-Something-Retry-Count: 1":             "new",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCounter(t)
			name, value, _ := strings.Cut(header, ": ")
			if got := c.send("GET", "/"+value, "", http.Header{name: {value}}); got != want {
				t.Errorf("%s: taken for %s, want %s", header, got, want)
			}
		})
	}
}

func TestKeyThatComesAgainIsARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, policytest.Step{Status: 503, Times: 10}, policytest.Step{Status: 201, Times: -1})
		k1, k2 := http.Header{"Idempotency-Key": {"k1"}}, http.Header{"Idempotency-Key": {"k2"}}
		c.want("new", c.send("POST", "/charge", "", k1))
		c.want(retry.ByKey, c.send("POST", "/charge", "", k1))
		c.want("new", c.send("POST", "/charge", "", k2))
		c.want("new", c.send("POST", "/refund", "", k1)) // another step of the same order
		time.Sleep(59 * time.Second)
		c.want(retry.ByKey, c.send("POST", "/charge", "", k1))
		time.Sleep(time.Minute)
		c.want("new", c.send("POST", "/charge", "", k1))
	})
}

// A key that we made is known when its caller sends it itself, and no other is made.
func TestMintedKeyThatComesBackIsARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, policytest.Step{Status: 503, Times: 10}, policytest.Step{Err: io.ErrUnexpectedEOF}, policytest.Step{Status: 201})
		minted := 0
		c.set.MintKey, c.set.NewKey = true, func() string { minted++; return fmt.Sprintf("minted-%d", minted) }
		told := ""
		c.set.OnMint = func(_ context.Context, key string) { told = key }
		c.want("new", c.send("POST", "/charge", "pay", nil))
		if told != "minted-1" {
			t.Fatalf("told of the key %q, although there is no response to put it on", told)
		}
		c.want(retry.ByKey, c.send("POST", "/charge", "pay", http.Header{"Idempotency-Key": {told}}))
		sent := c.provider.Requests()
		if last := sent[len(sent)-1].Header.Get("Idempotency-Key"); minted != 1 || last != told {
			t.Errorf("%d keys were made, and the retry went out with %q", minted, last)
		}
	})
}

func TestRequestThatFailedJustNowIsARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t)
		c.want("new", c.send("POST", "/orders?a=1", "two pairs", nil))
		c.want(retry.ByRequest, c.send("POST", "/orders?a=1", "two pairs", nil))
		c.want("new", c.send("POST", "/orders?a=2", "two pairs", nil))
		c.want("new", c.send("POST", "/orders?a=1", "three pairs", nil))
		c.want("new", c.send("PUT", "/orders?a=1", "two pairs", nil))
		c.want("new", c.send("POST", "/orders?a=1", "two pairs", http.Header{"Idempotency-Key": {"k"}}))
		c.want("new", c.send("POST", "/orders?a=1", "two pairs", http.Header{"Authorization": {"Bearer of another"}}))
		c.caller = "another"
		c.want("new", c.send("POST", "/orders?a=1", "two pairs", nil))
		c.caller = ""
		time.Sleep(9 * time.Second)
		c.want(retry.ByRequest, c.send("POST", "/orders?a=1", "two pairs", nil))
		time.Sleep(10 * time.Second)
		c.want("new", c.send("POST", "/orders?a=1", "two pairs", nil))
	})
}

// As many calls as failed are taken for retries, and no more: others may look the same.
func TestEachFailureIsFollowedByOneRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, policytest.Step{Status: 503, Times: 10},
			policytest.Step{Status: 503, Times: 3, Delay: time.Millisecond}, policytest.Step{Status: 200, Times: -1})
		rt := newStage(t, c.set).Wrap(c.provider)
		for range 3 { // at once, so that none follows another
			go policytest.Do(rt, policytest.NewRequest(t, "POST", "https://api.test/query", "q"))
		}
		time.Sleep(2 * time.Millisecond)
		c.want(retry.ByRequest, c.send("POST", "/query", "q", nil))
		c.want(retry.ByRequest, c.send("POST", "/query", "q", nil))
		c.want(retry.ByRequest, c.send("POST", "/query", "q", nil))
		c.want("new", c.send("POST", "/query", "q", nil))
	})
}

// What succeeded, and what was refused by ourselves, is no failure that a retry could
// follow; and a long body is not looked at.
func TestRequestsThatAreNoRetries(t *testing.T) {
	long := strings.Repeat("x", 16<<10+1)
	for name, tt := range map[string]struct {
		step policytest.Step
		body string
	}{
		"a success":            {policytest.Step{Status: 200}, "b"},
		"a 404":                {policytest.Step{Status: 404}, "b"},
		"no body":              {policytest.Step{Status: 503}, ""},
		"a refusal of our own": {policytest.Step{Err: localError{}}, "b"},
		"a long body":          {policytest.Step{Status: 503}, long},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCounter(t, policytest.Step{Status: 503, Times: 10}, tt.step)
			local := errors.Is(tt.step.Err, localError{})
			if local { // and adds nothing to the budget: see TestRefusalsOfOurOwnAddNothing
				policytest.Do(newStage(t, c.set).Wrap(c.provider), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
				tt.body = ""
			} else {
				c.want("new", c.send("GET", "/x", tt.body, nil))
			}
			if got := c.send("GET", "/x", tt.body, nil); got != "new" {
				t.Errorf("%s: the same again is taken for %s", name, got)
			}
		})
	}
}

// A call that was refused by ourselves was never sent: with the same key it comes for the
// first time, and then again.
func TestKeyOfARefusedCallIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, policytest.Step{Status: 503, Times: 10}, policytest.Step{Err: localError{}})
		k1 := http.Header{"Idempotency-Key": {"k1"}}
		req := policytest.NewRequest(t, "POST", "https://api.test/charge", "")
		req.Header = k1.Clone()
		if answer := policytest.Do(newStage(t, c.set).Wrap(c.provider), req); !errors.Is(answer.Err, localError{}) {
			t.Fatalf("got %+v", answer)
		}
		c.want("new", c.send("POST", "/charge", "", k1))
		c.want(retry.ByKey, c.send("POST", "/charge", "", k1))
	})
}

// Who gives up waiting and comes again does so while the first is under way.
func TestKeyOfACallUnderWayIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, policytest.Step{Status: 503, Times: 10}, policytest.Step{Status: 201, Delay: time.Minute}, policytest.Step{Status: 409})
		k1 := http.Header{"Idempotency-Key": {"k1"}}
		first := policytest.NewRequest(t, "POST", "https://api.test/charge", "")
		first.Header = k1.Clone()
		go policytest.Do(newStage(t, c.set).Wrap(c.provider), first)
		time.Sleep(500 * time.Millisecond)
		c.want(retry.ByKey, c.send("POST", "/charge", "", k1))
		time.Sleep(time.Minute)
	})
}

// A retry of a caller's is never refused: where the budget has nothing left it is sent all
// the same, and what is sent again by us is what suffers.
func TestRetryOfACallerIsSentWithoutABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t)
		for c.set.Budget.Level() >= 1 {
			c.spend()
		}
		level, sent := c.set.Budget.Level(), len(c.provider.Requests())
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.Header.Set("X-Stainless-Retry-Count", "2")
		c.set.Attempts = 3
		var reason string
		c.set.OnGiveUp = func(_ context.Context, e retry.Event) { reason = e.Reason }
		if answer := policytest.Do(newStage(t, c.set).Wrap(c.provider), req); answer.Status != 503 {
			t.Errorf("got %+v", answer)
		}
		if n := len(c.provider.Requests()) - sent; n != 1 || reason != retry.BudgetSpent {
			t.Errorf("%d attempts, ended by %q", n, reason)
		}
		wantLevel(t, c.set.Budget, level)
	})
}

// What is remembered is bounded, whatever callers send: the latest are known.
func TestFloodOfKeysIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t)
		c.set.Budget = nil
		rt := newStage(t, c.set).Wrap(c.provider)
		send := func(key string) bool {
			c.told = nil
			req := policytest.NewRequest(t, "POST", "https://api.test/x", "")
			req.Header.Set("Idempotency-Key", key)
			policytest.Do(rt, req)
			return len(c.told) > 0
		}
		for i := range 3 * retry.MaxMarks {
			send(fmt.Sprint("key ", i))
		}
		if n := c.set.Repeats.Remembered(); n > 4*retry.MaxMarks {
			t.Errorf("%d marks are remembered", n)
		}
		if send("key 0") {
			t.Error("the first key is known still")
		}
		if !send(fmt.Sprint("key ", 3*retry.MaxMarks-1)) {
			t.Error("the last key is not known")
		}
	})
}
