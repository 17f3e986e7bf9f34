package policy

import (
	"context"
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
