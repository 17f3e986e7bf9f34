package policy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
		b, _ := bound(requestOf(t, call), time.Second)
		defer b.over()
		b.answered.Store(true)
		b.time.ring() // it was on its way when it was stopped
		time.Sleep(time.Hour)
		synctest.Wait()
		if b.Err() != nil {
			t.Errorf("the context ended: %v", context.Cause(b))
		}
	})
}

// A client that is silent in the middle of its upload is waited for; how long is
// for those to say who read from it. It must not look like a slow upstream.
func TestClocksStandWhileTheClientIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := &Call{}
		call.Awaiting()
		whole, req := bound(requestOf(t, call), time.Second)
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
		chain := Chain{deadline(time.Minute), attempt(time.Minute, 10*time.Second)}.Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
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

// Who begins to wait has the clock run, and what the clock ends tells who waits: the two
// meet, and must not wait for each other.
func TestClockRingsWhileOthersBeginToWait(t *testing.T) {
	for range 500 {
		whole, _ := bound(requestOf(t, &Call{}), time.Microsecond)
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
