package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"outrider/policy"
)

// Labels of our metrics. Their values come from the configuration or are words
// of our own, never anything that a caller chose; nor a provider, but for the names of its
// buckets: see bucketLabels.
const (
	labelUpstream = attribute.Key("upstream")
	labelClass    = attribute.Key("status_class")
	labelReason   = attribute.Key("reason")
	labelProblem  = attribute.Key("problem")
	labelFrom     = attribute.Key("from")
	labelTo       = attribute.Key("to")
	labelResult   = attribute.Key("result")
	labelSignal   = attribute.Key("signal")
)

// noUpstream is the label of calls that belong to no upstream.
const noUpstream = "none"

// maxSeries bounds the label combinations of one instrument; what comes later
// is counted together.
const maxSeries = 5000

// Bucket boundaries in seconds: those of the semantic conventions for HTTP, and
// for waits up to what people let a call wait.
var (
	httpBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	waitBuckets = []float64{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}
)

// newMeterProvider serves registry, and the readers beside it.
func newMeterProvider(registry *prometheus.Registry, res *resource.Resource, readers []sdkmetric.Reader) (*sdkmetric.MeterProvider, error) {
	page, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics page: %w", err)
	}
	err = errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics page: %w", err)
	}
	opts := []sdkmetric.Option{
		sdkmetric.WithResource(res), sdkmetric.WithReader(page), sdkmetric.WithCardinalityLimit(maxSeries),
	}
	for _, reader := range readers {
		opts = append(opts, sdkmetric.WithReader(reader))
	}
	return sdkmetric.NewMeterProvider(opts...), nil
}

// MetricsHandler serves the metrics as Prometheus text or OpenMetrics.
func (t *Telemetry) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
	})
}

// metrics are the instruments.
type metrics struct {
	server, client histogram // method, upstream, class of the status
	waits          histogram // upstream, reason
	retries        counter   // upstream, reason
	giveUps        counter   // upstream, reason
	hedges         counter   // upstream, result
	repeats        counter   // upstream, reason
	stale          counter   // upstream, reason
	quiet          counter   // upstream, reason
	transitions    counter   // upstream, from, to
	problems       counter   // upstream, problem
	interceptions  counter   // upstream, result
	refreshes      counter   // upstream, result
	states         atomic.Pointer[func() []policy.UpstreamStatus]
}

func newMetrics(m metric.Meter, l *losses) (*metrics, error) {
	x := &metrics{}
	httpKeys := []attribute.Key{semconv.HTTPRequestMethodKey, labelUpstream, labelClass}
	err := errors.Join(
		x.server.init(m, httpKeys, "http.server.request.duration", "Duration of calls, from the first byte in to the last byte out.", httpBuckets),
		x.client.init(m, httpKeys, "http.client.request.duration", "Duration of requests on the wire, to the end of the response.", httpBuckets),
		x.waits.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.wait.duration", "Time that calls waited for a turn or a token, or backed off.", waitBuckets),
		x.retries.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.retries", "Further attempts, by what the last one met."),
		x.giveUps.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.give_ups", "Calls without a further attempt although the last one did not succeed."),
		x.hedges.init(m, []attribute.Key{labelUpstream, labelResult}, "outrider.hedges", "Second requests that were due since the first was slow: won, lost, or refused (not sent)."),
		x.repeats.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.repeats", "Calls that are retries of their callers, by how that is known."),
		x.stale.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.stale", "Calls that failed and were answered with an earlier answer, by the failure."),
		x.quiet.init(m, []attribute.Key{labelUpstream, labelReason}, "outrider.quiet_failures", "Answers whose status says that all is well, and that say elsewhere that it is not."),
		x.transitions.init(m, []attribute.Key{labelUpstream, labelFrom, labelTo}, "outrider.circuit.transitions", "Changes of a circuit's state."),
		x.problems.init(m, []attribute.Key{labelUpstream, labelProblem}, "outrider.problems", "Answers that we made ourselves."),
		x.interceptions.init(m, []attribute.Key{labelUpstream, labelResult}, "outrider.interceptions", "Connections by CONNECT to hosts that an upstream names: opened, or why not."),
		x.refreshes.init(m, []attribute.Key{labelUpstream, labelResult}, "outrider.refreshes", "Token requests for credentials that are fetched: ok, or what went wrong."),
		x.watch(m),
		l.watch(m),
	)
	return x, err
}

// served counts a finished call.
func (x *metrics) served(ctx context.Context, r *Record, d time.Duration) {
	x.server.record(ctx, d, method(r.Method), r.Upstream, statusClass(r.Status))
	if r.Problem != "" {
		x.problems.add(ctx, r.Upstream, clip(r.Problem, 64), "")
	}
}

// sent counts a request on the wire; class is that of its status, or classLost.
func (x *metrics) sent(ctx context.Context, method, upstream, class string, d time.Duration) {
	x.client.record(ctx, d, method, upstream, class)
}

// waited counts a wait.
func (x *metrics) waited(ctx context.Context, upstream, reason string, d time.Duration) {
	x.waits.record(ctx, d, upstream, reason, "")
}

// histogram measures seconds under up to three labels.
type histogram struct {
	instrument metric.Float64Histogram
	sets       labelSets[metric.RecordOption]
}

func (h *histogram) init(m metric.Meter, keys []attribute.Key, name, description string, buckets []float64) (err error) {
	h.sets.keys = keys
	h.instrument, err = m.Float64Histogram(name, metric.WithUnit("s"),
		metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
	return err
}

func (h *histogram) record(ctx context.Context, d time.Duration, a, b, c string) {
	h.instrument.Record(ctx, d.Seconds(), h.sets.get([3]string{a, b, c}, asRecordOption)...)
}

// counter counts under up to three labels.
type counter struct {
	instrument metric.Int64Counter
	sets       labelSets[metric.AddOption]
}

func (n *counter) init(m metric.Meter, keys []attribute.Key, name, description string) (err error) {
	n.sets.keys = keys
	n.instrument, err = m.Int64Counter(name, metric.WithDescription(description))
	return err
}

func (n *counter) add(ctx context.Context, a, b, c string) {
	n.instrument.Add(ctx, 1, n.sets.get([3]string{a, b, c}, asAddOption)...)
}

func asRecordOption(s attribute.Set) metric.RecordOption { return metric.WithAttributeSet(s) }
func asAddOption(s attribute.Set) metric.AddOption       { return metric.WithAttributeSet(s) }

// labelSets keeps the label sets that were used, so that a call builds none.
type labelSets[O any] struct {
	keys []attribute.Key
	mu   sync.RWMutex
	sets map[[3]string][]O
}

// get returns the option for the values of the keys.
func (l *labelSets[O]) get(values [3]string, option func(attribute.Set) O) []O {
	l.mu.RLock()
	set, ok := l.sets[values]
	l.mu.RUnlock()
	if ok {
		return set
	}
	attrs := make([]attribute.KeyValue, len(l.keys))
	for i, key := range l.keys {
		value := values[i]
		if key == labelUpstream && value == "" {
			value = noUpstream
		}
		attrs[i] = key.String(value)
	}
	set = []O{option(attribute.NewSet(attrs...))}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets = make(map[[3]string][]O)
	}
	if len(l.sets) < maxSeries {
		l.sets[values] = set
	}
	return set
}
