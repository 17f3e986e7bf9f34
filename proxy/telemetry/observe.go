package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
)

// Observe tells an event of the policies: on the span of the call that it
// happened to, in the metrics, and, where a state changed for everybody, in the
// log. What took time is a span of its own, and then no event. ctx is the call's
// context.
func (t *Telemetry) Observe(ctx context.Context, e policy.Event) {
	if ctx == nil {
		ctx = context.Background()
	}
	now := time.Now()
	e.Reason = clip(e.Reason, 64)
	switch e.Kind {
	case policy.EventWait:
		t.waited(ctx, inLine, e, e.Reason, now)
		return
	case policy.EventBackoff:
		t.waited(ctx, backsOff, e, "backoff", now)
		return
	case policy.EventTokenWait:
		t.waited(ctx, forToken, e, "token", now)
		return
	case policy.EventRetry:
		t.metrics.retries.add(ctx, e.Upstream, e.Reason, "")
		if e.Delay > 0 {
			return // the span of the backoff says the same
		}
	case policy.EventGiveUp:
		t.metrics.giveUps.add(ctx, e.Upstream, e.Reason, "")
		t.log.LogAttrs(ctx, slog.LevelDebug, "no further attempt",
			slog.String("upstream", e.Upstream), slog.String("reason", e.Reason), slog.Int("attempt", e.Attempt))
	case policy.EventHedge:
		t.metrics.hedges.add(ctx, e.Upstream, e.Reason, "")
	case policy.EventRepeat:
		t.metrics.repeats.add(ctx, e.Upstream, e.Reason, "")
	case policy.EventQuiet:
		t.metrics.quiet.add(ctx, e.Upstream, e.Reason, "")
	case policy.EventStale:
		t.metrics.stale.add(ctx, e.Upstream, e.Reason, "")
	case policy.EventGate:
		t.logGate(ctx, e, now)
	case policy.EventExhausted: // the alert tells of it once
		t.log.LogAttrs(ctx, slog.LevelDebug, "quota exhausted",
			slog.String("upstream", e.Upstream), slog.String("quota", e.Key), slog.String("reason", e.Reason))
	case policy.EventRefresh:
		if e.From != "save" { // nothing was asked for
			t.metrics.refreshes.add(ctx, e.Upstream, e.Reason, "")
		}
		t.logRefresh(ctx, e)
	case policy.EventFound:
		t.log.LogAttrs(ctx, slog.LevelInfo, "other tokens were found kept, and are used",
			slog.String("upstream", e.Upstream), slog.String("credential", e.Key))
	case policy.EventConnection:
		t.log.LogAttrs(ctx, slog.LevelInfo, "a connection was "+e.Reason,
			slog.String("upstream", e.Upstream), slog.String("connection", e.Key))
	case policy.EventOrder:
		t.logOrder(ctx, e)
	case policy.EventCircuit:
		t.metrics.transitions.add(ctx, e.Upstream, e.From, e.To)
		t.logCircuit(ctx, e)
	}
	if s := spanFrom(ctx); s != nil && s.span.IsRecording() {
		s.span.AddEvent("outrider."+string(e.Kind), trace.WithAttributes(eventAttributes(e)...))
	}
}

// Intercepted counts a connection to a host that an upstream names: "opened", or
// the reason why it could not be, a word out of a small fixed set.
func (t *Telemetry) Intercepted(ctx context.Context, upstream, result string) {
	t.metrics.interceptions.add(ctx, upstream, result, "")
}

// eventAttributes are the fields of e that are set.
func eventAttributes(e policy.Event) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	for _, text := range [...]struct{ key, value string }{
		{"outrider.reason", e.Reason},
		{"outrider.key", clip(e.Key, 255)},
		{"outrider.from", e.From},
		{"outrider.to", e.To},
	} {
		if text.value != "" {
			attrs = append(attrs, attribute.String(text.key, text.value))
		}
	}
	if e.Attempt > 0 {
		attrs = append(attrs, attribute.Int("outrider.attempt", e.Attempt))
	}
	if e.Delay > 0 {
		attrs = append(attrs, attribute.Float64("outrider.delay", e.Delay.Seconds()))
	}
	if !e.Until.IsZero() {
		attrs = append(attrs, attribute.String("outrider.until", e.Until.UTC().Format(time.RFC3339Nano)))
	}
	return attrs
}

func (t *Telemetry) logCircuit(ctx context.Context, e policy.Event) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("upstream", e.Upstream), slog.String("circuit", e.Key),
		slog.String("from", e.From), slog.String("to", e.To),
	}
	if e.To == "open" {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Time("until", e.Until), slog.String("reason", e.Reason))
	}
	t.log.LogAttrs(ctx, level, "circuit changed", attrs...)
}

// logOrder tells what an operator said of circuits: a place for who looks later why
// calls were refused.
func (t *Telemetry) logOrder(ctx context.Context, e policy.Event) {
	text := "all circuits of an upstream were set by an operator"
	attrs := []slog.Attr{slog.String("upstream", e.Upstream), slog.String("to", e.To)}
	if e.Key != "" {
		text = "a circuit was set by an operator"
		attrs = append(attrs, slog.String("circuit", e.Key))
	}
	if !e.Until.IsZero() {
		attrs = append(attrs, slog.Time("until", e.Until))
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, text, attrs...)
}

// logRefresh tells of a token that was asked for: what was not given is somebody's
// to mend.
func (t *Telemetry) logRefresh(ctx context.Context, e policy.Event) {
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("upstream", e.Upstream), slog.String("credential", e.Key),
		slog.String("why", e.From), slog.String("result", e.Reason), slog.Float64("duration_ms", ms(e.Delay))}
	if e.Reason != "ok" {
		level = slog.LevelWarn
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	if !e.Until.IsZero() {
		attrs = append(attrs, slog.Time("expires", e.Until))
	}
	t.log.LogAttrs(ctx, level, "a token was asked for", attrs...)
}

// logGate logs that a gate has closed. While it is closed, moving it is not
// news: every response of a burst may move it a little.
func (t *Telemetry) logGate(ctx context.Context, e policy.Event, now time.Time) {
	level := slog.LevelDebug
	if t.gates.closed(e.Upstream+" "+e.Key, e.Until, now) {
		t.metrics.gates.add(ctx, e.Upstream, "", "")
		level = slog.LevelInfo
	}
	t.log.LogAttrs(ctx, level, "gate closed by the provider",
		slog.String("upstream", e.Upstream), slog.String("quota", e.Key), slog.Time("until", e.Until))
}

// gateLog knows which gates are closed.
type gateLog struct {
	mu    sync.Mutex
	until map[string]time.Time // upstream and quota → closed until
}

// maxGates bounds the gates that are known at a time.
const maxGates = 1024

// closed notes that a gate is closed until then, and reports that it was open.
func (g *gateLog) closed(key string, until, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	wasOpen := !g.until[key].After(now)
	if _, known := g.until[key]; !known && len(g.until) >= maxGates {
		for k, end := range g.until {
			if !end.After(now) {
				delete(g.until, k)
			}
		}
		if len(g.until) >= maxGates {
			return false
		}
	}
	if g.until == nil {
		g.until = make(map[string]time.Time)
	}
	g.until[key] = until
	return wasOpen
}
