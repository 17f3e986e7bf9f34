package telemetry

import (
	"context"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// counter counts under up to three words.
type counter struct {
	instrument metric.Int64Counter
	attributes func(words) []attribute.KeyValue
	mu         sync.RWMutex
	sets       map[words][]metric.AddOption // the label sets that were used, so that a call builds none
}

func (n *counter) init(m metric.Meter, attributes func(words) []attribute.KeyValue, name, description string) (err error) {
	n.attributes = attributes
	n.instrument, err = m.Int64Counter(name, metric.WithDescription(description))
	return err
}

// add counts one, under the values of the counter's labels.
func (n *counter) add(ctx context.Context, a, b, c string) { n.addMany(ctx, 1, words{a, b, c}) }

// addMany counts several at once.
func (n *counter) addMany(ctx context.Context, many int, labels words) {
	n.instrument.Add(ctx, int64(many), n.set(labels)...)
}

// set is the option for labels.
func (n *counter) set(labels words) []metric.AddOption {
	n.mu.RLock()
	set, ok := n.sets[labels]
	n.mu.RUnlock()
	if ok {
		return set
	}
	set = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(n.attributes(labels)...))}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sets == nil {
		n.sets = make(map[words][]metric.AddOption)
	}
	if len(n.sets) < maxSeries {
		n.sets[labels] = set
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
