// Stock is the proxy that a careful Go programmer puts together from well-known parts:
// httputil.ReverseProxy, x/time/rate, gobreaker, the SDK of OpenTelemetry, log/slog. It is
// what Outrider is measured against where no other proxy is installed.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	upstream := flag.String("upstream", "", "URL that calls go to")
	streams := flag.String("streams", "", "URL that /sse and /up go to")
	roots := flag.String("roots", "", "PEM file with the roots that upstreams are trusted by")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *upstream, *streams, *roots); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, upstream, streams, roots string) error {
	provider, err := tracing(ctx)
	if err != nil {
		return err
	}
	transport, err := newTransport(roots)
	if err != nil {
		return err
	}
	calls, err := newProxy(upstream, chain(transport))
	if err != nil {
		return err
	}
	long, err := newProxy(streams, chain(transport))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", calls)
	mux.Handle("/sse", long)
	mux.Handle("/up", long)
	lines := newBuffer(os.Stdout)
	defer lines.Close()
	server := &http.Server{
		Addr:              listen,
		Handler:           otelhttp.NewHandler(accessLog(slog.New(slog.NewJSONHandler(lines, nil)), mux), "proxy"),
		ReadHeaderTimeout: 10 * time.Second,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return provider.Shutdown(last)
}

// tracing has every span exported. Where to, OTEL_EXPORTER_OTLP_ENDPOINT says.
func tracing(ctx context.Context) (*trace.TracerProvider, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithSampler(trace.AlwaysSample()), trace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return provider, nil
}
