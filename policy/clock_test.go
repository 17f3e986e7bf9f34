package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/retry"
)

// requestOf gives a request of a call.
func requestOf(t *testing.T, call *Call) *http.Request {
	return (&http.Request{Header: http.Header{}}).WithContext(WithCall(t.Context(), call))
}

// A clock that ran out while the answer came, in the middle of an upload, set
// itself anew after it had been stopped, and cut off the answer's body later.
func TestStoppedClockStaysStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := &Call{}
		call.Uploading()
		b, _ := bound(requestOf(t, call), time.Second, newClocks())
		defer b.over()
		b.Done()
		b.answered.Store(true)
		b.time.ring() // it was on its way when it was stopped
		time.Sleep(time.Hour)
		synctest.Wait()
		if b.Err() != nil {
			t.Errorf("the context ended: %v", context.Cause(b))
		}
	})
}

// Stages share what time it is, and none may take the time of another attempt, or that from
// before a wait, for its own.
func TestAttemptsHaveTimesOfTheirOwn(t *testing.T) {
	later := func(d time.Duration) func() (string, error) {
		return func() (string, error) { time.Sleep(d); return "0123456789", nil }
	}
	for name, test := range map[string]struct {
		auth     auth.Settings
		statuses []int
		begun    []time.Duration
	}{
		"a retry":                  {auth.Settings{Type: auth.None}, []int{503, 200}, []time.Duration{0, 3 * time.Second}},
		"a wait for a credential":  {auth.Settings{Type: auth.Bearer, Value: later(time.Minute)}, []int{200}, []time.Duration{time.Minute}},
		"a replay after a refusal": {auth.Settings{Type: auth.Bearer, Value: numbered()}, []int{401, 200}, []time.Duration{0, 2 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			source, err := auth.New(test.auth)
			again, errRetry := retry.New(retry.Settings{Attempts: 2, Base: 1, Cap: 1, Statuses: []int{503}, Jitter: func(time.Duration) time.Duration { return time.Second }})
			if err != nil || errRetry != nil {
				t.Fatal(err, errRetry)
			}
			began := time.Now()
			var begun []time.Duration
			chain := Chain{deadline(time.Hour), {"retry", again.Wrap}, {"auth", auth.Wrap(source, guard)}, attempt(time.Hour, time.Hour, false, nil)}.Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
				begun = append(begun, AttemptFrom(req.Context()).Start.Sub(began))
				time.Sleep(2 * time.Second)
				return &http.Response{StatusCode: test.statuses[len(begun)-1], Body: http.NoBody, Header: http.Header{}}, nil
			}))
			resp, err := chain.RoundTrip(requestOf(t, &Call{}))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !slices.Equal(begun, test.begun) {
				t.Errorf("%s: attempts began at %v, want %v", name, begun, test.begun)
			}
		})
	}
}

// numbered gives another value each time.
func numbered() func() (string, error) {
	n := 0
	return func() (string, error) { n++; return fmt.Sprint("value ", n), nil }
}

// A client that is silent in the middle of its upload is waited for; how long is
// for those to say who read from it. It must not look like a slow upstream.
func TestClocksStandWhileTheClientIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := &Call{}
		call.Awaiting()
		whole, req := bound(requestOf(t, call), time.Second, newClocks())
		defer whole.over()
		attempt, _ := begin(req, time.Second, time.Hour)
		defer attempt.over()
		attempt.Done() // or nobody waits for either
		time.Sleep(time.Minute)
		synctest.Wait()
		if whole.Err() != nil || attempt.Err() != nil {
			t.Fatalf("a context ended while the client was awaited: %v, %v", context.Cause(whole), context.Cause(attempt))
		}
		call.Uploading()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if whole.Err() == nil || attempt.Err() == nil {
			t.Error("the clock did not go on when the client had spoken")
		}
	})
}

