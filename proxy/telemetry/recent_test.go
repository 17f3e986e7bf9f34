package telemetry_test

import (
	"fmt"
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
		span.End(&telemetry.Outcome{Call: call, Method: line[:3], Host: line[4:12], Path: line[12:20], Status: 200, Class: policy.ClassOK})
	}
	r.Flush()
	if grown := heap() - before; grown > calls*length/8 {
		t.Errorf("%d calls keep %d KiB", calls, grown>>10)
	}
	runtime.KeepAlive(r)
}

// The record of a call that is forgotten serves another call. Who has asked for it has a copy,
// and so has who follows.
func TestWhatWasAskedForStaysWhenItsCallIsForgotten(t *testing.T) {
	r := newRig(t, telemetry.Settings{Recent: 1})
	follower := r.Follow(telemetry.Filter{})
	defer follower.Close()
	r.calls(0, 1)
	asked := r.Recent(telemetry.Filter{})[0]
	id := asked.TraceID
	r.calls(1, 50)
	r.Flush()
	followed, _, err := follower.Next(t.Context(), 51)
	if err != nil || len(followed) != 51 {
		t.Fatalf("%d calls, %v", len(followed), err)
	}
	for i, rec := range append(followed, asked) {
		want := fmt.Sprint("/", i%51)
		if rec.Path != want || rec.Host != "crm.test" || rec.Method != "GET" || rec.Number != uint64(i%51)+1 {
			t.Errorf("call %d is %s %s%s now, want %s", rec.Number, rec.Method, rec.Host, rec.Path, want)
		}
	}
	if asked.TraceID != id {
		t.Error("it has the trace of another call")
	}
}
