package auth_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

type flightMark struct{}

// A caller that waits to the end and one that leaves are both told of, with the flight
// that they waited for; and the flight goes on in the context that it was given.
func TestWhoWaitsForAFlightIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, slow(2*time.Second, issued(1)))
		asked := false
		s := settings(roundTripper(func(req *http.Request) (*http.Response, error) {
			asked = req.Context().Value(flightMark{}) == "ours"
			return up.RoundTrip(req)
		}), nil)
		landed := 0
		s.OnFlight = func(ctx context.Context, reason string) (context.Context, func(error)) {
			if ctx.Done() != nil || reason != "first" {
				t.Errorf("the flight %q ends with its call", reason)
			}
			return context.WithValue(ctx, flightMark{}, "ours"), func(err error) {
				if landed++; err != nil {
					t.Errorf("the flight ended with %v", err)
				}
			}
		}
		var mu sync.Mutex
		waited := map[time.Duration]int{}
		s.OnWait = func(_, flight context.Context, reason string, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			waited[d]++
			if flight.Value(flightMark{}) != "ours" || reason != "first" {
				t.Errorf("a call waited for another flight, %q", reason)
			}
		}
		o := newOAuth2(t, s)
		var wg sync.WaitGroup
		wg.Go(func() { wantToken(t, o, 1) })
		wg.Go(func() { wantToken(t, o, 1) })
		wg.Go(func() {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			if _, err := o.Token(ctx, auth.Token{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who left has the error %v", err)
			}
		})
		wg.Wait()
		wantToken(t, o, 1) // which is there
		if landed != 1 || len(waited) != 2 || waited[time.Second] != 1 || waited[2*time.Second] != 2 {
			t.Errorf("%d flights landed, and calls waited %v", landed, waited)
		}
		if !asked {
			t.Error("the token request is not in the context of its flight")
		}
	})
}
