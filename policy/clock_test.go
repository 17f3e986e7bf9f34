package policy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A clock that ran out while the answer came, in the middle of an upload, set
// itself anew after it had been stopped, and cut off the answer's body later.
func TestStoppedClockStaysStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		call := &Call{}
		call.Uploading()
		c := startClock(call, time.Second, &TimeoutError{Clock: "timeout", Limit: time.Second}, end)
		c.stop()
		c.fire() // it was on its way when it was stopped
		time.Sleep(time.Hour)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Errorf("the context ended: %v", context.Cause(ctx))
		}
	})
}

// A client that is silent in the middle of its upload is waited for; how long is
// for those to say who read from it. It must not look like a slow upstream.
func TestClocksStandWhileTheClientIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		call := &Call{}
		call.Awaiting()
		c := startClock(call, time.Second, &TimeoutError{Clock: "attempt_timeout", Limit: time.Second}, end)
		defer c.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatalf("the context ended while the client was awaited: %v", context.Cause(ctx))
		}
		call.Uploading()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
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
		stage := attempt(time.Minute, 10*time.Second).Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
			go func() {
				<-req.Context().Done()
				_ = says.CloseWithError(context.Cause(req.Context()))
			}()
			return &http.Response{StatusCode: 200, Body: silent}, nil
		}))
		began := time.Now()
		call.Uploading()
		resp, err := stage.RoundTrip((&http.Request{Header: http.Header{}}).WithContext(WithCall(t.Context(), call)))
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
