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
	against("p50 over a call without TLS, to Caddy's", "latency", columnOverP50, 0.55, subject.Caddy),
	against("p50 over a call without TLS, to nginx's", "latency", columnOverP50, 1.25, subject.Nginx),
	against("p99 over a call without TLS, to Caddy's", "latency", columnOverP99, 0.5, subject.Caddy),
	alone("memory, idle", "memory", columnIdle, 20, "MiB"),
	alone("memory of an idle connection", "memory", columnPerConn, 20, "KiB"),
	against("memory of a stream, to Caddy's", "streams", columnPerStream, 0.75, subject.Caddy),
	against("first event of a stream, to nginx's", "streams", columnFirst, 1.0, subject.Nginx),
	atLeast("1 GiB down, to the better of nginx and HAProxy", "bulk", columnDown, 0.8, subject.Nginx, subject.HAProxy),
	atLeast("1 GiB up, to the better of nginx and HAProxy", "bulk", columnUp, 0.8, subject.Nginx, subject.HAProxy),
	alone("memory of 1 GiB, over idle", "bulk", columnPeak, 8, "MiB"),
	against("CPU of a small tunnel, to squid's", "tunnels", columnTunnel, 0.95, subject.Squid),
	against("CPU of a GiB by tunnel, to squid's", "tunnels", columnTunnelBulk, 0.7, subject.Squid),
	alone("start to the first answer", "start", columnStart, 50, "ms"),
}

// against is a target for a share of what others need.
func against(words, group, column string, most float64, others ...string) report.Target {
	return report.Target{Words: words, Group: group, Row: subject.Outrider, Column: column, Against: others, Most: most}
}

// atLeast is one for a share that more is better of.
func atLeast(words, group, column string, least float64, others ...string) report.Target {
	return report.Target{Words: words, Group: group, Row: subject.Outrider, Column: column, Against: others, Least: least}
}

// alone is one for the figure itself.
func alone(words, group, column string, most float64, unit string) report.Target {
	return report.Target{Words: words, Group: group, Row: subject.Outrider, Column: column, Most: most, Unit: unit}
}
