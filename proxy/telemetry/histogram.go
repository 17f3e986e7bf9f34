package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// A histogram measures seconds, under the labels that are made of a K. Two measurements are
// made of each call, so it keeps the numbers itself, for a tenth of what the SDK takes; who
// collects metrics fetches them: see [measured]. Where somebody wants another form of them
// than we keep, the SDK has the instrument: see [metrics.register].
type histogram[K comparable] struct {
	name, description string
	bounds            []float64 // of its buckets: the upper ones, the last being without
	attributes        func(K) []attribute.KeyValue
	began             time.Time
	instrument        metric.Float64Histogram // of the SDK; nil: we measure

	mu     sync.RWMutex
	series map[K]*series[K] // fewer than maxSeries
	others *series[K]       // of all labels for which there is no room; nil: of none
}

// A latest is the series that was used last by who holds it, and most likely the next time.
type latest[K comparable] struct{ atomic.Pointer[series[K]] }

func (h *histogram[K]) init(attributes func(K) []attribute.KeyValue, name, description string, bounds []float64) {
	h.name, h.description, h.attributes, h.bounds = name, description, attributes, bounds
	h.began = time.Now()
}

// register has the SDK measure.
func (h *histogram[K]) register(m metric.Meter) (err error) {
	h.instrument, err = m.Float64Histogram(h.name, metric.WithUnit("s"),
		metric.WithDescription(h.description), metric.WithExplicitBucketBoundaries(h.bounds...))
	return err
}

// record measures d. The span that is told, if it is sampled, is the exemplar of its bucket.
// last may be nil.
func (h *histogram[K]) record(of trace.SpanContext, d time.Duration, labels K, last *latest[K]) {
	s := h.find(labels, last)
	if h.instrument == nil {
		s.add(h.bounds, d.Seconds(), of)
		return
	}
	h.instrument.Record(trace.ContextWithSpanContext(context.Background(), of), d.Seconds(), metric.WithAttributeSet(s.set))
}

func (h *histogram[K]) find(labels K, last *latest[K]) *series[K] {
	if last == nil {
		return h.at(labels)
	}
	if s := last.Load(); s != nil && s.labels == labels {
		return s
	}
	s := h.at(labels)
	last.Store(s)
	return s
}

// at is the series of labels, or the one of all that are too many.
func (h *histogram[K]) at(labels K) *series[K] {
	h.mu.RLock()
	s := h.series[labels]
	if s == nil && len(h.series) >= maxSeries-1 {
		s = h.others
	}
	h.mu.RUnlock()
	if s != nil {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s = h.series[labels]; s != nil {
		return s
	}
	if len(h.series) >= maxSeries-1 {
		if h.others == nil {
			h.others = newSeries(labels, overflow, h.bounds)
		}
		return h.others
	}
	if h.series == nil {
		h.series = make(map[K]*series[K])
	}
	s = newSeries(labels, attribute.NewSet(h.attributes(labels)...), h.bounds)
	h.series[labels] = s
	return s
}

// overflow are the labels of what is counted together since it would be too many series, as
// the SDK has them: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
var overflow = attribute.NewSet(attribute.Bool("otel.metric.overflow", true))

// metric is what was measured until now; ok is false where nothing was.
func (h *histogram[K]) metric(now time.Time) (m metricdata.Metrics, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	points := make([]metricdata.HistogramDataPoint[float64], 0, len(h.series)+1)
	for _, s := range h.series {
		points = s.appendPoint(points)
	}
	if h.others != nil {
		points = h.others.appendPoint(points)
	}
	for i := range points {
		points[i].StartTime, points[i].Time, points[i].Bounds = h.began, now, h.bounds
	}
	return metricdata.Metrics{
		Name: h.name, Description: h.description, Unit: "s",
		Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality},
	}, len(points) > 0
}
