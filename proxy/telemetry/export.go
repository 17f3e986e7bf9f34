package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc"

	"outrider/proxy/telemetry/spans"
)

// Which exporters there are follows the standard variables:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
//
// The exporters are built here one by one, and not by a library that reads the
// variables, for one reason: an exporter must never send through HTTP_PROXY.
// Beside us that variable names us, and every export would be a call that is
// exported again.

// spanSinks are those that the environment or the endpoint ask for, for spans of res. Beside
// an error there are those that were begun, and must be ended.
func spanSinks(ctx context.Context, endpoint string, res *resource.Resource, of instrumentation.Scope, g *guard) ([]spanSink, error) {
	names := exporters("TRACES")
	if names == nil && (endpoint != "" || endpointFromEnv("TRACES")) {
		names = []string{"otlp"}
	}
	var list []spanSink
	for _, name := range names {
		var sink spanSink
		var err error
		switch name {
		case "none":
			continue
		case "otlp":
			sink, err = otlpSpans(ctx, endpoint, res, of, g)
		case "console":
			sink, err = consoleSpans(g)
		default:
			err = fmt.Errorf("OTEL_TRACES_EXPORTER=%s: must be otlp, console or none", name)
		}
		if err != nil {
			return list, err
		}
		list = append(list, sink)
	}
	return list, nil
}

func otlpSpans(ctx context.Context, endpoint string, res *resource.Resource, of instrumentation.Scope, g *guard) (spanSink, error) {
	protocol := otlpProtocol("TRACES")
	client, err := otlpSpanClient(endpoint, protocol)
	if err != nil {
		return nil, err
	}
	upload, err := spans.NewUploader(ctx, client, protocol == "http/json", res, of)
	if err != nil {
		return nil, err
	}
	return newSpanQueue(upload, g), nil
}

func otlpSpanClient(endpoint, protocol string) (otlptrace.Client, error) {
	base, err := otlpEndpoint("TRACES", endpoint)
	if err != nil {
		return nil, err
	}
	switch protocol {
	case "grpc":
		opts := []otlptracegrpc.Option{otlptracegrpc.WithDialOption(grpc.WithNoProxy())}
		if base != "" {
			opts = append(opts, otlptracegrpc.WithEndpointURL(base))
		}
		return otlptracegrpc.NewClient(opts...), nil
	case "http/protobuf", "http/json":
		opts := []otlptracehttp.Option{otlptracehttp.WithProxy(noProxy)}
		if base != "" {
			opts = append(opts, otlptracehttp.WithEndpointURL(base+"/v1/traces"))
		}
		return otlptracehttp.NewClient(opts...), nil
	default:
		return nil, unknownProtocol(protocol)
	}
}

func consoleSpans(g *guard) (spanSink, error) {
	exporter, err := stdouttrace.New()
	if err != nil {
		return nil, err
	}
	return newConsoleQueue(exporter, g), nil
}

// metricReaders are those that the environment asks for; "prometheus" is there
// already, as our own metrics page. usual says that they take histograms as we keep them.
func metricReaders(ctx context.Context, endpoint string, ours measured, g *guard) (list []sdkmetric.Reader, usual bool, err error) {
	usual = usualExemplars()
	for _, name := range exporters("METRICS") {
		var exporter sdkmetric.Exporter
		switch name {
		case "none", "prometheus":
			continue
		case "otlp":
			exporter, err = otlpMetrics(ctx, endpoint)
		case "console":
			exporter, err = stdoutmetric.New()
		default:
			return nil, false, fmt.Errorf("OTEL_METRICS_EXPORTER=%s: must be otlp, prometheus, console or none", name)
		}
		if err != nil {
			return nil, false, err
		}
		usual = usual && takesUsual(exporter)
		list = append(list, sdkmetric.NewPeriodicReader(&metricGuard{Exporter: exporter, guard: g}, sdkmetric.WithProducer(ours)))
	}
	return list, usual, nil
}

func otlpMetrics(ctx context.Context, endpoint string) (sdkmetric.Exporter, error) {
	base, err := otlpEndpoint("METRICS", endpoint)
	if err != nil {
		return nil, err
	}
	switch protocol := otlpProtocol("METRICS"); protocol {
	case "grpc":
		opts := []otlpmetricgrpc.Option{otlpmetricgrpc.WithDialOption(grpc.WithNoProxy())}
		if base != "" {
			opts = append(opts, otlpmetricgrpc.WithEndpointURL(base))
		}
		return otlpmetricgrpc.New(ctx, opts...)
	case "http/protobuf", "http/json":
		opts := []otlpmetrichttp.Option{otlpmetrichttp.WithProxy(noProxy)}
		if base != "" {
			opts = append(opts, otlpmetrichttp.WithEndpointURL(base+"/v1/metrics"))
		}
		return otlpmetrichttp.New(ctx, opts...)
	default:
		return nil, unknownProtocol(protocol)
	}
}

// noProxy sends straight to the collector, whatever HTTP_PROXY says.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// exporters lists what OTEL_<signal>_EXPORTER names; nil when it is not set.
func exporters(signal string) []string {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return []string{"none"}
	}
	value := env("OTEL_" + signal + "_EXPORTER")
	if value == "" {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		names = append(names, strings.ToLower(strings.TrimSpace(name)))
	}
	return names
}

func endpointFromEnv(signal string) bool {
	return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// otlpEndpoint is the base URL to hand to the exporter; "" leaves it to the
// environment.
func otlpEndpoint(signal, endpoint string) (string, error) {
	if endpoint == "" || endpointFromEnv(signal) {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return "", fmt.Errorf(`telemetry.endpoint: must be a URL like "http://127.0.0.1:4318"`)
	}
	return strings.TrimRight(endpoint, "/"), nil
}

func otlpProtocol(signal string) string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if value := env(name); value != "" {
			return value
		}
	}
	return "http/protobuf"
}

func unknownProtocol(protocol string) error {
	return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: must be grpc, http/protobuf or http/json", protocol)
}

func env(name string) string { return strings.TrimSpace(os.Getenv(name)) }
