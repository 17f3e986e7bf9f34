package inbound_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
)

type someKey struct{}

// The context of a call is one of our own, and has to keep what package context promises,
// whether somebody has asked to be told of its end before that came, or not.
func TestContextOfACallEndsWithIt(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context){
		"nobody asked":   func(context.Context) {},
		"somebody waits": func(ctx context.Context) { ctx.Done() },
		"a part was made": func(ctx context.Context) {
			_, cancel := context.WithCancel(ctx)
			context.AfterFunc(ctx, cancel)
		},
	} {
		var ctx, part context.Context
		heard(head("GET / HTTP/1.1", "Host: a"), func(_ http.ResponseWriter, r *http.Request) {
			ctx = r.Context()
			ask(ctx)
			if ctx.Err() != nil || context.Cause(ctx) != nil {
				t.Errorf("%s: it has ended before its call: %v", name, ctx.Err())
			}
			part = context.WithValue(ctx, someKey{}, "x")
		})
		if ctx.Err() != context.Canceled || part.Err() != context.Canceled || context.Cause(part) != context.Canceled {
			t.Errorf("%s: it ends with %v, because of %v", name, ctx.Err(), context.Cause(part))
		}
		<-ctx.Done()
		late, cancel := context.WithCancel(part)
		defer cancel()
		<-late.Done()
		if _, ok := ctx.Deadline(); ok || ctx.Value(someKey{}) != nil || ctx.Value(http.LocalAddrContextKey) == nil {
			t.Errorf("%s: it has a deadline, or not the values of its connection", name)
		}
	}
}

// Whoever asks while the call ends is told all the same.
func TestEndOfACallIsToldToAllWhoAskMeanwhile(t *testing.T) {
	for range 200 {
		var asking sync.WaitGroup
		heard(head("GET / HTTP/1.1", "Host: a"), func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			for range 4 {
				asking.Go(func() {
					<-ctx.Done()
					if ctx.Err() == nil {
						t.Error("it is done, and has not ended")
					}
				})
				asking.Go(func() {
					for ctx.Err() == nil {
						select {
						case <-ctx.Done():
						default:
						}
					}
					select {
					case <-ctx.Done():
					default:
						t.Error("it has ended, and is not done")
					}
				})
			}
		})
		asking.Wait()
	}
}
