package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// measured are histograms that keep their numbers themselves, for readers who collect
// metrics: to them these are metrics as those of any instrument.
type measured []interface {
	metric(now time.Time) (m metricdata.Metrics, ok bool)
}

var _ sdkmetric.Producer = measured{}

// Produce gives what was measured until now.
func (list measured) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	all := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scope}}
	now := time.Now()
	for _, one := range list {
		if m, ok := one.metric(now); ok {
			all.Metrics = append(all.Metrics, m)
		}
	}
	if len(all.Metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{all}, nil
}

// takesUsual reports whether an exporter takes histograms as we keep them: since the process
// began, by the buckets that we have chosen. By the variables
// OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE and
// OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION it may ask for others.
func takesUsual(e sdkmetric.Exporter) bool {
	const kind = sdkmetric.InstrumentKindHistogram
	switch e.Aggregation(kind).(type) {
	case nil, sdkmetric.AggregationDefault, sdkmetric.AggregationExplicitBucketHistogram:
		return e.Temporality(kind) == metricdata.CumulativeTemporality
	}
	return false
}

// usualExemplars reports whether exemplars are those spans that are sampled, as we keep them:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exemplar
func usualExemplars() bool {
	filter := env("OTEL_METRICS_EXEMPLAR_FILTER")
	return filter != "always_on" && filter != "always_off"
}
