package telemetry

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// An Outbox is the state of the letters that are kept.
type Outbox struct {
	Upstreams []OutboxLetters
	Bytes     int64 // of all letters, with the answers that are kept of them
	Most      int64 // how many there may be
	Away      bool  // the store cannot be reached: nothing else is known
}

// OutboxLetters are those of one upstream.
type OutboxLetters struct {
	Upstream string
	States   map[string]int // state → letters
	Oldest   time.Duration  // age of the oldest that waits; 0: none does
}

// WatchOutbox sets where the gauges read the state of the outbox, each time that metrics are
// collected; false: there is none, and nothing is told of it. A later WatchOutbox replaces it.
func (t *Telemetry) WatchOutbox(state func() (Outbox, bool)) { t.metrics.outbox.state.Store(&state) }

// LettersKept counts calls that were accepted, several when they were imported.
func (t *Telemetry) LettersKept(ctx context.Context, upstream string, n int) {
	t.metrics.outbox.accepted.addMany(ctx, n, words{upstream, "kept"})
}

// LetterThere counts a call that was accepted, of which there was a letter already.
func (t *Telemetry) LetterThere(ctx context.Context, upstream string) {
	t.metrics.outbox.accepted.add(ctx, upstream, "duplicate", "")
}

// LetterEnded counts a letter that is not sent any more. result is "delivered", "cancelled"
// or the reason why it is dead; age is the time since it was accepted.
func (t *Telemetry) LetterEnded(ctx context.Context, upstream, result string, age time.Duration) {
	t.metrics.outbox.ended.add(ctx, upstream, result, "")
	if result == "delivered" {
		t.metrics.outbox.delivery.record(trace.SpanContextFromContext(ctx), age, words{upstream}, nil)
	}
}

// CallbackEnded counts a callback that is not sent any more. result is "delivered", or the
// reason why not.
func (t *Telemetry) CallbackEnded(ctx context.Context, result string) {
	t.metrics.outbox.callbacks.add(ctx, result, "", "")
}

// deliveryBuckets are boundaries in seconds: a letter may be there at once, or after a day.
var deliveryBuckets = []float64{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600}

// outboxMetrics are the instruments of the outbox.
type outboxMetrics struct {
	accepted  counter // upstream, result
	ended     counter // upstream, result
	callbacks counter // result
	delivery  histogram[words]

	letters, size, most, up metric.Int64ObservableGauge
	oldest                  metric.Float64ObservableGauge

	state atomic.Pointer[func() (Outbox, bool)]
}

func (x *outboxMetrics) init(m metric.Meter) error {
	var errs [5]error
	errs[0] = x.accepted.init(m, wordsOf(labelUpstream, labelResult), "outrider.outbox.accepted", "Calls that were accepted into the outbox: kept, or duplicate of a letter that is there.")
	errs[1] = x.ended.init(m, wordsOf(labelUpstream, labelResult), "outrider.outbox.ended", "Letters that are not sent any more: delivered, cancelled, or why they are dead.")
	errs[2] = x.callbacks.init(m, wordsOf(labelResult), "outrider.outbox.callbacks", "Callbacks about letters that are not sent any more: delivered, or why not.")
	for _, gauge := range []struct {
		at                      *metric.Int64ObservableGauge
		name, unit, description string
	}{
		{&x.letters, "outrider.outbox.letters", "", "Letters in each state."},
		{&x.size, "outrider.outbox.size", "By", "What the letters take, with the answers that are kept of them."},
		{&x.most, "outrider.outbox.max_size", "By", "What they may take."},
		{&x.up, "outrider.outbox.up", "", "1 if the store of the letters is reached, 0 if not."},
	} {
		var err error
		*gauge.at, err = m.Int64ObservableGauge(gauge.name, metric.WithUnit(gauge.unit), metric.WithDescription(gauge.description))
		errs[3] = errors.Join(errs[3], err)
	}
	x.oldest, errs[4] = m.Float64ObservableGauge("outrider.outbox.oldest", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest letter that waits; 0 when none does."))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if state := x.state.Load(); state != nil {
			if outbox, there := (*state)(); there {
				x.observe(o, outbox)
			}
		}
		return nil
	}, x.letters, x.size, x.most, x.up, x.oldest)
	return err
}

// observe tells the state of the outbox. Of one that is away only that is known.
func (x *outboxMetrics) observe(o metric.Observer, outbox Outbox) {
	if outbox.Away {
		o.ObserveInt64(x.up, 0)
		return
	}
	o.ObserveInt64(x.up, 1)
	o.ObserveInt64(x.size, outbox.Bytes)
	o.ObserveInt64(x.most, outbox.Most)
	for _, letters := range outbox.Upstreams {
		name := upstreamLabel(letters.Upstream)
		o.ObserveFloat64(x.oldest, letters.Oldest.Seconds(), metric.WithAttributes(name))
		for _, state := range []string{"waiting", "sending", "delivered", "dead", "cancelled"} {
			o.ObserveInt64(x.letters, int64(letters.States[state]), metric.WithAttributes(name, labelState.String(state)))
		}
	}
}
