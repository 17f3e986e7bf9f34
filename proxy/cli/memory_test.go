package cli

import (
	"bufio"
	"net"
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

// A call through the whole chain, with TLS to its upstream, takes a stack of 16 KiB. What was
// to make room for that once made one of 32 of it: 12.7 KiB of a connection that is idle where
// it is 8.9.
func TestStackOfAConnectionIsNoLargerThanACallNeeds(t *testing.T) {
	before := debug.SetGCPercent(-1) // which makes stacks smaller that are not used
	t.Cleanup(func() { debug.SetGCPercent(before) })
	address := between(t, true, "", policies)
	const connections = 64
	call := func() {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(aCall("localhost")); err != nil {
			t.Fatal(err)
		}
		if err := skipAnswer(bufio.NewReader(conn)); err != nil {
			t.Fatal(err)
		}
	}
	call() // what there is one of for all of them
	runtime.GC()
	begin := stacks()
	for range connections {
		call()
	}
	if each := (stacks() - begin) / connections; each > 20<<10 {
		t.Errorf("a connection takes a stack of %d bytes", each)
	}
}

// stacks is the memory of the stacks of all goroutines, in bytes.
func stacks() int64 {
	found := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(found)
	return int64(found[0].Value.Uint64()) //nolint:gosec // no machine has that much
}
