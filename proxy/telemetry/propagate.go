package telemetry

import (
	"maps"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceContext reads and writes traceparent and tracestate
// (https://www.w3.org/TR/trace-context/). The baggage of a caller is neither read nor
// written: where it may pass, it passes as it came.
var traceContext propagation.TraceContext

// callerHeader is the header of a request that came in. Fields of one name are put
// together: so it has to be for tracestate, and two of traceparent mean nothing, as no
// one of them is more right than the other.
type callerHeader http.Header

// Get gives a field.
func (h callerHeader) Get(name string) string {
	return strings.Join(http.Header(h).Values(name), ",")
}

// Set does nothing: what came in is not written to.
func (callerHeader) Set(string, string) {}

// Keys lists the fields.
func (h callerHeader) Keys() []string { return propagation.HeaderCarrier(h).Keys() }

// withTrace returns a copy of req that tells of the span of its own attempt, and of
// nothing else that the caller may have said of its trace. It is made where the request
// leaves, after the signature of those that are signed: traceparent is no part of it,
// and is another for each attempt.
func withTrace(req *http.Request, span trace.SpanContext) *http.Request {
	out := req.WithContext(req.Context())
	out.Header = maps.Clone(req.Header)
	delete(out.Header, "Traceparent")
	delete(out.Header, "Tracestate")
	traceContext.Inject(trace.ContextWithSpanContext(req.Context(), span), propagation.HeaderCarrier(out.Header))
	return out
}
