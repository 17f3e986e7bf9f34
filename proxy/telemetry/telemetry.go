package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"outrider/proxy/telemetry/spans"
)

// scope names the instrumentation in what is exported.
const scope = "outrider"

// shutdownLimit ends a Shutdown whose context has no nearer deadline.
const shutdownLimit = 5 * time.Second

// Settings say what is told, and where. The standard OTEL_* variables win over
// them where both speak.
type Settings struct {
	// ServiceName is the service.name of everything exported; "" means outrider.
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over it.
	ServiceName string
	// Version is our own version: service.version.
	Version string
	// Endpoint is the base URL of an OTLP collector, "http://127.0.0.1:4318".
	// OTEL_EXPORTER_OTLP_ENDPOINT wins over it. When both are empty, and
	// OTEL_TRACES_EXPORTER too, nothing is exported.
	Endpoint string
	// Sample is the share of new traces that is recorded, from 0 to 1. A caller
	// that sends a traceparent has decided already. OTEL_TRACES_SAMPLER wins.
	Sample float64
	// KeepErrors keeps the traces of calls that failed, or that we answered ourselves,
	// although they are not part of that share; KeepSlow those of calls whose answer took
	// as long to begin, or longer; 0 keeps none for that. A caller that left its call out
	// is heard.
	KeepErrors bool
	KeepSlow   time.Duration
	// LogFormat is "json" or "text"; "" means json.
	LogFormat string
	// LogLevel is "debug", "info", "warn" or "error"; "" means info.
	LogLevel string
	// ExportLogs has the log go to the collector, too. OTEL_LOGS_EXPORTER wins.
	ExportLogs bool
	// AccessLog asks for one line for each call, at level info.
	AccessLog bool
	// LogOutput takes the log; nil means [os.Stderr].
	LogOutput io.Writer
	// SpanProcessors are told of the end of each span that is sampled or kept, beside the
	// exporter. They are not told of beginnings.
	SpanProcessors []sdktrace.SpanProcessor
	// Ended is told of each call that has ended just now, one at a time; it must not block, nor
	// ask this package, and neither keep nor change what it is told: the record serves another
	// call later, and its method, host and path are cut out of a request. nil: nobody is.
	Ended func(r *Record, now time.Time)
	// Recent is how many finished calls are remembered; 0 means 500.
	Recent int
}

// Telemetry tells what happens to calls. All its methods are safe for
// concurrent use.
type Telemetry struct {
	log       *slog.Logger
	output    *output  // of the log
	accessLog bool     // and the log takes its lines
	lines     *lineLog // writes the lines of calls; nil: the log does, since it is more than JSON on one output
	tracer    *spans.Tracer
	metrics   *metrics
	registry  *prometheus.Registry
	batch     *batch // of what has ended, and is told of in a moment
	recent    *recent
	feed      feed
	gates     gateLog
	ended     func(*Record, time.Time)
	losses    losses
	service   string // service.name
	tail      *tail  // nil: what is not sampled is not recorded
	watched   bool   // somebody gets spans

	repeats  repeats
	sinks    []spanSink // that get spans
	meters   *sdkmetric.MeterProvider
	logs     *sdklog.LoggerProvider // nil: the log is not exported
	abort    context.CancelFunc     // ends exports that are under way
	shutdown sync.Once
}

// New builds the telemetry of one process. It connects to nothing: a collector
// that cannot be reached shows in the log, later. Errors are wrong settings or
// OTEL_* variables that ask for what there is not: see Check.
func New(ctx context.Context, s Settings) (*Telemetry, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if s.LogOutput == nil {
		s.LogOutput = os.Stderr
	}
	out := newOutput(s.LogOutput)
	handler, err := newLogHandler(s, out)
	if err != nil {
		return nil, err
	}
	running, abort := context.WithCancel(context.WithoutCancel(ctx))
	t := &Telemetry{
		output:   out,
		registry: prometheus.NewRegistry(),
		recent:   newRecent(s.Recent),
		ended:    s.Ended,
		abort:    abort,
	}
	t.batch = newBatch(t.Logger)
	if t.ended == nil {
		t.ended = func(*Record, time.Time) {}
	}
	if err := t.build(ctx, running, s, handler); err != nil {
		abort()
		return nil, errors.Join(err, t.shutdownSpans(ctx)) // nothing waits to be sent
	}
	t.accessLog = s.AccessLog && t.log.Enabled(ctx, slog.LevelInfo)
	if s.LogFormat != "text" && t.logs == nil {
		t.lines = &lineLog{out: out}
	}
	return t, nil
}

