package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// guard stands between the SDK and its exporters: it ends exports when we end,
// counts what they lose, and keeps their errors from anything but our log.
type guard struct {
	running context.Context // ends when exporting must end
	log     *slog.Logger
	losses  *losses

	mu     sync.Mutex
	last   time.Time // of the line logged last
	missed int       // losses since
}

// export runs one export, of n spans, records or collections.
func (g *guard) export(ctx context.Context, signal string, n int, send func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.running, cancel)()
	if err := send(ctx); err != nil {
		g.lost(signal, n, clip(stripURL(err).Error(), 300))
	}
}

// lost counts n that are not exported, and logs why, unless another loss was logged within
// the last minute.
func (g *guard) lost(signal string, n int, why string) {
	dropped, now := g.losses.add(signal, n, why)
	g.mu.Lock()
	if !g.last.IsZero() && now.Sub(g.last) < time.Minute {
		g.missed++
		g.mu.Unlock()
		return
	}
	missed := g.missed
	g.last, g.missed = now, 0
	g.mu.Unlock()
	g.log.Warn("telemetry could not be exported", "signal", signal,
		"error", why, "dropped", dropped, "not_logged_before", missed)
}

type metricGuard struct {
	sdkmetric.Exporter
	guard *guard
}

func (g *metricGuard) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	g.guard.export(ctx, "metrics", 1, func(ctx context.Context) error { return g.Exporter.Export(ctx, data) })
	return nil
}
