package telemetry_test

import (
	"sync"
	"testing"

	"outrider/proxy/telemetry"
)

// Calls that ended at the same moment were handed on in another order than the one that
// they are numbered in. outrider tail, which prints no number twice, took those that came
// late for calls that it had printed, and left them out.
func TestFollowerSeesCallsInTheirOrder(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	follower := r.Follow(telemetry.Filter{})
	defer follower.Close()
	const rounds, workers, each = 50, 8, 100 // of a round a follower has room for all
	for round := range uint64(rounds) {
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range each {
					_, span, call := r.begin("GET", "crm")
					span.End(&telemetry.Outcome{Call: call, Status: 200})
				}
			})
		}
		all.Wait()
		r.Flush()
		calls, lost, err := follower.Next(t.Context(), workers*each+1)
		if err != nil || lost != 0 || len(calls) != workers*each {
			t.Fatalf("%d calls, %d lost, %v", len(calls), lost, err)
		}
		for i, call := range calls {
			if want := round*workers*each + uint64(i+1); call.Number != want {
				t.Fatalf("number %d comes at the place of %d", call.Number, want)
			}
		}
	}
}
