package main

import (
	"outrider/bench/report"
	"outrider/bench/subject"
)

// targets are what Outrider is held to, with everything on: as shares of what others need
// in the same run, since microseconds say more of the machine than of the program.
var targets = []report.Target{
	against("CPU of a call, to HAProxy's", "cpu", columnCPU, 1.15, subject.HAProxy),
	against("CPU of a call, to nginx's", "cpu", columnCPU, 1.6, subject.Nginx),
	against("CPU of a call, to Caddy's", "cpu", columnCPU, 0.40, subject.Caddy),
	against("CPU of a call, to the stock Go stack's", "cpu", columnCPU, 0.45, subject.Stock),
	against("CPU of a call, to its own with policies, log and tracing off", "cpu", columnCPU, 1.20, subject.OutriderBare),
	against("CPU of a call, to its own with 0 % of traces sampled", "cpu", columnCPU, 1.10, subject.OutriderUnsampled),
	against("added p50, to Caddy's", "latency", columnAddedP50, 0.55, subject.Caddy),
	against("added p50, to nginx's", "latency", columnAddedP50, 1.25, subject.Nginx),
	against("added p99, to Caddy's", "latency", columnAddedP99, 0.5, subject.Caddy),
}

// against is a target for a share of what others need.
func against(words, group, column string, most float64, others ...string) report.Target {
	return report.Target{Words: words, Group: group, Row: subject.Outrider, Column: column, Against: others, Most: most}
}
