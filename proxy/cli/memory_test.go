package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestGarbageIsCollectedAboveAFloor(t *testing.T) {
	for _, c := range []struct {
		live, roots uint64
		percent     int
	}{
		{0, 0, 800},
		{heapFloor / 16, 0, 800}, // more, and Go's own floor is above ours
		{heapFloor / 9, 0, 800},
		{heapFloor / 8, 0, 700}, // up to the floor
		{heapFloor / 8, heapFloor / 8, 350},
		{heapFloor / 4, 0, 300},
		{heapFloor / 4, heapFloor, 100},
		{heapFloor / 2, 0, 100}, // as Go does it
		{heapFloor, 0, 100},
		{1 << 50, 1 << 40, 100},
	} {
		if got := collectAt(c.live, c.roots); got != c.percent {
			t.Errorf("%d bytes are live, and %d of roots: collected when they have grown by %d %%, want %d", c.live, c.roots, got, c.percent)
		}
	}
}

// Little was live after the start, and the heap grew to 60 MiB: Go has a floor of its own,
// which the percent move, too.
func TestHeapIsCollectedAtTheFloor(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	runtime.GC()
	(&collecting{percent: 1}).adjust()
	found := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(found)
	goal, live := found[0].Value.Uint64(), found[1].Value.Uint64()
	if most := max(heapFloor, 3*live); goal > most {
		t.Errorf("%d KiB are live, and are collected again at %d KiB, want %d at most", live>>10, goal>>10, most>>10)
	}
}
