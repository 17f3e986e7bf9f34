package alarm

import (
	"fmt"
	"runtime"
	"testing"
)

// The counts of all upstreams were copied for each one that was counted first.
func TestFirstCallOfAnUpstreamCostsLittleBesideMany(t *testing.T) {
	counts, named := newCallCounts(), 0
	each := func(upstreams int) uint64 { // bytes that the first count of each allocates
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range upstreams {
			named++
			counts.of(fmt.Sprint("upstream-", named))
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(upstreams)
	}
	few := each(200)
	each(2600)
	if many := each(200); many > 2*few {
		t.Errorf("beside 2,800 upstreams it allocates %d bytes, beside none %d", many, few)
	}
}
