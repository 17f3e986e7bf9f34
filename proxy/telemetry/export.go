package telemetry

import (
	"cmp"
	"context"
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
func spanSinks(ctx context.Context, s Settings, res *resource.Resource, of instrumentation.Scope, g *guard) ([]spanSink, error) {
	var list []spanSink
	for _, name := range exportersOf(s, "TRACES") {
		var sink spanSink
		var err error
		switch name {
		case "otlp":
			sink, err = otlpSpans(ctx, s.Endpoint, res, of, g)
		case "console":
			sink, err = consoleSpans(g)
		default:
			continue // none: Check knows no other
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
	upload, err := spans.NewUploader(ctx, otlpSpanClient(endpoint, protocol), protocol == "http/json", res, of)
	if err != nil {
		return nil, err
	}
	return newSpanQueue(upload, g), nil
}

func otlpSpanClient(endpoint, protocol string) otlptrace.Client {
	base := otlpEndpoint("TRACES", endpoint)
	if protocol == "grpc" {
		opts := []otlptracegrpc.Option{otlptracegrpc.WithDialOption(grpc.WithNoProxy())}
		if base != "" {
			opts = append(opts, otlptracegrpc.WithEndpointURL(base))
		}
		return otlptracegrpc.NewClient(opts...)
	}
	opts := []otlptracehttp.Option{otlptracehttp.WithProxy(noProxy)}
	if base != "" {
		opts = append(opts, otlptracehttp.WithEndpointURL(base+"/v1/traces"))
	}
	return otlptracehttp.NewClient(opts...)
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
func metricReaders(ctx context.Context, s Settings, ours measured, g *guard) (list []sdkmetric.Reader, usual bool, err error) {
	usual = usualExemplars()
	for _, name := range exportersOf(s, "METRICS") {
		var exporter sdkmetric.Exporter
		switch name {
		case "otlp":
			exporter, err = otlpMetrics(ctx, s.Endpoint)
		case "console":
			exporter, err = stdoutmetric.New()
		default:
			continue // none and prometheus: Check knows no other
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
	base := otlpEndpoint("METRICS", endpoint)
	if otlpProtocol("METRICS") == "grpc" {
		opts := []otlpmetricgrpc.Option{otlpmetricgrpc.WithDialOption(grpc.WithNoProxy())}
		if base != "" {
			opts = append(opts, otlpmetricgrpc.WithEndpointURL(base))
		}
		return otlpmetricgrpc.New(ctx, opts...)
	}
	opts := []otlpmetrichttp.Option{otlpmetrichttp.WithProxy(noProxy)}
	if base != "" {
		opts = append(opts, otlpmetrichttp.WithEndpointURL(base+"/v1/metrics"))
	}
	return otlpmetrichttp.New(ctx, opts...)
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

// exportersOf lists what a signal is exported by. Spans are where there is somewhere to send
// them, the log where the settings ask for it.
func exportersOf(s Settings, signal string) []string {
	names := exporters(signal)
	wanted := signal == "TRACES" || signal == "LOGS" && s.ExportLogs
	if names == nil && wanted && (s.Endpoint != "" || endpointFromEnv(signal)) {
		names = []string{"otlp"}
	}
	return names
}

func endpointFromEnv(signal string) bool {
	_, endpoint := otlpVariable(signal, "ENDPOINT")
	return endpoint != ""
}

// otlpEndpoint is the base URL to hand to the exporter; "" leaves it to the
// environment.
func otlpEndpoint(signal, endpoint string) string {
	if endpointFromEnv(signal) {
		return ""
	}
	return strings.TrimRight(endpoint, "/")
}

func otlpProtocol(signal string) string {
	_, protocol := otlpVariable(signal, "PROTOCOL")
	return cmp.Or(protocol, "http/protobuf")
}

// otlpVariable is the variable that says something of how a signal is exported: its own goes
// before the one of all.
func otlpVariable(signal, what string) (name, value string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_" + what, "OTEL_EXPORTER_OTLP_" + what} {
		if value := env(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

func env(name string) string { return strings.TrimSpace(os.Getenv(name)) }
