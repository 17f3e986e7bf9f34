package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"outrider/policy"
)

// Watch sets where the gauges read the state of the upstreams, each time that
// metrics are collected. A later Watch replaces it.
func (t *Telemetry) Watch(states func() []policy.UpstreamStatus) { t.metrics.states.Store(&states) }

// gauges are the states of upstreams.
type gauges struct {
	quotas      quotaGauges
	credentials credentialGauges
	budget      metric.Float64ObservableGauge
	circuits    metric.Int64ObservableGauge
}

// watch registers the gauges.
func (x *metrics) watch(m metric.Meter) error {
	var g gauges
	var errs [4]error
	errs[0], errs[3] = g.quotas.init(m), g.credentials.init(m)
	g.circuits, errs[1] = m.Int64ObservableGauge("outrider.circuits",
		metric.WithDescription("Circuits in each state."))
	g.budget, errs[2] = m.Float64ObservableGauge("outrider.retry.budget",
		metric.WithDescription("Retries that may be spent at once."))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if states := x.states.Load(); states != nil {
			now := time.Now()
			for _, up := range (*states)() {
				g.observe(o, up, now)
			}
		}
		return nil
	}, append(append(g.quotas.all(), g.credentials.all()...), g.circuits, g.budget)...)
	return err
}

// observe tells the state of one upstream. Circuits of many hosts or credentials are
// counted: the keys of a wildcard upstream have no bound.
func (g *gauges) observe(o metric.Observer, up policy.UpstreamStatus, now time.Time) {
	name := labelUpstream.String(up.Name)
	o.ObserveFloat64(g.budget, up.Budget, metric.WithAttributes(name))
	g.quotas.observe(o, up, now)
	g.credentials.observe(o, up, now)
	states := map[string]int64{"closed": 0, "half-open": 0, "open": 0}
	for _, c := range up.Circuits {
		if c.Key != policy.AllCircuits {
			states[c.State]++
		}
	}
	for state, n := range states {
		o.ObserveInt64(g.circuits, n, metric.WithAttributes(name, attribute.String("state", state)))
	}
}
