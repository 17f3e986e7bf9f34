package socket_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/socket"
)

// onOneProcessor leaves one to the test and its goroutines: who waits for it is known then.
func onOneProcessor(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(before)
		socket.Crowd() // which ended with the test
	})
}

// standing has n goroutines that are always ready to run, until the test ends.
func standing(t *testing.T, n int) {
	t.Helper()
	var over atomic.Bool
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for !over.Load() {
				runtime.Gosched()
			}
		})
	}
	t.Cleanup(func() { over.Store(true); all.Wait() })
}

func TestCrowdIsThoseThatWaitForAProcessor(t *testing.T) {
	onOneProcessor(t)
	if socket.Crowd() {
		t.Fatal("nobody waits, and there is a crowd")
	}
	t.Run("many", func(t *testing.T) {
		if standing(t, socket.Queued); !socket.Crowd() {
			t.Error("as many wait as make a crowd, and there is none")
		}
	})
	if socket.Crowd() {
		t.Error("they are gone, and there still is a crowd")
	}
}

// The first of a few that come at a time is not to wait for the others.
func TestFewAreNoCrowd(t *testing.T) {
	onOneProcessor(t)
	if standing(t, socket.Queued/2); socket.Crowd() {
		t.Error("there is a crowd")
	}
}

// Where there are more processors, one of them may have nothing to do, and to give way would
// wake it.
func TestCrowdGrowsWithProcessors(t *testing.T) {
	onOneProcessor(t)
	standing(t, socket.Queued)
	runtime.GOMAXPROCS(4)
	if socket.Crowd() {
		t.Error("there is a crowd")
	}
}

// In a crowd, those that are ready do what comes before their writes before one writes. Once in
// 61 times Go takes who gave way before them (src/runtime/proc.go, findRunnable), and never
// twice in a row.
func TestWriteGivesWayToACrowd(t *testing.T) {
	onOneProcessor(t)
	standing(t, socket.Queued)
	near, _ := pair(t)
	w := writer(near)
	write := func() {
		t.Helper()
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for range socket.WritesPerLook { // until it has looked
		write()
	}
	var ready atomic.Int32
	for range 3 {
		go ready.Add(1)
	}
	write()
	write()
	if ready.Load() != 3 {
		t.Errorf("%d of 3 that were ready came before the writes", ready.Load())
	}
}