// build makes the log, which goes to handler, and the providers. running ends when
// exporting must end.
func (t *Telemetry) build(ctx, running context.Context, s Settings, handler slog.Handler) error {
	res, err := describe(ctx, s)
	service, _ := res.Set().Value(semconv.ServiceNameKey)
	t.service = service.AsString()
	// What is said of exports is not exported.
	local := slog.New(handler)
	guard := &guard{running: running, log: local, losses: &t.losses}
	if err != nil {
		local.Warn("part of OTEL_RESOURCE_ATTRIBUTES is ignored", "error", err.Error())
	}
	if handler, t.logs, err = exportLogs(ctx, s, handler, res, guard); err != nil {
		return err
	}
	t.log = slog.New(sparing{Handler: handler, repeats: &t.repeats})
	of := instrumentation.Scope{Name: scope, Version: s.Version, SchemaURL: semconv.SchemaURL}
	if t.sinks, err = spanSinks(ctx, s, res, of, guard); err != nil {
		return err
	}
	t.metrics = newMetrics()
	readers, usual, err := metricReaders(ctx, s, t.metrics.measured(), guard)
	if err != nil {
		return err
	}
	if err := t.trace(s, res, of); err != nil {
		return err
	}
	t.meters, err = newMeterProvider(t.registry, res, t.metrics.measured(), readers)
	if err != nil {
		return err
	}
	return t.metrics.register(t.meters.Meter(scope), s.Version, &t.losses, usual, t.Flush)
}

// trace makes the tracer.
func (t *Telemetry) trace(s Settings, res *resource.Resource, of instrumentation.Scope) error {
	t.watched = len(t.sinks)+len(s.SpanProcessors) > 0
	chosen, err := newSampling(s, t.watched)
	if err != nil {
		return err
	}
	for _, processor := range s.SpanProcessors {
		t.sinks = append(t.sinks, snapshots{processor})
	}
	settings := spans.Settings{Resource: res, Scope: of, Sampler: chosen, All: chosen.all, Limits: sdktrace.NewSpanLimits(), Ended: t.deliver}
	if chosen.partial && (s.KeepErrors || s.KeepSlow > 0) {
		t.tail = newTail(s, &t.losses, t.deliver)
		settings.Sampler, settings.Ended = recordAll{chosen}, t.tail.ended
	}
	t.tracer = spans.New(settings)
	return nil
}

// describe builds the resource: ours, then what the environment says.
func describe(ctx context.Context, s Settings) (*resource.Resource, error) {
	name := s.ServiceName
	if name == "" {
		name = "outrider"
	}
	return resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(name), semconv.ServiceVersion(s.Version)),
		resource.WithFromEnv(),
	)
}

// ServiceName is the service.name of everything exported: of the settings, or of the
// environment, which wins.
func (t *Telemetry) ServiceName() string { return t.service }

// Logger is the one log of the process. Records made with the context of a call
// carry its trace_id and span_id.
func (t *Telemetry) Logger() *slog.Logger { return t.log }

// Shutdown sends what is still queued and ends all exporting. It returns when
// ctx ends, or after five seconds, however the collector behaves.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var err error
	t.shutdown.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
		defer cancel()
		defer t.abort()
		t.batch.end()
		t.repeats.flush()
		t.output.end()
		ends := []func(context.Context) error{t.shutdownSpans, t.meters.Shutdown}
		if t.logs != nil {
			ends = append(ends, t.logs.Shutdown)
		}
		ended := make(chan error, len(ends))
		for _, end := range ends {
			go func() { ended <- end(ctx) }()
		}
		for range ends {
			err = errors.Join(err, <-ended)
		}
	})
	return err
}
