package telemetry

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc"
)

// A bridge is a log handler that has another one take each record, too: the one on
// standard error says which levels there are.
type bridge struct {
	slog.Handler
	also slog.Handler
}

func (b bridge) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b.also.Handle(ctx, r.Clone()), b.Handler.Handle(ctx, r))
}

func (b bridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bridge{b.Handler.WithAttrs(attrs), b.also.WithAttrs(attrs)}
}

func (b bridge) WithGroup(name string) slog.Handler {
	return bridge{b.Handler.WithGroup(name), b.also.WithGroup(name)}
}

// exportLogs has the log go to a collector beside h, where the settings or the
// environment ask for that; else it gives h, and no provider. Records made with the
// context of a call are found from its trace.
func exportLogs(ctx context.Context, s Settings, h slog.Handler, res *resource.Resource, g *guard) (slog.Handler, *sdklog.LoggerProvider, error) {
	list, err := logExporters(ctx, s)
	if err != nil || len(list) == 0 {
		return h, nil, err
	}
	opts := []sdklog.LoggerProviderOption{sdklog.WithResource(res)}
	for _, exporter := range list {
		opts = append(opts, sdklog.WithProcessor(newLogQueue(exporter, g)))
	}
	provider := sdklog.NewLoggerProvider(opts...)
	return bridge{h, otelslog.NewHandler(scope, otelslog.WithLoggerProvider(provider), otelslog.WithVersion(s.Version))}, provider, nil
}

// logExporters are those that the environment or the settings ask for.
func logExporters(ctx context.Context, s Settings) ([]sdklog.Exporter, error) {
	var list []sdklog.Exporter
	for _, name := range exportersOf(s, "LOGS") {
		if name != "otlp" {
			continue // none: Check knows no other
		}
		exporter, err := otlpLogs(ctx, s.Endpoint)
		if err != nil {
			return nil, err
		}
		list = append(list, exporter)
	}
	return list, nil
}

func otlpLogs(ctx context.Context, endpoint string) (sdklog.Exporter, error) {
	base := otlpEndpoint("LOGS", endpoint)
	if otlpProtocol("LOGS") == "grpc" {
		opts := []otlploggrpc.Option{otlploggrpc.WithDialOption(grpc.WithNoProxy())}
		if base != "" {
			opts = append(opts, otlploggrpc.WithEndpointURL(base))
		}
		return otlploggrpc.New(ctx, opts...)
	}
	opts := []otlploghttp.Option{otlploghttp.WithProxy(noProxy)}
	if base != "" {
		opts = append(opts, otlploghttp.WithEndpointURL(base+"/v1/logs"))
	}
	return otlploghttp.New(ctx, opts...)
}
