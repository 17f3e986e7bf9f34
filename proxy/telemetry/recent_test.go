package telemetry_test

import (
	"runtime"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A path is cut out of the line of a request, which may be a megabyte long. Whoever
// remembered the cut remembered the line, with its query: seven hundred calls were seven
// hundred megabytes, and what was secret in them stayed for hours.
func TestWhatIsRememberedHoldsOnToNoRequest(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	const calls, length = 64, 1 << 20
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range calls {
		line := "GET crm.test/path/" + strings.Repeat("x", length)
		_, span, call := r.begin("GET", "crm")
		call.Connection = line
		span.End(telemetry.Outcome{Call: call, Method: line[:3], Host: line[4:12], Path: line[12:20], Status: 200, Class: policy.ClassOK})
	}
	if grown := heap() - before; grown > calls*length/8 {
		t.Errorf("%d calls keep %d KiB", calls, grown>>10)
	}
	runtime.KeepAlive(r)
}
