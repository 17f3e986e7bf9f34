// Package telemetry tells what happens to calls: one trace per call, metrics,
// structured logs and a list of the latest calls. It is the only importer of
// OpenTelemetry.
//
// # One call
//
//	ctx, span := t.StartCall(r, "base-url")   SERVER span, continues the caller's trace
//	    t.Transport(wire).RoundTrip           CLIENT span, one for each request on the wire
//	    t.Observe(ctx, event)                 INTERNAL span of a wait; decisions: events on the SERVER span
//	span.End(outcome)                         span, metrics, access log line, Recent: see below
//
//	ctx, span := t.StartLetter(ctx, letter)   CONSUMER span of sending a call that was kept; ends as above
//
//	work, ended := t.StartWork(ctx, event)    INTERNAL span of what several calls wait for, in a trace of its own
//
// # What it costs
//
// Each call pays for all of this, so it is made to cost little: spans are recorded by a tracer
// of ours, package spans, and not by the SDK's; what is known at the end of a span is written
// as it is sent; histograms keep their numbers themselves; and the line of a call is written by
// an encoder that knows its fields. A test holds a call to two allocations. BenchmarkCall says
// what that comes to, beside the same call untold.
//
// # When it is told
//
// A request on the wire, and a call, is told of a few milliseconds after it has ended, together
// with others, and not by the goroutine of the call: see [batch]. Whoever asks this package how
// calls are has the rest told first; who looks at the log, at an exporter or at Settings.Ended
// may have to ask for that: see [Telemetry.Flush].
//
// # Which traces are sent
//
// Those that the sampler chose when they began, and, where it leaves some out, those of
// calls that turn out to have failed or to be slow: see [tail].
//
// # What is never recorded
//
// Header values, query values and bodies of calls are not read at all, so there
// is nothing to mask. The text of an error is rebuilt from the parts that are
// known to be harmless; see [errorText]. Metric labels are the method, the
// upstream's name, the class of the status, and words of our own: their number
// is bounded by the configuration.
//
// # Trust
//
// Nothing here can fail or delay a call, save for a log that takes no more: exporting happens
// behind bounded queues that drop. What they drop is counted, and an exporter's errors are
// logged once a minute at most.
// The package keeps no global state, and sets none of OpenTelemetry's.
package telemetry
