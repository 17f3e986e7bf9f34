package telemetry

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// A Process is the state of what belongs to no upstream.
type Process struct {
	Tunnels int            // connections by CONNECT that are open
	Read    time.Time      // when the configuration was read last
	Refused bool           // it could not be used then, and an earlier one lives on
	Alerts  map[string]int // rule → alerts that last; of every rule there is
}

// WatchProcess sets where the gauges read the state of the process, each time that metrics
// are collected. A later WatchProcess replaces it.
func (t *Telemetry) WatchProcess(state func() Process) { t.metrics.process.Store(&state) }

// Connections counts the connections to an upstream that are open, "" being those to hosts
// that none names: who opens one adds it, and takes it away when it is closed. It is nil
// where there is no Telemetry, as in commands that open connections of their own.
func (t *Telemetry) Connections(upstream string) *atomic.Int64 {
	if t == nil {
		return nil
	}
	return t.metrics.connections.at(upstream)
}

// processGauges are the states of the process, and what is under way in it.
type processGauges struct {
	build, success, calls, requests, connections, tunnels, alerts metric.Int64ObservableGauge

	read metric.Float64ObservableGauge
}

func (g *processGauges) init(m metric.Meter) error {
	var errs [8]error
	for i, gauge := range []struct {
		at                *metric.Int64ObservableGauge
		name, description string
	}{
		{&g.build, "outrider.build.info", "Always 1, with what runs here."},
		{&g.success, "outrider.config.last_reload_success", "1 if the configuration as it was read last is in use, 0 if it was refused and the last good one stays."},
		{&g.calls, "outrider.calls.active", "Calls under way, and tunnels that are not opened."},
		{&g.requests, "outrider.requests.active", "Requests on the wire to an upstream, until the end of their responses: streams last long."},
		{&g.connections, "outrider.connections", "Connections to an upstream that are open, busy or not."},
		{&g.tunnels, "outrider.tunnels", "Connections by CONNECT that are open."},
		{&g.alerts, "outrider.alerts", "Alerts that last, by rule."},
	} {
		*gauge.at, errs[i] = m.Int64ObservableGauge(gauge.name, metric.WithDescription(gauge.description))
	}
	g.read, errs[7] = m.Float64ObservableGauge("outrider.config.last_reload_timestamp", metric.WithUnit("s"),
		metric.WithDescription("When the configuration was read last, at the start or for a reload, in seconds since 1970."))
	return errors.Join(errs[:]...)
}

func (g *processGauges) all() []metric.Observable {
	return []metric.Observable{g.build, g.success, g.read, g.calls, g.requests, g.connections, g.tunnels, g.alerts}
}

// watchProcess registers the gauges.
func (x *metrics) watchProcess(m metric.Meter, version string) error {
	var g processGauges
	if err := g.init(m); err != nil {
		return err
	}
	build := metric.WithAttributes(labelVersion.String(version), labelGoVersion.String(runtime.Version()))
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(g.build, 1, build)
		o.ObserveInt64(g.calls, x.calls.Load())
		x.accounts.observe(o, g.requests)
		x.connections.observe(o, g.connections)
		if state := x.process.Load(); state != nil {
			g.observe(o, (*state)())
		}
		return nil
	}, g.all()...)
	return err
}

func (g *processGauges) observe(o metric.Observer, p Process) {
	success := int64(1)
	if p.Refused {
		success = 0
	}
	o.ObserveInt64(g.success, success)
	o.ObserveFloat64(g.read, float64(p.Read.UnixMilli())/1000)
	o.ObserveInt64(g.tunnels, int64(p.Tunnels))
	for rule, n := range p.Alerts {
		o.ObserveInt64(g.alerts, int64(n), metric.WithAttributes(labelRule.String(rule)))
	}
}
