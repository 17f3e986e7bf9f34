package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
)

// Bucket boundaries in seconds: those of the semantic conventions for HTTP, and
// for waits up to what people let a call wait.
var (
	httpBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	waitBuckets = []float64{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}
)

// newMeterProvider serves registry, and the readers beside it.
func newMeterProvider(registry *prometheus.Registry, res *resource.Resource, ours measured, readers []sdkmetric.Reader) (*sdkmetric.MeterProvider, error) {
	page, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo(), promexporter.WithProducer(ours))
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
	server, client histogram[httpLabels]
	waits          histogram[words] // upstream, reason
	retries        counter          // upstream, reason
	giveUps        counter          // upstream, reason
	hedges         counter          // upstream, result
	repeats        counter          // upstream, reason
	stale          counter          // upstream, reason
	quiet          counter          // upstream, reason
	transitions    counter          // upstream, from, to
	problems       counter          // upstream, problem
	interceptions  counter          // upstream, result
	refreshes      counter          // upstream, result
	gates          counter          // upstream
	calls          atomic.Int64
	accounts       accounts
	connections    levels
	states         atomic.Pointer[func() []policy.UpstreamStatus]
	process        atomic.Pointer[func() Process]
	outbox         outboxMetrics
}

// newMetrics makes those that measure by themselves. The others are there when they are
// registered.
func newMetrics() *metrics {
	x := &metrics{}
	x.accounts.client = &x.client
	x.server.init(httpLabels.attributes, "http.server.request.duration", "Duration of calls, from the first byte in to the last byte out.", httpBuckets)
	x.client.init(httpLabels.attributes, "http.client.request.duration", "Duration of requests on the wire, to the end of the response.", httpBuckets)
	x.waits.init(wordsOf(labelUpstream, labelReason), "outrider.wait.duration", "Time that calls waited for a turn or a token, or backed off.", waitBuckets)
	x.outbox.delivery.init(wordsOf(labelUpstream), "outrider.outbox.delivery.duration", "Time from the acceptance of a letter to its delivery.", deliveryBuckets)
	return x
}

// measured are the histograms, as readers collect them.
func (x *metrics) measured() measured {
	return measured{&x.server, &x.client, &x.waits, &x.outbox.delivery}
}

// register makes the instruments of the SDK. own says that the histograms measure by
// themselves, in the form that every reader takes: see usual. flush is called before anything is
// collected.
func (x *metrics) register(m metric.Meter, version string, l *losses, own bool, flush func()) error {
	err := errors.Join(
		x.retries.init(m, wordsOf(labelUpstream, labelReason), "outrider.retries", "Further attempts, by what the last one met."),
		x.giveUps.init(m, wordsOf(labelUpstream, labelReason), "outrider.give_ups", "Calls without a further attempt although the last one did not succeed."),
		x.hedges.init(m, wordsOf(labelUpstream, labelResult), "outrider.hedges", "Second requests that were due since the first was slow: won, lost, or refused (not sent)."),
		x.repeats.init(m, wordsOf(labelUpstream, labelReason), "outrider.repeats", "Calls that are retries of their callers, by how that is known."),
		x.stale.init(m, wordsOf(labelUpstream, labelReason), "outrider.stale", "Calls that failed and were answered with an earlier answer, by the failure."),
		x.quiet.init(m, wordsOf(labelUpstream, labelReason), "outrider.quiet_failures", "Answers whose status says that all is well, and that say elsewhere that it is not."),
		x.transitions.init(m, wordsOf(labelUpstream, labelFrom, labelTo), "outrider.circuit.transitions", "Changes of a circuit's state."),
		x.problems.init(m, wordsOf(labelUpstream, labelProblem), "outrider.problems", "Answers that we made ourselves."),
		x.interceptions.init(m, wordsOf(labelUpstream, labelResult), "outrider.interceptions", "Connections by CONNECT to hosts that an upstream names: opened, or why not."),
		x.refreshes.init(m, wordsOf(labelUpstream, labelResult), "outrider.refreshes", "Token requests for credentials that are fetched: ok, or what went wrong."),
		x.gates.init(m, wordsOf(labelUpstream), "outrider.gates", "Times that a provider closed a quota that was open."),
		x.watch(m),
		x.watchProcess(m, version),
		x.outbox.init(m),
		l.watch(m, flush),
	)
	if own {
		return err
	}
	return errors.Join(err, x.server.register(m), x.client.register(m), x.waits.register(m), x.outbox.delivery.register(m))
}

// served counts a finished call; kind is its error.type.
func (x *metrics) served(s *Span, of *account, r *Record, kind string, d time.Duration) {
	x.server.record(s.span.SpanContext(), d, httpLabels{
		method: method(r.Method), scheme: scheme(r.Form), upstream: r.Upstream,
		status: r.Status, class: statusClass(r.Status), kind: kind,
	}, &of.served)
	if r.Problem != "" {
		x.problems.add(&s.ctx, r.Upstream, clip(r.Problem, 64), "")
	}
}

// waited counts a wait.
func (x *metrics) waited(ctx context.Context, upstream, reason string, d time.Duration) {
	x.waits.record(trace.SpanContextFromContext(ctx), d, words{upstream, reason}, nil)
}
