package telemetry

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// A series is what a histogram has measured under some labels, since it began.
type series[K comparable] struct {
	labels K
	set    attribute.Set

	mu          sync.Mutex
	count       uint64
	counts      []uint64 // by bucket
	sum         float64
	least, most float64
	examples    []exemplar // by bucket; nil: there are none
}

func newSeries[K comparable](labels K, set attribute.Set, bounds []float64) *series[K] {
	return &series[K]{labels: labels, set: set, counts: make([]uint64, len(bounds)+1)}
}

// add counts a value. Most are in one of the first buckets, so these are looked through.
func (s *series[K]) add(bounds []float64, value float64, of trace.SpanContext) {
	bucket := 0
	for bucket < len(bounds) && value > bounds[bucket] {
		bucket++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 || value < s.least {
		s.least = value
	}
	s.most = max(s.most, value)
	s.count++
	s.counts[bucket]++
	s.sum += value
	if of.IsSampled() {
		if s.examples == nil {
			s.examples = make([]exemplar, len(s.counts))
		}
		s.examples[bucket].offer(value, of)
	}
}

// appendPoint adds what a reader collects: a copy, without the times of it.
func (s *series[K]) appendPoint(points []metricdata.HistogramDataPoint[float64]) []metricdata.HistogramDataPoint[float64] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 { // the SDK measures
		return points
	}
	p := metricdata.HistogramDataPoint[float64]{
		Attributes: s.set, Count: s.count, BucketCounts: slices.Clone(s.counts), Sum: s.sum,
		Min: metricdata.NewExtrema(s.least), Max: metricdata.NewExtrema(s.most),
	}
	for i := range s.examples {
		p.Exemplars = s.examples[i].appendTo(p.Exemplars)
	}
	return append(points, p)
}

// An exemplar is one of the measurements of a bucket, each of which is as likely to be it
// as any other since metrics were collected last.
type exemplar struct {
	time  time.Time // zero: there is none
	value float64
	trace trace.TraceID
	span  trace.SpanID

	offered uint64 // since metrics were collected last
	next    uint64 // which of those is taken next; 0: the first
}

// offer offers a measurement. The n-th is taken with a probability of 1/n. That is not asked
// of chance each time: after it has been taken none is before the m-th with one of n/m, so
// chance says which will be the next.
func (e *exemplar) offer(value float64, of trace.SpanContext) {
	e.offered++
	if e.offered < e.next {
		return
	}
	e.next = uint64(min(float64(e.offered)/(1-rand.Float64()), 1<<62)) + 1
	e.time, e.value, e.trace, e.span = time.Now(), value, of.TraceID(), of.SpanID()
}

// appendTo adds the exemplar, if there is one. It stays, until another takes its place.
func (e *exemplar) appendTo(list []metricdata.Exemplar[float64]) []metricdata.Exemplar[float64] {
	if e.time.IsZero() {
		return list
	}
	e.offered, e.next = 0, 0
	traceID, spanID := e.trace, e.span
	return append(list, metricdata.Exemplar[float64]{Time: e.time, Value: e.value, TraceID: traceID[:], SpanID: spanID[:]})
}
