package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
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
	// LogFormat is "json" or "text"; "" means json.
	LogFormat string
	// LogLevel is "debug", "info", "warn" or "error"; "" means info.
	LogLevel string
	// AccessLog asks for one line for each call, at level info.
	AccessLog bool
	// LogOutput takes the log; nil means [os.Stderr].
	LogOutput io.Writer
	// SpanProcessors see every recorded span beside the exporter.
	SpanProcessors []sdktrace.SpanProcessor
	// Recent is how many finished calls are remembered; 0 means 200.
	Recent int
}

// Telemetry tells what happens to calls. All its methods are safe for
// concurrent use.
type Telemetry struct {
	log       *slog.Logger
	accessLog bool
	tracer    trace.Tracer
	metrics   *metrics
	registry  *prometheus.Registry
	recent    *ring
	gates     gateLog

	traces   *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	abort    context.CancelFunc // ends exports that are under way
	shutdown sync.Once
}

// New builds the telemetry of one process. It connects to nothing: a collector
// that cannot be reached shows in the log, later. Errors are wrong settings or
// OTEL_* variables that ask for what there is not.
func New(ctx context.Context, s Settings) (*Telemetry, error) {
	if s.Sample < 0 || s.Sample > 1 {
		return nil, fmt.Errorf("telemetry.sample = %v: must be from 0 to 1", s.Sample)
	}
	log, err := newLogger(s)
	if err != nil {
		return nil, err
	}
	running, abort := context.WithCancel(context.WithoutCancel(ctx))
	t := &Telemetry{
		log:       log,
		accessLog: s.AccessLog,
		registry:  prometheus.NewRegistry(),
		recent:    newRing(s.Recent),
		abort:     abort,
	}
	if err := t.build(ctx, running, s); err != nil {
		abort()
		return nil, err
	}
	return t, nil
}

// build makes the two providers. running ends when exporting must end.
func (t *Telemetry) build(ctx, running context.Context, s Settings) error {
	res, err := describe(ctx, s)
	if err != nil {
		t.log.Warn("part of OTEL_RESOURCE_ATTRIBUTES is ignored", "error", err.Error())
	}
	guard := &guard{running: running, log: t.log}
	spans, err := spanExporters(ctx, s.Endpoint)
	if err != nil {
		return err
	}
	readers, err := metricReaders(ctx, s.Endpoint, guard)
	if err != nil {
		return err
	}

	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	for _, exporter := range spans {
		opts = append(opts, sdktrace.WithBatcher(&spanGuard{SpanExporter: exporter, guard: guard}))
	}
	for _, processor := range s.SpanProcessors {
		opts = append(opts, sdktrace.WithSpanProcessor(processor))
	}
	if sampler := sampler(s, len(spans)+len(s.SpanProcessors) > 0); sampler != nil {
		opts = append(opts, sdktrace.WithSampler(sampler))
	}
	t.traces = sdktrace.NewTracerProvider(opts...)
	t.tracer = t.traces.Tracer(scope, trace.WithInstrumentationVersion(s.Version), trace.WithSchemaURL(semconv.SchemaURL))

	t.meters, err = newMeterProvider(t.registry, res, readers)
	if err != nil {
		return err
	}
	t.metrics, err = newMetrics(t.meters.Meter(scope))
	return err
}

// sampler decides which traces are recorded, nil leaving it to the environment.
// Without anybody to look at spans none is recorded: ids are still made, for
// the log and for our caller.
func sampler(s Settings, watched bool) sdktrace.Sampler {
	switch {
	case !watched:
		return sdktrace.NeverSample()
	case os.Getenv("OTEL_TRACES_SAMPLER") != "":
		return nil
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.Sample))
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
		metersErr := make(chan error, 1)
		go func() { metersErr <- t.meters.Shutdown(ctx) }()
		err = errors.Join(t.traces.Shutdown(ctx), <-metersErr)
	})
	return err
}