// An answer that is silent while the request's body still flows, as in a stream
// that goes both ways, is not silence; only both together are.
func TestAnswerMayBeSilentWhileTheUploadFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, says := io.Pipe()
		call := &Call{}
		chain := Chain{deadline(time.Minute), attempt(time.Minute, 10*time.Second, false, nil)}.Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
			go func() {
				<-req.Context().Done()
				_ = says.CloseWithError(context.Cause(req.Context()))
			}()
			return &http.Response{StatusCode: 200, Body: silent}, nil
		}))
		began := time.Now()
		call.Uploading()
		resp, err := chain.RoundTrip(requestOf(t, call))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 6 {
				time.Sleep(9 * time.Second)
				call.Uploading()
			}
			call.Awaiting() // and then the client has nothing more to say
		}()
		_, err = resp.Body.Read(make([]byte, 1))
		timeout, ok := errors.AsType[*TimeoutError](err)
		if !ok || timeout.Clock != "idle_timeout" {
			t.Errorf("the body ended with %v", err)
		}
		if took := time.Since(began); took != 64*time.Second {
			t.Errorf("the body ended after %s, want 10s after the last byte of the request", took)
		}
		_ = resp.Body.Close()
	})
}

// The ends of a connection that was upgraded have their own ways to find out that the other
// is gone.
func TestUpgradedConnectionMayBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		chain := Chain{deadline(time.Minute), attempt(time.Minute, 10*time.Second, false, nil)}.Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
			context.AfterFunc(req.Context(), func() { ours.Close() })
			return &http.Response{StatusCode: 101, Body: ours}, nil
		}))
		go func() {
			for range 3 {
				time.Sleep(time.Hour)
				_, _ = theirs.Write([]byte("."))
			}
			theirs.Close()
		}()
		resp, err := chain.RoundTrip(requestOf(t, &Call{}))
		if err != nil {
			t.Fatal(err)
		}
		if said, err := io.ReadAll(resp.Body); err != nil || string(said) != "..." {
			t.Errorf("the connection said %q, and ended with %v", said, err)
		}
		_ = resp.Body.Close()
	})
}

// Who begins to wait has the clock run, and what the clock ends tells who waits: the two
// meet, and must not wait for each other.
func TestClockRingsWhileOthersBeginToWait(t *testing.T) {
	for range 500 {
		whole, _ := bound(requestOf(t, &Call{}), time.Microsecond, newClocks())
		attempt, _ := begin((&http.Request{}).WithContext(context.WithValue(whole, someKey{}, "value")), time.Microsecond, time.Hour)
		var waiting sync.WaitGroup
		for range 4 {
			waiting.Go(func() { <-attempt.Done() })
			waiting.Go(func() { <-whole.Done() })
			waiting.Go(func() { attempt.AfterFunc(func() {})() })
		}
		waiting.Wait()
		if _, ok := errors.AsType[*TimeoutError](context.Cause(attempt)); !ok {
			t.Fatalf("the attempt ended with %v", context.Cause(attempt))
		}
		attempt.over()
		whole.over()
	}
}

// The memory of a call is cleared, and marked by the collector, with each of them. What it
// has is at most what the allocator gives for 896 bytes, one word of which is its own.
func TestCallWithinItsTimeIsSmall(t *testing.T) {
	if got := reflect.TypeFor[bounded]().Size(); got > 888 {
		t.Errorf("%d bytes", got)
	}
}

// Clocks of calls share a timer. Each rings when it is to, in whatever order that is said, made
// sooner, or taken back.
func TestClocksRingEachAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
		some := func(most time.Duration) time.Duration { return 1 + time.Duration(random.Int64N(int64(most))) }
		all := newClocks()
		var mu sync.Mutex
		ends := make(map[context.Context]time.Duration)
		wants := make(map[context.Context]time.Duration)
		expect := func(ctx context.Context, after time.Duration) {
			wants[ctx] = time.Since(all.began) + after
			context.AfterFunc(ctx, func() {
				mu.Lock()
				defer mu.Unlock()
				ends[ctx] = time.Since(all.began)
			})
		}
		for range 1000 {
			time.Sleep(some(5 * time.Millisecond))
			limit, own, over := some(10*time.Second), some(10*time.Second), some(20*time.Second)
			b, req := bound(requestOf(t, &Call{}), limit, all)
			expect(b, min(limit, over))
			a, _ := begin(req, own, time.Hour)
			expect(a, min(limit, own, over))
			time.AfterFunc(over, b.over)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for ctx, want := range wants {
			if got := ends[ctx]; got != want {
				t.Fatalf("one of %d ended after %v, want %v", len(wants), got, want)
			}
		}
		if len(all.turns) > 0 || all.comes {
			t.Errorf("%d clocks are to ring when all is over, and the timer comes: %v", len(all.turns), all.comes)
		}
	})
}
