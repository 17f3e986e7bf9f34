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

// gauges are the states of upstreams. Quotas and circuits of many hosts or
// credentials are folded into one value for each upstream and limit: the keys of
// a wildcard upstream have no bound.
type gauges struct {
	tokens, gate, budget      metric.Float64ObservableGauge
	waiting, active, circuits metric.Int64ObservableGauge
}

// watch registers the gauges.
func (x *metrics) watch(m metric.Meter) error {
	var g gauges
	var errs [6]error
	g.tokens, errs[0] = m.Float64ObservableGauge("outrider.quota.tokens",
		metric.WithDescription("Calls that may be sent at once; the tightest quota of the limit."))
	g.waiting, errs[1] = m.Int64ObservableGauge("outrider.quota.waiting",
		metric.WithDescription("Calls in line for a turn, by class: a call that has waited long is in a higher class than that of its priority."))
	g.active, errs[2] = m.Int64ObservableGauge("outrider.quota.active",
		metric.WithDescription("Calls under way that hold a slot."))
	g.gate, errs[3] = m.Float64ObservableGauge("outrider.quota.gate", metric.WithUnit("s"),
		metric.WithDescription("Time until the last gate that the provider closed opens; 0 when all are open."))
	g.circuits, errs[4] = m.Int64ObservableGauge("outrider.circuits",
		metric.WithDescription("Circuits in each state."))
	g.budget, errs[5] = m.Float64ObservableGauge("outrider.retry.budget",
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
	}, g.tokens, g.waiting, g.active, g.gate, g.circuits, g.budget)
	return err
}

// observe folds the state of one upstream.
func (g *gauges) observe(o metric.Observer, up policy.UpstreamStatus, now time.Time) {
	name := labelUpstream.String(up.Name)
	o.ObserveFloat64(g.budget, up.Budget, metric.WithAttributes(name))

	for limit, q := range foldQuotas(up.Quotas, now) {
		labels := metric.WithAttributes(name, attribute.String("limit", limit))
		o.ObserveFloat64(g.tokens, q.tokens, labels)
		for _, class := range []struct {
			name    string
			waiting int
		}{{"high", q.line.High}, {"normal", q.line.Normal}, {"low", q.line.Low}} {
			o.ObserveInt64(g.waiting, int64(class.waiting), labels, metric.WithAttributes(attribute.String("priority", class.name)))
		}
		o.ObserveInt64(g.active, q.active, labels)
		o.ObserveFloat64(g.gate, q.gate.Seconds(), labels)
	}
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

// quotas is what the quotas of one limit come to.
type quotas struct {
	tokens float64
	line   policy.Line
	active int64
	gate   time.Duration
}

// foldQuotas folds quotas by their limit as configured.
func foldQuotas(list []policy.QuotaStatus, now time.Time) map[string]quotas {
	byLimit := make(map[string]quotas) // limit → its quotas
	for _, q := range list {
		sum, seen := byLimit[q.Limit]
		if !seen || q.Tokens < sum.tokens {
			sum.tokens = q.Tokens
		}
		sum.line.High += q.Line.High
		sum.line.Normal += q.Line.Normal
		sum.line.Low += q.Line.Low
		sum.active += int64(q.Active)
		if q.Gate != nil {
			sum.gate = max(sum.gate, q.Gate.Sub(now))
		}
		byLimit[q.Limit] = sum
	}
	return byLimit
}
