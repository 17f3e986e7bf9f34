package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// histogram measures seconds, under the labels that are made of a K.
type histogram[K comparable] struct {
	instrument metric.Float64Histogram
	sets       labelSets[K, metric.RecordOption]
}

func (h *histogram[K]) init(m metric.Meter, attributes func(K) []attribute.KeyValue, name, description string, buckets []float64) (err error) {
	h.sets.attributes = attributes
	h.instrument, err = m.Float64Histogram(name, metric.WithUnit("s"),
		metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
	return err
}

// record measures d. The span of ctx, if it is sampled, is the exemplar of its bucket.
func (h *histogram[K]) record(ctx context.Context, d time.Duration, labels K) {
	h.instrument.Record(ctx, d.Seconds(), h.sets.get(labels, asRecordOption)...)
}

// counter counts under up to three words.
type counter struct {
	instrument metric.Int64Counter
	sets       labelSets[words, metric.AddOption]
}

func (n *counter) init(m metric.Meter, attributes func(words) []attribute.KeyValue, name, description string) (err error) {
	n.sets.attributes = attributes
	n.instrument, err = m.Int64Counter(name, metric.WithDescription(description))
	return err
}

// add counts one, under the values of the counter's labels.
func (n *counter) add(ctx context.Context, a, b, c string) { n.addMany(ctx, 1, words{a, b, c}) }

// addMany counts several at once.
func (n *counter) addMany(ctx context.Context, many int, labels words) {
	n.instrument.Add(ctx, int64(many), n.sets.get(labels, asAddOption)...)
}

func asRecordOption(s attribute.Set) metric.RecordOption { return metric.WithAttributeSet(s) }
func asAddOption(s attribute.Set) metric.AddOption       { return metric.WithAttributeSet(s) }

// labelSets keeps the label sets that were used, so that a call builds none.
type labelSets[K comparable, O any] struct {
	attributes func(K) []attribute.KeyValue
	mu         sync.RWMutex
	sets       map[K][]O
}

// get returns the option for the labels that are made of from.
func (l *labelSets[K, O]) get(from K, option func(attribute.Set) O) []O {
	l.mu.RLock()
	set, ok := l.sets[from]
	l.mu.RUnlock()
	if ok {
		return set
	}
	set = []O{option(attribute.NewSet(l.attributes(from)...))}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets = make(map[K][]O)
	}
	if len(l.sets) < maxSeries {
		l.sets[from] = set
	}
	return set
}

// levels are numbers that rise and fall, one for each upstream.
type levels struct {
	mu sync.RWMutex
	of map[string]*atomic.Int64 // upstream → how many; "": of none
}

// at is the level of an upstream.
func (l *levels) at(upstream string) *atomic.Int64 {
	l.mu.RLock()
	level := l.of[upstream]
	l.mu.RUnlock()
	if level != nil {
		return level
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if level = l.of[upstream]; level == nil {
		if l.of == nil {
			l.of = make(map[string]*atomic.Int64)
		}
		level = new(atomic.Int64)
		l.of[upstream] = level
	}
	return level
}

// observe tells them all.
func (l *levels) observe(o metric.Observer, gauge metric.Int64Observable) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for upstream, level := range l.of {
		o.ObserveInt64(gauge, level.Load(), metric.WithAttributes(upstreamLabel(upstream)))
	}
}
