package cli

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// heapFloor is what the heap may take, in bytes, before garbage is collected. Most of it is
// garbage: what is live of a sidecar are a few MiB, and collecting as soon as that has
// doubled, as Go does by itself, takes a twentieth of the processor time of a call.
const heapFloor = 32 << 20

// afterStart is how long after the start nothing that only the start needed is used any more.
const afterStart = time.Second

// useMemory has the process take the memory that pays, and no more: garbage is collected
// above heapFloor, and in time for the limit of the container; what only the start needed
// is given back. GOGC and GOMEMLIMIT win, each over its part.
func useMemory(ctx context.Context, log *slog.Logger) {
	// A limit cannot be known where there is no cgroup, which is nobody's mistake.
	if _, err := memlimit.Set(memlimit.WithRefreshInterval(ctx, time.Minute)); err != nil {
		log.Debug("the memory limit of the container is not known", "error", err)
	}
	if _, set := os.LookupEnv("GOGC"); !set {
		(&collecting{percent: 100}).watch()
	}
	go func() {
		select {
		case <-time.After(afterStart):
			debug.FreeOSMemory()
			releaseProgram()
		case <-ctx.Done():
		}
	}()
}

// collecting sets anew, at the end of each garbage collection, when the next one begins.
type collecting struct{ percent int }

// watch is told of the next collection by a cleanup: of an object that only it knows of.
func (c *collecting) watch() {
	garbage := new(*byte)
	runtime.AddCleanup(garbage, func(c *collecting) {
		c.adjust()
		c.watch()
	}, c)
}

// adjust changes the pace where it is off by a tenth: a change stops the world for a moment.
func (c *collecting) adjust() {
	found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(found)
	percent := collectAt(found[0].Value.Uint64(), found[1].Value.Uint64()+found[2].Value.Uint64())
	if off := percent - c.percent; off*10 > c.percent || -off*10 > c.percent {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

// goFloor is what Go lets the heap take at 100 percent, in bytes, however little is live: at
// twice as many percent it is twice as much.
const goFloor = 4 << 20

// collectAt is how much the heap may grow by until the next collection, to heapFloor, or by
// as much again where more is live: in percent of the bytes that are live and of the roots,
// which are the variables of the program and the stacks.
func collectAt(live, roots uint64) int {
	percent := (heapFloor - min(live, heapFloor)) * 100 / max(live+roots, goFloor/2)
	return int(min(max(percent, 100), heapFloor/goFloor*100))
}
