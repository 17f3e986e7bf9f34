package telemetry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A sampling says which traces are recorded.
type sampling struct {
	sdktrace.Sampler
	all     bool // every trace that begins here is recorded
	partial bool // some of the traces that begin here are left out
	asks    bool // what the caller has decided counts
}

// newSampling chooses as the standard variables OTEL_TRACES_SAMPLER and
// OTEL_TRACES_SAMPLER_ARG say, or else by the settings. Without anybody to look at spans
// none is recorded: ids are still made, for the log and for our caller.
func newSampling(s Settings, watched bool) (sampling, error) {
	name, share := "parentbased_traceidratio", s.Sample
	if set := strings.ToLower(env("OTEL_TRACES_SAMPLER")); set != "" {
		name, share = set, 1
		if arg := env("OTEL_TRACES_SAMPLER_ARG"); arg != "" && strings.HasSuffix(name, "traceidratio") {
			var err error
			if share, err = strconv.ParseFloat(arg, 64); err != nil || !(share >= 0 && share <= 1) {
				return sampling{}, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%s: must be from 0 to 1", arg)
			}
		}
	}
	base, asks := strings.CutPrefix(name, "parentbased_")
	switch base {
	case "always_on":
		share = 1
	case "always_off":
		share = 0
	case "traceidratio":
	default:
		return sampling{}, fmt.Errorf("OTEL_TRACES_SAMPLER=%s: must be always_on, always_off or traceidratio, or one of them behind parentbased_", name)
	}
	if !watched || name == "always_off" {
		return sampling{Sampler: sdktrace.NeverSample()}, nil
	}
	roots := linked{sdktrace.TraceIDRatioBased(share)}
	var callers []sdktrace.ParentBasedSamplerOption
	if !asks { // but within a call of ours, spans follow it
		callers = append(callers, sdktrace.WithRemoteParentSampled(roots), sdktrace.WithRemoteParentNotSampled(roots))
	}
	return sampling{Sampler: sdktrace.ParentBased(roots, callers...), all: share >= 1, partial: share < 1, asks: asks}, nil
}

// linked samples, besides what chance has chosen, each trace that begins with a link to
// one that is sampled: who looks at a call is led to the refresh that it waited for.
type linked struct{ sdktrace.Sampler }

func (l linked) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := l.Sampler.ShouldSample(p)
	if slices.ContainsFunc(p.Links, func(to trace.Link) bool { return to.SpanContext.IsSampled() }) && !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}
