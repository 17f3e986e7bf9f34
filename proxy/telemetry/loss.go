package telemetry

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// A Loss is what of one signal was not told to who should have had it.
type Loss struct {
	Signal  string    `json:"signal"`  // traces, metrics or logs
	Dropped int64     `json:"dropped"` // spans, log records, or exports of all metrics
	Since   time.Time `json:"since"`   // of the first
	Last    time.Time `json:"last"`    // of the latest
	Why     string    `json:"why"`     // of the latest
}

// Why nothing was tried to be sent.
const (
	noRoom      = "the collector does not take them as fast as they come"
	heldTooMany = "too many calls under way hold spans"
)

// losses counts what is lost, for as long as the process lives.
type losses struct {
	mu     sync.Mutex
	signal map[string]*Loss
}

// add counts n that were lost, and gives how many there are now, and when that is.
func (l *losses) add(signal string, n int, why string) (dropped int64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	loss, now := l.signal[signal], time.Now()
	if loss == nil {
		loss = &Loss{Signal: signal, Since: now}
		if l.signal == nil {
			l.signal = make(map[string]*Loss)
		}
		l.signal[signal] = loss
	}
	loss.Dropped += int64(n)
	loss.Last, loss.Why = now, why
	return loss.Dropped, now
}

func (l *losses) list() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Loss, 0, len(l.signal))
	for _, loss := range l.signal {
		list = append(list, *loss)
	}
	slices.SortFunc(list, func(a, b Loss) int { return cmp.Compare(a.Signal, b.Signal) })
	return list
}

// watch has the losses counted among the metrics. It is the first that is called of all that
// observe, those of one instrument being called before those of several: so it flushes.
func (l *losses) watch(m metric.Meter, flush func()) error {
	_, err := m.Int64ObservableCounter("outrider.telemetry.dropped",
		metric.WithDescription("Spans and log records that could not be exported, and exports of metrics, by signal."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			flush()
			for _, loss := range l.list() {
				o.Observe(loss.Dropped, metric.WithAttributes(labelSignal.String(loss.Signal)))
			}
			return nil
		}))
	return err
}

// Losses lists what could not be exported, by signal; none: nothing was lost.
func (t *Telemetry) Losses() []Loss {
	t.Flush()
	return t.losses.list()
}
