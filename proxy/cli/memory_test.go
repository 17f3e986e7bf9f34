package cli

import (
	"math"
	"testing"
)

func TestGarbageIsCollectedAboveAFloor(t *testing.T) {
	for _, c := range []struct {
		live    uint64
		percent int
	}{
		{0, 1500},
		{heapFloor / 16, 1500},
		{heapFloor / 8, 700}, // up to the floor
		{heapFloor / 4, 300},
		{heapFloor / 2, 100}, // as Go does it
		{heapFloor, 100},
		{math.MaxUint64, 100},
	} {
		if got := collectAt(c.live); got != c.percent {
			t.Errorf("%d bytes are live: collected when they have grown by %d %%, want %d", c.live, got, c.percent)
		}
	}
}
