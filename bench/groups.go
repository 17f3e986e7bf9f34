package main

import (
	"context"

	"outrider/bench/report"
)

// A group is what is measured together, by one name.
type group struct {
	name string
	what string
	run  func(context.Context, *lab) ([]*report.Table, error)
}

// groups are in the order in which they are measured.
var groups = []group{
	{"cpu", "processor time of a call, and calls a second on one core", measureCPU},
	{"latency", "what a proxy adds to a call, at 1,000 calls a second", measureLatency},
	{"memory", "idle, after load, and for each idle connection", measureMemory},
	{"streams", "events: when they come, and what streams take", measureStreams},
	{"bulk", "bodies of 1 GiB, both ways", measureBulk},
	{"tunnels", "CONNECT, for many short tunnels and for a GiB", measureTunnels},
	{"start", "from the start to the first answer", measureStart},
	{"growth", "more upstreams, rules, tenants, clients, waiting calls, letters", measureGrowth},
	{"gain", "what clients gain that keep no connections", measureGain},
}

func groupNames() []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}
