package retry_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/moment"
	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// spender makes calls that fail at once and want one retry each, and counts
// what became of that.
type spender struct {
	budget           *retry.Budget
	rt               http.RoundTripper
	attempts, denied int
}

func newSpender(t *testing.T, b *retry.Budget) *spender {
	s := &spender{budget: b}
	s.rt = newStage(t, retry.Settings{
		Attempts: 2, Base: 1, Cap: 1, Jitter: policytest.Jitter(0), Budget: b,
		OnGiveUp: func(_ context.Context, e retry.Event) {
			if e.Reason == retry.BudgetSpent {
				s.denied++
			}
		},
	}).Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
		s.attempts++
		return nil, syscall.ECONNRESET
	}))
	return s
}

func (s *spender) calls(t *testing.T, n int) {
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
	for range n {
		s.rt.RoundTrip(req)
	}
}

func wantLevel(t *testing.T, b *retry.Budget, want float64) {
	t.Helper()
	if got := b.Level(); got != want {
		t.Errorf("level %v, want %v", got, want)
	}
}

func TestOutageIsAnsweredWithATenthMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpender(t, retry.NewBudget(0.1, nil))
		wantLevel(t, s.budget, 50)
		s.calls(t, 1000)
		// 50 to begin with, and a tenth of each call but the first, which finds
		// the bucket full: 149.9.
		if retries := s.attempts - 1000; retries != 149 {
			t.Errorf("%d retries", retries)
		}
		if s.denied != 1000-149 {
			t.Errorf("%d refused", s.denied)
		}
	})
}

func TestTenTenthsMakeARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpender(t, retry.NewBudget(0.1, nil))
		for s.denied == 0 {
			s.calls(t, 1)
		}
		level := s.budget.Level()
		before := s.attempts
		s.calls(t, 10)
		if s.attempts-before != 11 {
			t.Errorf("%d attempts for ten calls, level was %v", s.attempts-before, level)
		}
		wantLevel(t, s.budget, level)
	})
}

// TestIdleBucketEarns: the first second without a call earns nothing, each
// further one half a retry, up to 50.
func TestIdleBucketEarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpender(t, retry.NewBudget(0.1, nil))
		for s.denied == 0 {
			s.calls(t, 1)
		}
		base := s.budget.Level()
		for _, step := range []struct{ wait, earned float64 }{
			{0.5, 0}, {0.5, 0}, {1, 0.5}, {1, 1}, {8, 5},
		} {
			time.Sleep(time.Duration(step.wait * float64(time.Second)))
			if got := s.budget.Level() - base; math.Abs(got-step.earned) > 1e-9 {
				t.Errorf("earned %v, want %v", got, step.earned)
			}
		}
		time.Sleep(time.Hour)
		wantLevel(t, s.budget, 50)
	})
}

func TestBusyBucketEarnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpender(t, retry.NewBudget(0.001, nil))
		for range 600 { // one call a second
			s.calls(t, 1)
			time.Sleep(time.Second)
		}
		if retries := s.attempts - 600; retries != 50 {
			t.Errorf("%d retries in ten minutes, want the 50 of the start", retries)
		}
	})
}

// TestRareCallsAreRetried: with a call every ten seconds each may be retried.
func TestRareCallsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpender(t, retry.NewBudget(0.1, nil))
		for range 200 {
			s.calls(t, 1)
			time.Sleep(10 * time.Second)
		}
		if s.denied != 0 {
			t.Errorf("%d refused", s.denied)
		}
	})
}

func TestRefusalsOfOurOwnAddNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := retry.NewBudget(0.1, nil)
		s := newSpender(t, budget)
		s.calls(t, 10)
		level := budget.Level()
		set := settings()
		set.Budget = budget
		rt := newStage(t, set).Wrap(roundTripper(func(*http.Request) (*http.Response, error) { return nil, localError{} }))
		for range 100 {
			rt.RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		}
		wantLevel(t, budget, level)
	})
}

func TestReloadKeepsTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := retry.NewBudget(0.1, nil)
		newSpender(t, old).calls(t, 20)
		level := old.Level()
		if same := retry.NewBudget(0.1, old); same != old {
			t.Error("the same ratio makes another budget")
		}
		changed := retry.NewBudget(0.5, old)
		wantLevel(t, changed, level)

		// Calls that still hold the old one spend from the same bucket.
		newSpender(t, old).calls(t, 1)
		wantLevel(t, changed, old.Level())

		off := retry.NewBudget(0, changed)
		wantLevel(t, off, 0)
		wantLevel(t, retry.NewBudget(0.1, off), old.Level())
	})
}

// What cannot be sent again is not charged: a body may outgrow its buffer on the way.
func TestRetryWithoutItsBodyCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, reason := settings(), ""
		set.Budget = retry.NewBudget(0.1, nil)
		newSpender(t, set.Budget).calls(t, 20)
		set.OnGiveUp = func(_ context.Context, e retry.Event) { reason = e.Reason }
		level := set.Budget.Level()
		req := policytest.NewRequest(t, "PUT", "https://api.test/x", "abc")
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		upstream := policytest.NewUpstream(t, policytest.Step{Err: syscall.ECONNRESET})
		if answer := policytest.Do(newStage(t, set).Wrap(upstream), req); answer.Err != syscall.ECONNRESET || reason != retry.BodyNotKept {
			t.Errorf("%v, not sent again for %q", answer.Err, reason)
		}
		wantLevel(t, set.Budget, level+0.1) // it is a call like others
	})
}

func TestNoBudgetAtAll(t *testing.T) {
	for name, ratio := range map[string]float64{"zero": 0, "negative": -1, "not a number": math.NaN()} {
		t.Run(name, func(t *testing.T) {
			s := newSpender(t, retry.NewBudget(ratio, nil))
			s.calls(t, 5)
			if s.attempts != 5 || s.denied != 5 {
				t.Errorf("%d attempts, %d refused", s.attempts, s.denied)
			}
			wantLevel(t, s.budget, 0)
		})
	}
	var none *retry.Budget
	wantLevel(t, none, math.Inf(1))
	s := newSpender(t, nil)
	s.calls(t, 100)
	if s.attempts != 200 {
		t.Errorf("without a budget: %d attempts", s.attempts)
	}
}

func TestWhatWasNotSentIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBudget(0.1, nil)
		b.Refund()
		wantLevel(t, b, 50)
		for range 2 {
			if !b.Spend() {
				t.Fatal("a full bucket refuses")
			}
		}
		wantLevel(t, b, 48)
		b.Refund()
		wantLevel(t, b, 49)

		none := retry.NewBudget(0, nil)
		none.Refund()
		if none.Spend() {
			t.Error("there is a retry where there are none")
		}
		var unbounded *retry.Budget
		unbounded.Refund()
		if !unbounded.Spend() {
			t.Error("no budget refuses")
		}
	})
}

// A first attempt was refused, and it took its time until it was known that there is no
// other credential. The bucket was told when the refusal had come, and so what it had earned
// until then it earned again: with every such call, until nothing was bounded.
func TestBucketEarnsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBudget(0.1, nil)
		newSpender(t, b).calls(t, 60)
		wantLevel(t, b, 0.9)
		time.Sleep(11 * time.Second)
		wantLevel(t, b, 5.9)
		slow := newStage(t, retry.Settings{Attempts: 2, Base: 1, Cap: 1, Jitter: policytest.Jitter(0), Budget: b}).
			Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
				moment.Of(req.Context()).Arrive()
				time.Sleep(10 * time.Second)
				wantLevel(t, b, 10.9)
				return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
			}))
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		slow.RoundTrip(req.WithContext(context.WithValue(req.Context(), moment.Key{}, new(moment.Moments)))) //nolint:bodyclose // it has none
		wantLevel(t, b, 11)
	})
}
