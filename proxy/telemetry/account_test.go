package telemetry_test

import (
	"fmt"
	"runtime"
	"testing"

	"outrider/proxy/telemetry"
)

// The accounts of all upstreams were copied for each one that had its first call, so that
// the first calls to ten thousand took ten times as long as those that followed.
func TestFirstCallOfAnUpstreamCostsLittleBesideMany(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	named := 0
	each := func(upstreams int) uint64 { // bytes that the first call of each allocates
		var before, after runtime.MemStats
		r.Flush()
		runtime.ReadMemStats(&before)
		for range upstreams {
			named++
			_, span, call := r.begin("GET", fmt.Sprint("upstream-", named))
			span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
		}
		r.Flush()
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(upstreams)
	}
	few := each(200)
	each(2600)
	if many := each(200); many > 2*few {
		t.Errorf("beside 2,800 upstreams it allocates %d bytes, beside none %d", many, few)
	}
}
